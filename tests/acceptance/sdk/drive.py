"""What a merchant does with the official client, played inside the client's own environment.

Not part of the tests' process: it runs under `.venv-sdk/bin/python`, reads its orders as JSON from standard input,
makes every call with the client's own models and writes one JSON document to standard output: what came back, call by
call. It judges nothing; `test_sdk.py` does.

Orders: `merchants` (name -> the client's configuration), `parts` (names of `PARTS`), and for https `authority`, a PEM
file to trust beside the client's bundle.

An answer is `{"status", "model", "answer", "lost"}`: the client's model, its attributes by their snake_case names, and
the wire paths that the model has no attribute for. A refused call is `{"status", "error", "explanation"}`. A call that
never reached an answer is `{"failed": text}`. Beside the calls stands the `version` of the client.
"""

import json
import sys
import time
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

APIS: Final = {
    "create_payment": "PaymentsApi",
    "increment_auth": "PaymentsApi",
    "capture_payment": "CaptureApi",
    "auth_reversal": "ReversalApi",
    "mit_reversal": "ReversalApi",
    "refund_capture": "RefundApi",
    "refund_payment": "RefundApi",
    "create_credit": "CreditApi",
    "void_payment": "VoidApi",
    "void_capture": "VoidApi",
    "void_refund": "VoidApi",
    "void_credit": "VoidApi",
    "mit_void": "VoidApi",
    "get_transaction": "TransactionDetailsApi",
    "create_search": "SearchTransactionsApi",
    "get_search": "SearchTransactionsApi",
}
"""Which of the client's classes has which method."""

BILL_TO: Final = {
    "first_name": "Hanako",
    "last_name": "Suzuki",
    "address1": "2-4-1 Marunouchi",
    "locality": "Chiyoda-ku",
    "administrative_area": "Tokyo",
    "postal_code": "100-0005",
    "country": "JP",
    "email": "hanako@example.com",
}
CARD: Final = {
    "number": "4111111111111111",
    "expiration_month": "12",
    "expiration_year": str(datetime.now(UTC).year + 3),
    "security_code": "123",
    "type": "001",
}

JAPANESE_NAMES: Final = {
    "business_name": "株式会社青空",
    "business_name_alpha_numeric": "AOZORA",
    "business_name_katakana": "アオゾラ",
}
_MONTHLY: Final = {"installments": "6", "first_billing_month": "06"}
JAPANESE_METHODS: Final[Mapping[str, Json]] = {
    "10": {},
    "21": {},
    "22": {"bonuses": [{"month": "07", "amount": "12000"}]},
    "23": {},
    "24": {"bonuses": [{"month": "07", "amount": "6000"}, {"month": "12", "amount": "6000"}]},
    "31": _MONTHLY,
    "32": {**_MONTHLY, "bonuses": [{"month": "07"}]},
    "33": {**_MONTHLY, "bonuses": [{"amount": "4000"}, {"amount": "4000"}]},
    "34": {**_MONTHLY, "bonuses": [{"month": "07", "amount": "4000"}, {"month": "12", "amount": "3000"}]},
    "61": {"installments": "12", "first_billing_month": "04"},
    "80": {"first_billing_month": "05"},
}
"""Every payment method, each with what it needs for 12000 yen."""


