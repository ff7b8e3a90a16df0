/*
 * What a merchant does with the official client for Node, unmodified.
 *
 * It reads {name: the client's configuration} as JSON from standard input, makes a small day of calls for each, and
 * writes {name: {call: {status, answer}}} to standard output. It judges nothing; `test_node.py` does.
 */
"use strict";

const sdk = require("cybersource-rest-client");

const BILL_TO = {
  firstName: "Hanako", lastName: "Suzuki", address1: "2-4-1 Marunouchi", locality: "Chiyoda-ku",
  administrativeArea: "Tokyo", postalCode: "100-0005", country: "JP", email: "hanako@example.com",
};
const CARD = { number: "4111111111111111", expirationMonth: "12", expirationYear: "2031", securityCode: "123" };
const REFERENCE = { clientReferenceInformation: { code: "node-1" } };

/** A request model of the client with the members of a plain object. */
function model(kind, members) {
  return sdk[kind].constructFromObject(members, new sdk[kind]());
}

function amount(total) {
  return { ...REFERENCE, orderInformation: { amountDetails: { totalAmount: total, currency: "USD" } } };
}

class Shop {
  constructor(configuration) {
    this.configuration = configuration;
    this.noted = {};
  }

  /** Make a call and note it: its status, and what the client decoded, or the body of a refusal. */
  call(name, api, method, ...parameters) {
    return new Promise((resolve) => {
      const client = new sdk.ApiClient();
      const made = new sdk[api](this.configuration, client);
      made[method](...parameters, (error, decoded, response) => {
        if (error) {
          const said = error.response || {};
          this.noted[name] = said.status
            ? { status: said.status, error: JSON.parse(said.text || "null") }
            : { failed: String(error) };
          resolve({});
        } else {
          this.noted[name] = { status: response.status, answer: decoded };
          resolve(decoded || {});
        }
      });
    });
  }
}

async function payments(shop) {
  const request = {
    ...REFERENCE,
    orderInformation: { amountDetails: { totalAmount: "102.21", currency: "USD" }, billTo: BILL_TO },
    paymentInformation: { card: CARD },
  };
  const made = await shop.call("authorization", "PaymentsApi", "createPayment", model("CreatePaymentRequest", request));
  const take = model("CapturePaymentRequest", amount("100.00"));
  const taken = await shop.call("capture", "CaptureApi", "capturePayment", take, made.id);
  const give = model("RefundCaptureRequest", amount("40.00"));
  await shop.call("refund", "RefundApi", "refundCapture", give, taken.id);
  await shop.call("refund of nothing", "RefundApi", "refundCapture", give, "6800000001236780104953");
  await shop.call("details", "TransactionDetailsApi", "getTransaction", made.id);
  request.orderInformation.amountDetails.totalAmount = "1500.00";
  await shop.call("decline", "PaymentsApi", "createPayment", model("CreatePaymentRequest", request));
  return made.id;
}

async function tokens(shop) {
  const customer = { buyerInformation: { merchantCustomerID: "1001", email: "hanako@example.com" } };
  const made = await shop.call("customer", "CustomerApi", "postCustomer", model("PostCustomerRequest", customer), {});
  const number = model("PostInstrumentIdentifierRequest", { card: { number: "5105105105105100" } });
  const known = await shop.call("number", "InstrumentIdentifierApi", "postInstrumentIdentifier", number, {});
  const about = { expirationMonth: "12", expirationYear: "2031", type: "002" };
  const card = { card: about, billTo: BILL_TO, instrumentIdentifier: { id: known.id } };
  const kind = "PostCustomerPaymentInstrumentRequest";
  const cards = "CustomerPaymentInstrumentApi";
  const first = await shop.call("card", cards, "postCustomerPaymentInstrument", made.id, model(kind, card), {});
  await shop.call("card read", cards, "getCustomerPaymentInstrument", made.id, first.id, {});
  await shop.call("cards", cards, "getCustomerPaymentInstrumentsList", made.id, {});
  await shop.call("customer read", "CustomerApi", "getCustomer", made.id, {});
  await shop.call("customer's end", "CustomerApi", "deleteCustomer", made.id, {});
  await shop.call("customer after its end", "CustomerApi", "getCustomer", made.id, {});
}

async function search(shop, id) {
  const request = { query: `id:${id}`, offset: 0, limit: 10, sort: "id:asc" };
  const wanted = model("CreateSearchRequest", request);
  for (let turn = 0; turn < 100; turn += 1) {
    const found = await shop.call("search", "SearchTransactionsApi", "createSearch", wanted);
    if (found.totalCount !== 0) {
      await shop.call("search again", "SearchTransactionsApi", "getSearch", found.searchId);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function main() {
  const orders = JSON.parse(require("fs").readFileSync(0, "utf-8"));
  const noted = {};
  for (const [name, configuration] of Object.entries(orders)) {
    const shop = new Shop(configuration);
    const paid = await payments(shop);
    await tokens(shop);
    await search(shop, paid);
    noted[name] = shop.noted;
  }
  process.stdout.write(JSON.stringify(noted));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
