// One field of a card, in a page of the gateway's own inside of the merchant's page. What is typed stays here: it goes
// out encrypted, to the gateway and to nobody else. The page around it hears whether the field is empty or valid, and of
// which brand, never the digits.
(() => {
  "use strict";

  const ENCODER = new TextEncoder();
  const context = new URLSearchParams(location.search).get("context") || "";
  const settings = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  const claims = JSON.parse(new TextDecoder().decode(fromBase64(context.split(".")[1])));
  const data = claims.ctx[0].data;
  const { kind, instance, origin } = settings;

  // The browser shows this page only inside of the context's origins (frame-ancestors); it speaks to one of them only.
  if (!data.targetOrigins.includes(origin) || claims.flx.origin !== location.origin || window.parent === window) return;
  if (kind !== "number" && kind !== "securityCode") return;

  // Brand: its word in the context, its code and name, how it begins, how long numbers and codes are.
  const BRANDS = [
    ["CARTESBANCAIRES", "036", "cartesbancaires", "Cartes Bancaires", /^$/, [16], 3],
    ["AMEX", "003", "amex", "American Express", /^3[47]/, [15], 4],
    ["JCB", "007", "jcb", "JCB", /^35(2[89]|[3-8])/, [16, 17, 18, 19], 3],
    ["DINERSCLUB", "005", "dinersclub", "Diners Club", /^3(0[0-5]|095|6|[89])/, [14, 15, 16, 17, 18, 19], 3],
    ["DISCOVER", "004", "discover", "Discover", /^6(011|4[4-9]|5)/, [16, 17, 18, 19], 3],
    ["CUP", "062", "cup", "UnionPay", /^(62|81)/, [13, 14, 15, 16, 17, 18, 19], 3],
    ["MASTERCARD", "002", "mastercard", "Mastercard", /^(5[1-5]|2(22[1-9]|2[3-9]|[3-6]|7[01]|720))/, [16], 3],
    ["VISA", "001", "visa", "Visa", /^4/, [13, 16, 19], 3],
    ["MAESTRO", "042", "maestro", "Maestro", /^(50|5[6-8]|6[037])/, [12, 13, 14, 15, 16, 17, 18, 19], 3],
  ];

  const input = document.getElementById("field");
  input.placeholder = String(settings.placeholder || "");
  input.title = String(settings.title || (kind === "number" ? "Card number" : "Security code"));
  input.setAttribute("aria-label", input.title);
  input.autocomplete = kind === "number" ? "cc-number" : "cc-csc";
  input.maxLength = kind === "number" ? 23 : 4;
  input.disabled = settings.disabled === true;
  style(settings.styles || {});

  const digits = () => input.value.replace(/[^0-9]/g, "");

  function brandOf(number) {
    return BRANDS.find(([, , , , begins]) => begins.test(number)) || null;
  }

  function luhn(number) {
    let sum = 0;
    for (let place = 0; place < number.length; place += 1) {
      const digit = Number(number[number.length - 1 - place]) * (place % 2 ? 2 : 1);
      sum += digit > 9 ? digit - 9 : digit;
    }
    return sum % 10 === 0;
  }

  function isTaken(brand) {
    return brand === null || data.allowedCardNetworks.includes(brand[0]);
  }

  /** What the page around may know. */
  function state() {
    const value = digits();
    if (kind === "securityCode") {
      const valid = /^[0-9]{3,4}$/.test(value);
      return { empty: value === "", valid, couldBeValid: value.length <= 4, card: [] };
    }
    const brand = brandOf(value);
    const lengths = brand ? brand[5] : [12, 13, 14, 15, 16, 17, 18, 19];
    const couldBeValid = isTaken(brand) && value.length <= Math.max(...lengths);
    const valid = couldBeValid && lengths.includes(value.length) && luhn(value);
    const card = brand && isTaken(brand)
      ? [{ cybsCardType: brand[1], name: brand[2], brandedName: brand[3], validLengths: brand[5],
           securityCode: { name: brand[6] === 4 ? "CID" : "CVV", lengths: [brand[6]] }, lengths: brand[5] }]
      : [];
    return { empty: value === "", valid, couldBeValid, card };
  }

  function tell(type, more) {
    window.parent.postMessage({ kessai: 1, instance, kind, type, data: more || {} }, origin);
  }

  input.addEventListener("input", () => {
    const value = digits();
    const shown = kind === "number" ? (value.match(/.{1,4}/g) || []).join(" ") : value;
    if (shown !== input.value) input.value = shown;
    tell("change", state());
  });
  input.addEventListener("focus", () => tell("focus"));
  input.addEventListener("blur", () => tell("blur"));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") tell("inputSubmitRequest");
  });

  // The fields of one form find each other among the frames of their page. The browser lets nobody but pages of this
  // origin look in here.
  window.kessaiField = Object.freeze({ kind, instance, context, read: digits });

  function sibling(wanted) {
    const frames = window.parent.frames;
    for (let place = 0; place < frames.length; place += 1) {
      try {
        const field = frames[place].kessaiField;
        if (field && field.kind === wanted && field.instance === instance && field.context === context) return field;
      } catch {
        continue; // somebody else's page
      }
    }
    return null;
  }

  // ---- orders of the page around

  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || event.origin !== origin) return;
    const order = event.data;
    if (!order || order.kessai !== 1 || order.instance !== instance || order.kind !== kind) return;
    if (order.type === "focus") input.focus();
    if (order.type === "blur") input.blur();
    if (order.type === "clear") {
      input.value = "";
      tell("change", state());
    }
    if (order.type === "update") update(order.data || {});
    if (order.type === "createToken" && kind === "number") {
      create(order.data || {}).then(
        (token) => tell("token", { id: order.id, token }),
        (error) => tell("error", { id: order.id, error: told(error) }),
      );
    }
  });

  function update(changes) {
    if ("placeholder" in changes) input.placeholder = String(changes.placeholder);
    if ("title" in changes) input.title = String(changes.title);
    if ("disabled" in changes) input.disabled = changes.disabled === true;
  }

  class Refused extends Error {
    constructor(reason, message, details) {
      super(message);
      Object.assign(this, { reason, details: details || [] });
    }
  }

  function told(error) {
    if (error instanceof Refused) return { reason: error.reason, message: error.message, details: error.details };
    return { reason: "CREATE_TOKEN_UNABLE_TO_START", message: "The card could not be sent.", details: [] };
  }

  async function create(options) {
    const code = sibling("securityCode");
    const invalid = [];
    if (!state().valid) invalid.push({ location: "number", message: "The card number is not valid." });
    if (code !== null && !/^[0-9]{3,4}$/.test(code.read())) {
      invalid.push({ location: "securityCode", message: "The security code is not valid." });
    }
    if (invalid.length) throw new Refused("CREATE_TOKEN_VALIDATION_FIELDS", "A field is not valid.", invalid);
    const card = { number: digits() };
    if (code !== null) card.securityCode = code.read();
    for (const name of ["expirationMonth", "expirationYear", "type"]) {
      if (options[name] !== undefined && options[name] !== null) card[name] = String(options[name]);
    }
    const body = await encrypted({ data: { paymentInformation: { card } }, context, index: 0 });
    let answer;
    try {
      answer = await fetch(claims.flx.path, {
        method: "POST",
        headers: { "content-type": "application/jwt" },
        body,
        credentials: "omit",
        cache: "no-store",
        redirect: "error",
      });
    } catch {
      throw new Refused("CREATE_TOKEN_NO_FIELDS_SENT", "The gateway could not be reached.");
    }
    const text = await answer.text();
    if (answer.status === 201) return text;
    let refusal = {};
    try {
      refusal = JSON.parse(text).responseStatus || {};
    } catch {
      // said in no words of ours
    }
    const reasons = { CAPTURE_CONTEXT_INVALID: "CAPTURE_CONTEXT_EXPIRED", VALIDATION_ERROR: "CREATE_TOKEN_VALIDATION_SERVERSIDE" };
    const reason = reasons[refusal.reason] || "CREATE_TOKEN_UNABLE_TO_START";
    throw new Refused(reason, refusal.message || "The card was not taken.", refusal.details);
  }

  // ---- encryption: a compact JWE, RSA-OAEP-256 and A256GCM (RFC 7516)

  async function encrypted(payload) {
    const jwk = claims.flx.jwk;
    const head = base64(ENCODER.encode(JSON.stringify({ alg: "RSA-OAEP-256", enc: "A256GCM", kid: jwk.kid })));
    const wrapping = await crypto.subtle.importKey("jwk", jwk, { name: "RSA-OAEP", hash: "SHA-256" }, false, ["encrypt"]);
    const raw = crypto.getRandomValues(new Uint8Array(32));
    const nonce = crypto.getRandomValues(new Uint8Array(12));
    const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt"]);
    const wrapped = await crypto.subtle.encrypt({ name: "RSA-OAEP" }, wrapping, raw);
    const sealing = { name: "AES-GCM", iv: nonce, additionalData: ENCODER.encode(head), tagLength: 128 };
    const sealed = new Uint8Array(await crypto.subtle.encrypt(sealing, key, ENCODER.encode(JSON.stringify(payload))));
    const [text, tag] = [sealed.slice(0, -16), sealed.slice(-16)];
    return [head, ...[new Uint8Array(wrapped), nonce, text, tag].map(base64)].join(".");
  }

  function base64(bytes) {
    return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  function fromBase64(text) {
    return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  }

  // ---- looks

  function style(styles) {
    const places = { input: "", ":focus": ":focus", ":hover": ":hover", ":disabled": ":disabled", "::placeholder": "::placeholder" };
    const allowed = /^(color|cursor|direction|font(-(family|kerning|size|size-adjust|stretch|style|variant|weight))?|letter-spacing|line-height|opacity|text-(align|shadow|transform|rendering)|transition|-(moz|webkit)-(osx-)?font-smoothing)$/;
    const sheet = new CSSStyleSheet();
    for (const [place, suffix] of Object.entries(places)) {
      const rule = sheet.cssRules[sheet.insertRule(`input${suffix} {}`, sheet.cssRules.length)];
      for (const [name, value] of Object.entries(styles[place] || {})) {
        const plain = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
        if (allowed.test(plain) && !/url|image|[\\@]/i.test(String(value))) rule.style.setProperty(plain, String(value));
      }
    }
    document.adoptedStyleSheets = [sheet];
  }

  tell("load", state());
})();