class Shop:
    """The client as one merchant uses it, and what came of every call so far."""

    def __init__(self, sdk: Any, merchants: Mapping[str, Json]) -> None:
        self.sdk = sdk
        self.merchants = merchants
        self.noted: dict[str, Json] = {}

    def call(
        self,
        name: str,
        method: str,
        values: Json | None = None,
        *,
        of: str | None = None,
        merchant: str = "sandbox",
        **changes: object,
    ) -> str:
        """Make one call, note it under its name, and return the id in its answer; empty where there is none.

        `of` is the id in the path, `values` the request by the client's attribute names, `changes` override the
        merchant's configuration.
        """
        arguments: Json = {} if of is None else {"search_id" if method == "get_search" else "id": of}
        if values is not None:
            kind = f"{method}_request"
            request = self._model("".join(part.title() for part in kind.split("_")), values)
            arguments[kind] = json.dumps(_without_none(request.to_dict()))
        return self._send(name, APIS[method], method, arguments, {**self.merchants[merchant], **changes})

    def risk(self, name: str, method: str, kind: str, values: Json) -> str:
        """Make one call about payer authentication; `kind` is what the client calls its request."""
        request = self._model("".join(part.title() for part in kind.split("_")), values)
        arguments: Json = {kind: json.dumps(_without_none(request.to_dict()))}
        return self._send(name, "PayerAuthenticationApi", method, arguments, self.merchants["sandbox"])

    def token(self, name: str, api: str, method: str, values: Json | None = None, /, **path: str) -> str:
        """Make one call about tokens; `path` has the ids in it by the client's names of them."""
        arguments: Json = dict(path)
        if values is not None:
            kind = f"{method.replace('customers_', 'customer_')}_request"
            kind = f"post_{kind}" if method == "tokenize" else kind
            kind = "post_payment_credentials_request" if "payment_credentials" in method else kind
            request = self._model("".join(part.title() for part in kind.split("_")), values)
            arguments[kind] = json.dumps(_without_none(request.to_dict()))
        return self._send(name, api, method, arguments, self.merchants["sandbox"])

    def _send(self, name: str, api_name: str, method: str, arguments: Json, configuration: Json) -> str:
        try:
            api = getattr(self.sdk, api_name)(configuration)
            model, status, raw = getattr(api, method)(**arguments)
        except self.sdk.rest.ApiException as error:
            headers = error.headers or {}
            body = json.loads(error.body) if error.body else None
            explanation = headers.get("kessai-explain")
            self.noted[name] = {"status": error.status, "error": body, "explanation": explanation}
            return ""
        except Exception as error:
            self.noted[name] = {"failed": f"{type(error).__name__}: {error}"}
            return ""
        if model is None:
            self.noted[name] = {"status": status}
            return ""
        known = api.api_client.sanitize_for_serialization(model)
        self.noted[name] = {
            "status": status,
            "model": type(model).__name__,
            "answer": _without_none(model.to_dict()),
            "lost": sorted(set(_paths(json.loads(raw))) - set(_paths(known))),
        }
        return str(getattr(model, "search_id" if method.endswith("_search") else "id", ""))

    def _model(self, kind: str, values: Json) -> Any:
        """A request model of the client with its inner models; KeyError for an attribute it does not know."""
        model = getattr(self.sdk.models, kind)
        return model(**{name: self._part(model.swagger_types[name], value) for name, value in values.items()})

    def _part(self, kind: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._part(kind.removeprefix("list[").removesuffix("]"), item) for item in value]
        return self._model(kind, value) if isinstance(value, dict) else value


def lifecycle(shop: Shop) -> None:
    """Hold, collect, return, and take each of them back."""
    payment = shop.call("authorization", "create_payment", payment_of("102.21"))
    capture = shop.call("capture", "capture_payment", amount("100.00"), of=payment)
    refund = shop.call("refund of a capture", "refund_capture", amount("10.00"), of=capture)
    shop.call("void of a refund", "void_refund", REFERENCE, of=refund)
    shop.call("details of a capture", "get_transaction", of=capture)
    shop.call("reversal of the rest", "auth_reversal", reversal("2.21"), of=payment)
    shop.call("void of a capture", "void_capture", REFERENCE, of=capture)

    sale = shop.call("sale", "create_payment", payment_of("51.00", capture=True))
    shop.call("details of a sale", "get_transaction", of=sale)
    shop.call("refund of a sale", "refund_payment", amount("51.00"), of=sale)
    voided = shop.call("sale to void", "create_payment", payment_of("52.00", capture=True))
    shop.call("void of a sale", "void_payment", REFERENCE, of=voided)

    released = shop.call("authorization to reverse", "create_payment", payment_of("53.00"))
    shop.call("reversal", "auth_reversal", reversal("53.00"), of=released)
    shop.call("second reversal", "auth_reversal", reversal("53.00"), of=released)
    shop.call("details of a reversed payment", "get_transaction", of=released)

    credit = shop.call("credit", "create_credit", {**payment_of("200.00"), "processing_information": {}})
    shop.call("void of a credit", "void_credit", REFERENCE, of=credit)

    account = {"account": {"type": "C", "number": "4100271828"}, "routing_number": "071923284"}
    echeck = {
        **payment_of("70.00"),
        "payment_information": {"payment_type": {"name": "CHECK"}, "bank": account},
        "processing_information": {"bank_transfer_options": {"sec_code": "WEB"}},
    }
    debit = shop.call("eCheck", "create_payment", echeck)
    shop.call("details of an eCheck", "get_transaction", of=debit)
    shop.call("refund of an eCheck", "refund_payment", amount("20.00"), of=debit)
    shop.call("eCheck credit", "create_credit", echeck)


_THIS_WEEK: Final = "submitTimeUtc:[NOW/DAY-7DAYS TO NOW/DAY+1DAY}"


def searches(shop: Shop) -> None:
    """Find a payment again: transactions come into the index a little later, so the client asks until it is there."""
    made = shop.call("authorization to find", "create_payment", payment_of("54.00"))
    request = {
        "save": True,
        "name": "MRN",
        "timezone": "America/Chicago",
        "query": f"clientReferenceInformation.code:sdk-1 AND id:{made} AND {_THIS_WEEK}",
        "offset": 0,
        "limit": 100,
        "sort": "id:asc,submitTimeUtc:asc",
    }
    for _ in range(100):
        search = shop.call("search", "create_search", request)
        if shop.noted["search"].get("answer", {}).get("total_count") != 0:
            break
        time.sleep(0.1)
    shop.call("search again", "get_search", of=search)
    shop.call("search for nothing", "create_search", {"query": "id:6800000001236780104953"})
    shop.call("search in vain", "create_search", {"query": "NOT id:1"})
    shop.call("unknown search", "get_search", of="00000000-0000-4000-8000-000000000000")
    shop.call("reversal of what was found", "auth_reversal", reversal("54.00"), of=made)


def increments(shop: Shop) -> None:
    """A hotel holds more than it asked for at first."""
    options: Json = {"authorization_options": {"auth_indicator": "0"}, "industry_data_type": "lodging"}
    payment = shop.call("pre-authorization", "create_payment", payment_of("100.00", **options), merchant="vpc")
    more = {
        "client_reference_information": {"code": "sdk-more"},
        "processing_information": {"authorization_options": {"initiator": {"stored_credential_used": True}}},
        "order_information": {"amount_details": {"additional_amount": "22.49", "currency": "USD"}},
    }
    shop.call("increment", "increment_auth", more, of=payment, merchant="vpc")
    shop.call("capture of both", "capture_payment", amount("122.49"), of=payment, merchant="vpc")
    other = shop.call("authorization elsewhere", "create_payment", payment_of("100.00"))
    shop.call("increment elsewhere", "increment_auth", more, of=other)


def timeouts(shop: Shop) -> None:
    """Undo what was never answered, by the merchant's own transaction id."""
    for name, transaction_id, is_sale in (("authorization", "mti-10001", False), ("sale", "mti-10002", True)):
        request = payment_of("61.00", capture=is_sale)
        request["client_reference_information"]["transaction_id"] = transaction_id
        shop.call(f"{name} with a transaction id", "create_payment", request)
    named: Json = {"client_reference_information": {"code": "sdk-undo", "transaction_id": "mti-10001"}}
    shop.call("time-out reversal", "mit_reversal", {**reversal("61.00"), **named})
    named = {"client_reference_information": {"code": "sdk-undo", "transaction_id": "mti-10002"}}
    shop.call("time-out void", "mit_void", named)
    named = {"client_reference_information": {"code": "sdk-undo", "transaction_id": "mti-10003"}}
    shop.call("time-out void of nothing", "mit_void", named)
    named = {"client_reference_information": {"code": "sdk-undo", "transaction_id": "mti-10004"}}
    lost = payment_of("62.00") | named
    shop.call("lost answer", "create_payment", lost, default_headers={"Kessai-Scenario": "answer-lost"})
    shop.call("reversal of a lost answer", "mit_reversal", {**reversal("62.00"), **named})


def japan(shop: Shop) -> None:
    """Every Japanese payment method, as the Japanese acquirer's merchant."""
    for method, details in JAPANESE_METHODS.items():
        options = {"payment_method": method, **details, **JAPANESE_NAMES}
        request = payment_of("12000", "JPY", japan_payment_options=options)
        payment = shop.call(f"japan {method}", "create_payment", request, merchant="smcc")
        shop.call(f"japan {method} details", "get_transaction", of=payment, merchant="smcc")
        if method == "34":
            plan = {"payment_method": "34", **_MONTHLY, "bonuses": "2", "bonus_month": "7", "bonus_amount": "4000"}
            plan |= {"second_bonus_month": "12", "second_bonus_amount": "3000"}
            collect = amount("12000", "JPY") | {"processing_information": {"japan_payment_options": plan}}
            shop.call("japan 34 capture", "capture_payment", collect, of=payment, merchant="smcc")
        if method == "10":
            shop.call("japan 10 reversal", "auth_reversal", reversal("12000", "JPY"), of=payment, merchant="smcc")
    credit = payment_of("3000", "JPY", japan_payment_options={"payment_method": "61", "installments": "3"})
    shop.call("japan credit", "create_credit", credit, merchant="smcc")
    wrong = payment_of("12000", "JPY", japan_payment_options={"payment_method": "99"})
    shop.call("japan 99", "create_payment", wrong, merchant="smcc")


def failures(shop: Shop) -> None:
    """Declines, refusals and breakdowns, as the client shows them."""
    declined = shop.call("decline", "create_payment", payment_of("1500.00"))
    shop.call("details of a decline", "get_transaction", of=declined)
    shop.call("refund of a decline", "refund_payment", amount("1.00"), of=declined)
    shop.call("expired card", "create_payment", payment_of("10.00", card={"expiration_year": "2021"}))
    shop.call("invalid card", "create_payment", payment_of("10.00", card={"number": "4111111111111112"}))
    part: Json = {"authorization_options": {"partial_auth_indicator": True}}
    card = {"number": "5555555555554444", "type": "002"}
    shop.call("partial approval", "create_payment", payment_of("1000.00", card=card, **part))
    shop.call("month 13", "create_payment", payment_of("10.00", card={"expiration_month": "13"}))
    shop.call("missing fields", "create_payment", REFERENCE)
    shop.call("capture of nothing", "capture_payment", amount("1.00"), of="12345")
    shop.call("details of nothing", "get_transaction", of="6800000001236780104953")
    shop.call("system error", "create_payment", payment_of("2000.00"))
    headers = {"Kessai-Scenario": "general-decline"}
    shop.call("decline by scenario", "create_payment", payment_of("10.00"), default_headers=headers)
    shop.call("wrong key", "create_payment", payment_of("10.00"), merchant="stranger")
    shop.call("wrong key reads", "get_transaction", of=declined, merchant="stranger")


def everybodys_tokens(shop: Shop) -> None:
    """The same calls by each merchant, noted under its name."""
    for name, configuration in shop.merchants.items():
        one = Shop(shop.sdk, {"sandbox": configuration})
        tokens(one)
        shop.noted[name] = one.noted


def tokens(shop: Shop) -> None:
    """A customer with a card and an address, from the first call to the last."""
    customer = shop.token("customer", "CustomerApi", "post_customer", CUSTOMER)
    cards, addresses = "CustomerPaymentInstrumentApi", "CustomerShippingAddressApi"
    numbers, lone = "InstrumentIdentifierApi", "PaymentInstrumentApi"
    number_of: Json = {"card": {"number": "5105105105105100"}}
    number = shop.token("number", numbers, "post_instrument_identifier", number_of)
    shop.token("number again", numbers, "post_instrument_identifier", number_of)
    card: Json = {
        "card": {"expiration_month": "12", "expiration_year": "2031", "type": "002"},
        "bill_to": BILL_TO,
        "instrument_identifier": {"id": number},
    }
    first = shop.token("card", cards, "post_customer_payment_instrument", card, customer_id=customer)
    second = shop.token("second card", cards, "post_customer_payment_instrument", card, customer_id=customer)
    address: Json = {"default": True, "ship_to": BILL_TO}
    home = shop.token("address", addresses, "post_customer_shipping_address", address, customer_id=customer)
    shop.token("customer with defaults", "CustomerApi", "get_customer", customer_id=customer)
    named = {"customer_id": customer, "payment_instrument_id": second}
    shop.token("other default", cards, "patch_customers_payment_instrument", {"default": True}, **named)
    shop.token("cards", cards, "get_customer_payment_instruments_list", customer_id=customer)
    shop.token("addresses", addresses, "get_customer_shipping_addresses_list", customer_id=customer)
    moved = {**BILL_TO, "locality": "Osaka"}
    shop.token("card read", cards, "get_customer_payment_instrument", **named)
    shop.token("card changed", cards, "patch_customers_payment_instrument", {"bill_to": moved}, **named)
    place = {"customer_id": customer, "shipping_address_id": home}
    shop.token("address read", addresses, "get_customer_shipping_address", **place)
    shop.token("address changed", addresses, "patch_customers_shipping_address", {"ship_to": moved}, **place)
    shop.token("address's end", addresses, "delete_customer_shipping_address", **place)
    shop.token("default's end", cards, "delete_customer_payment_instrument", **named)
    named["payment_instrument_id"] = first
    shop.token("card's end", cards, "delete_customer_payment_instrument", **named)
    shop.token("card after its end", cards, "get_customer_payment_instrument", **named)
    alone = {"payment_instrument_id": shop.token("lone card", lone, "post_payment_instrument", card)}
    shop.token("lone card read", lone, "get_payment_instrument", **alone)
    later: Json = {"card": {"expiration_month": "12", "expiration_year": "2033", "type": "002"}}
    shop.token("lone card changed", lone, "patch_payment_instrument", later, **alone)
    shop.token("number read", numbers, "get_instrument_identifier", instrument_identifier_id=number)
    before: Json = {"merchant_initiated_transaction": {"previous_transaction_id": "123456789012345"}}
    changed: Json = {"processing_information": {"authorization_options": {"initiator": before}}}
    shop.token("number changed", numbers, "patch_instrument_identifier", changed, instrument_identifier_id=number)
    shop.token("number in use", numbers, "delete_instrument_identifier", instrument_identifier_id=number)
    shop.token(
        "cards of a number",
        numbers,
        "get_instrument_identifier_payment_instruments_list",
        instrument_identifier_id=number,
    )
    changed = {"buyer_information": {"email": "other@example.com"}}
    shop.token("other address of a customer", "CustomerApi", "patch_customer", changed, customer_id=customer)
    several: Json = {"customer": {}, "instrument_identifier": number_of}
    shop.token("several", "TokenizeApi", "tokenize", {"token_information": several})
    shop.token("seeded customer", "CustomerApi", "get_customer", customer_id="AB695DA801DD1BB6E05341588E0A3BDC")
    shop.token("customer's end", "CustomerApi", "delete_customer", customer_id=customer)
    shop.token("lone card's end", lone, "delete_payment_instrument", **alone)
    named = {"instrument_identifier_id": shop.token("other number", numbers, "post_instrument_identifier", OTHER)}
    shop.token("number's end", numbers, "delete_instrument_identifier", **named)
    shop.token("number after its end", numbers, "get_instrument_identifier", **named)
    shop.token("nobody", "CustomerApi", "get_customer", customer_id="F" * 32)


def stored(shop: Shop) -> None:
    """The client's own samples of paying with tokens, making them and giving back to them, with the ids they print."""
    customer, card = {"id": "7500BB199B4270EFE05340588D0AFCAD"}, {"id": "AB6A54B982A6FCB6E05341588E0A3935"}
    address, number = {"id": "AB6A54B97C00FCB6E05341588E0A3935"}, {"id": "7010000000016241111"}
    legacy = {"id": "AB7C01E66529EA42E05341588E0A22AD"}
    expiry = {"expiration_month": "12", "expiration_year": "2031"}
    ways: Mapping[str, Json] = {
        "customer": {"customer": customer},
        "card and address": {"payment_instrument": card, "shipping_address": address},
        "number": {"instrument_identifier": number, "card": expiry},
        "legacy": {"legacy_token": legacy},
    }
    for name, paying in ways.items():
        request: Json = {**payment_of("10.00"), "payment_information": paying}
        if name != "number":
            request["order_information"] = amount("10.00")["order_information"]
        made = shop.call(f"payment by {name}", "create_payment", request)
        shop.call(f"capture by {name}", "capture_payment", amount("10.00"), of=made)
        shop.call(f"credit by {name}", "create_credit", {**request, "processing_information": {}})
    create: Json = {"action_list": ["TOKEN_CREATE"]}
    for name, types in (
        ("everything", ["customer", "paymentInstrument", "shippingAddress"]),
        ("a number", ["instrumentIdentifier"]),
    ):
        request = payment_of("11.00", **create, action_token_types=types)
        request["order_information"]["ship_to"] = {"first_name": "Taro", "country": "JP"}
        made = shop.call(f"payment that makes {name}", "create_payment", request)
        shop.call(f"reversal of {name}", "auth_reversal", reversal("11.00"), of=made)
    request = payment_of("0", **create, action_token_types=["paymentInstrument"])
    request["payment_information"]["customer"] = customer
    shop.call("verification that adds a card", "create_payment", request)
    initiator: Json = {"type": "customer", "credential_stored_on_file": True}
    first = payment_of("12.00", authorization_options={"initiator": initiator})
    made = shop.call("first of an agreement", "create_payment", first)
    shop.call("reversal of the first", "auth_reversal", reversal("12.00"), of=made)
    said: Json = {"reason": "10", "previous_transaction_id": "123456789619999"}
    initiator = {"type": "merchant", "stored_credential_used": True, "merchant_initiated_transaction": said}
    charge = {**payment_of("12.00", authorization_options={"initiator": initiator})}
    charge["payment_information"] = {"customer": customer}
    made = shop.call("charge without the cardholder", "create_payment", charge)
    shop.call("reversal of the charge", "auth_reversal", reversal("12.00"), of=made)
    unknown: Json = {**payment_of("10.00"), "payment_information": {"customer": {"id": "F" * 32}}}
    shop.call("payment by nobody", "create_payment", unknown)


def network_tokens(shop: Shop) -> None:
    """A card's network token, from its enrolment to its end."""
    numbers, api = "InstrumentIdentifierApi", "NetworkTokensApi"
    card: Json = {"number": ENROLLED, "expiration_month": "12", "expiration_year": "2031"}
    shop.token("tokenized card", api, "post_tokenized_card", {"source": "ONFILE", "card": card})
    token = shop.noted["tokenized card"].get("answer", {}).get("tokenized_card", {}).get("id", "")
    number = shop.token("enrolled number", numbers, "post_instrument_identifier", {"card": {"number": ENROLLED}})
    named = {"instrument_identifier_id": number}
    asked: Json = {"type": "enrollable card", "card": {"expiration_month": "12", "expiration_year": "2031"}}
    shop.token("enrolled already", numbers, "post_instrument_identifier_enrollment", asked, **named)
    other = shop.token("number to enrol", numbers, "post_instrument_identifier", {"card": {"number": TO_ENROL}})
    enrol = "post_instrument_identifier_enrollment"
    shop.token("enrolment", numbers, enrol, asked, instrument_identifier_id=other)
    shop.token("tokenized card again", api, "get_tokenized_card", tokenized_card_id=token)
    picture = {"token_provider": "vts", "asset_type": "card-icon"}
    shop.token("picture", api, "get_card_art_asset", **named, **picture)
    shop.token("no key", api, "post_token_payment_credentials", {}, token_id=number)
    ids = {"profile_id": PROFILE, "tokenized_card_id": token}
    shop.token("suspended", api, "post_issuer_life_cycle_simulation", {"state": "SUSPENDED"}, **ids)
    shop.token("ended", api, "post_tokenized_card_delete", {}, tokenized_card_id=token)
    shop.token("after its end", api, "get_tokenized_card", tokenized_card_id=token)


def authentications(shop: Shop) -> None:
    """A cardholder who is authenticated: by the three calls for it, and by payments that ask and take."""
    setup: Json = {**REFERENCE, "payment_information": {"card": CHALLENGED}}
    shop.risk("set-up", "payer_auth_setup", "payer_auth_setup_request", setup)
    asked: Json = {
        **REFERENCE,
        "order_information": payment_of("102.21")["order_information"],
        "payment_information": {"card": CHALLENGED},
        "consumer_authentication_information": {"return_url": "https://shop.example/back", "device_channel": "BROWSER"},
    }
    enrol, wanted = "check_payer_auth_enrollment", "check_payer_auth_enrollment_request"
    shop.risk("enrolment", enrol, wanted, asked)
    told = shop.noted["enrolment"].get("answer", {}).get("consumer_authentication_information", {})
    name = {"authentication_transaction_id": told.get("authentication_transaction_id", "")}
    result: Json = {**REFERENCE, "consumer_authentication_information": name}
    shop.risk("result before", "validate_authentication_results", "validate_request", result)
    play_payer(told, "1234")
    shop.risk("result", "validate_authentication_results", "validate_request", result)
    frictionless: Json = {**asked, "payment_information": {"card": {**CHALLENGED, "number": "4000000000002701"}}}
    shop.risk("frictionless", enrol, wanted, frictionless)
    failed: Json = {**asked, "payment_information": {"card": {**CHALLENGED, "number": "4000000000002925"}}}
    shop.risk("failed", enrol, wanted, failed)
    shop.risk("nothing to ask", enrol, wanted, REFERENCE)

    taken = payment_of("102.21", card=CHALLENGED, action_list=["VALIDATE_CONSUMER_AUTHENTICATION"])
    with_result = {**taken, "consumer_authentication_information": name}
    paid = shop.call("payment with the result", "create_payment", with_result)
    shop.call("reversal of the first authenticated", "auth_reversal", reversal("102.21"), of=paid)
    wants: Json = {"consumer_authentication_information": {"return_url": "https://shop.example/back"}}
    request = payment_of("102.21", card=CHALLENGED, action_list=["CONSUMER_AUTHENTICATION"])
    shop.call("payment that asks", "create_payment", {**request, **wants})
    told = shop.noted["payment that asks"].get("answer", {}).get("consumer_authentication_information", {})
    play_payer(told, "1234")
    name = {"authentication_transaction_id": told.get("authentication_transaction_id", "")}
    made = shop.call("payment that takes", "create_payment", {**taken, "consumer_authentication_information": name})
    shop.call("details of it", "get_transaction", of=made)
    shop.call("reversal of the second authenticated", "auth_reversal", reversal("102.21"), of=made)
    brought: Json = {"cavv": "AAABCSIIAAAAAAACcwgAEMCoNh+=", "xid": "T1Y0OVcxMVJJdkI0WFlBcXptUzE=", "eci_raw": "05"}
    own = {**payment_of("102.21"), "consumer_authentication_information": brought}
    paid = shop.call("payment that brings its own", "create_payment", own)
    shop.call("reversal of the third authenticated", "auth_reversal", reversal("102.21"), of=paid)


CHALLENGED: Final[Json] = {
    "number": "4000000000002503",
    "expiration_month": "12",
    "expiration_year": "2031",
    "type": "001",
}


def play_payer(told: Json, code: str) -> None:
    """What the payer's browser does with a challenge."""
    form = urllib.parse.urlencode({"token": told.get("access_token", ""), "code": code}).encode()
    with suppress(ValueError):  # there is no address where nothing was told
        urllib.request.urlopen(told.get("step_up_url", "").replace("step-up", "challenge"), form).close()


def contexts(shop: Shop) -> None:
    """A capture context for card fields in a page: a text, no model."""
    request = shop.sdk.models.GenerateCaptureContextRequest(
        client_version="v2", target_origins=["https://shop.example"], allowed_card_networks=["VISA", "JCB"]
    )
    api = shop.sdk.MicroformIntegrationApi(shop.merchants["sandbox"])
    text, status, _ = api.generate_capture_context(json.dumps(_without_none(request.to_dict())))
    shop.noted["capture context"] = {"status": status, "answer": text}


def secure(shop: Shop) -> None:
    """Over https as the client comes, with every authentication it knows."""
    for name in shop.merchants:
        payment = shop.call(f"{name} authorization", "create_payment", payment_of("102.21"), merchant=name)
        shop.call(f"{name} capture", "capture_payment", amount("102.21"), of=payment, merchant=name)
        shop.call(f"{name} details", "get_transaction", of=payment, merchant=name)


def distrust(shop: Shop) -> None:
    """Over https to a server that the client has no reason to trust."""
    name = next(iter(shop.merchants))
    shop.call("distrusted", "create_payment", payment_of("102.21"), merchant=name)


PARTS: Final[Mapping[str, Callable[[Shop], None]]] = {
    "lifecycle": lifecycle,
    "searches": searches,
    "increments": increments,
    "timeouts": timeouts,
    "japan": japan,
    "failures": failures,
    "tokens": everybodys_tokens,
    "stored": stored,
    "network tokens": network_tokens,
    "contexts": contexts,
    "authentications": authentications,
    "secure": secure,
    "distrust": distrust,
}

CUSTOMER: Final[Json] = {
    "buyer_information": {"merchant_customer_id": "1001", "email": "hanako@example.com"},
    "client_reference_information": {"code": "sdk-customer"},
    "merchant_defined_information": [{"name": "data1", "value": "blue"}],
}
OTHER: Final[Json] = {"card": {"number": "4917610000000000"}}
ENROLLED: Final = "4622943123000094"
TO_ENROL: Final = "4622943123000011"
PROFILE: Final = "93B32398-AD51-4CC2-A682-EA3E93614EB1"
"""The sandbox's, as the public samples have it."""
REFERENCE: Final[Json] = {"client_reference_information": {"code": "sdk-1"}}


def amount(total: str, currency: str = "USD") -> Json:
    """A follow-on that names its amount."""
    return {**REFERENCE, "order_information": {"amount_details": {"total_amount": total, "currency": currency}}}


def payment_of(total: str, currency: str = "USD", card: Json | None = None, **processing: object) -> Json:
    """A card-not-present payment; `processing` are attributes of the processing information."""
    details = {"total_amount": total, "currency": currency}
    return {
        "client_reference_information": {"code": "sdk-1"},
        "processing_information": {"commerce_indicator": "internet", **processing},
        "order_information": {"amount_details": details, "bill_to": BILL_TO},
        "payment_information": {"card": {**CARD, **(card or {})}},
    }


def reversal(total: str, currency: str = "USD") -> Json:
    details = {"total_amount": total, "currency": currency}
    return {**REFERENCE, "reversal_information": {"amount_details": details, "reason": "testing"}}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def _paths(value: Any, path: str = "") -> list[str]:
    """The paths of all leaves of a document; those of a list's items share one."""
    if isinstance(value, dict):
        return [leaf for name, item in value.items() for leaf in _paths(item, f"{path}.{name}".lstrip("."))]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _paths(item, f"{path}[]")]
    return [path]


def _trust(authority: str) -> None:
    """Let the client find our authority in a copy of its bundle of trusted ones: it looks nowhere else."""
    import certifi  # the client's own

    bundle = Path.cwd() / "bundle.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + Path(authority).read_bytes())
    certifi.where = lambda: str(bundle)


def main() -> None:
    orders = json.load(sys.stdin)
    if orders.get("authority"):
        _trust(orders["authority"])
    warnings.simplefilter("ignore")  # importing the client warns of pkg_resources
    import CyberSource  # type: ignore[import-not-found]  # lives in the client's environment

    shop = Shop(CyberSource, orders["merchants"])
    for part in orders["parts"]:
        PARTS[part](shop)
    json.dump({"version": version("cybersource-rest-client-python"), **shop.noted}, sys.stdout)


if __name__ == "__main__":
    main()
