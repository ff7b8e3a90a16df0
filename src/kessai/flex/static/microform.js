// Card fields for a merchant's page: `new Flex(captureContext).microform().createField("number").load("#number")`.
//
// The fields are pages of the gateway inside of this page. No digit of a card is ever in this page or in this script: it
// tells the fields what to do, and hears how they are. What comes back is a transient token.
(() => {
  "use strict";

  const KINDS = ["number", "securityCode"];
  const EVENTS = ["load", "unload", "focus", "blur", "change", "update", "disabled", "inputSubmitRequest", "autocomplete", "error"];
  const TOKEN_S = 45;

  class MicroformError extends Error {
    constructor(reason, message, details) {
      super(message);
      this.name = "MicroformError";
      this.reason = reason;
      this.details = details || [];
      this.correlationId = "";
      this.informationLink = "";
    }
  }

  function read(captureContext) {
    try {
      const part = String(captureContext).split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
      const claims = JSON.parse(atob(part));
      return { origin: claims.ctx[0].data.mfOrigin, expires: claims.exp, origins: claims.ctx[0].data.targetOrigins };
    } catch {
      throw new MicroformError("CAPTURE_CONTEXT_INVALID", "This is not a capture context.");
    }
  }

  class Listeners {
    #known = {};

    on(type, callback) {
      if (!EVENTS.includes(type)) throw new MicroformError("FIELD_UNKNOWN_EVENT", `There is no event ${type}.`);
      (this.#known[type] = this.#known[type] || []).push(callback);
    }

    off(type, callback) {
      this.#known[type] = (this.#known[type] || []).filter((each) => each !== callback);
    }

    tell(type, data) {
      for (const callback of this.#known[type] || []) callback(data);
    }
  }

  class Field {
    #form;
    #frame = null;
    #container = null;
    #listeners = new Listeners();
    #options;

    constructor(form, kind, options) {
      this.#form = form;
      this.#options = options || {};
      this.kind = kind;
    }

    on(type, callback) {
      this.#listeners.on(type, callback);
      return this;
    }

    off(type, callback) {
      this.#listeners.off(type, callback);
      return this;
    }

    /** Show the field inside of an element, or of the first one that a selector finds. */
    load(place) {
      const container = typeof place === "string" ? document.querySelector(place) : place;
      if (!(container instanceof Element)) throw new MicroformError("FIELD_LOAD_CONTAINER_SELECTOR", "There is no such element.");
      if (this.#frame) throw new MicroformError("FIELD_ALREADY_LOADED", "The field is loaded already.");
      const { placeholder, title, disabled, styles } = this.#options;
      const settings = {
        kind: this.kind,
        instance: this.#form.instance,
        origin: window.location.origin,
        placeholder,
        title,
        disabled,
        styles: styles || this.#form.styles,
      };
      const frame = document.createElement("iframe");
      frame.title = title || (this.kind === "number" ? "Card number" : "Security code");
      frame.setAttribute("scrolling", "no");
      frame.setAttribute("referrerpolicy", "no-referrer");
      frame.style.cssText = "border: 0; width: 100%; height: 100%; display: block";
      frame.src = `${this.#form.origin}/microform/v2/field?context=${this.#form.context}#${encodeURIComponent(JSON.stringify(settings))}`;
      container.classList.add("flex-microform");
      container.replaceChildren(frame);
      this.#frame = frame;
      this.#container = container;
      return this;
    }

    unload() {
      if (this.#frame) {
        this.#frame.remove();
        this.#frame = null;
        for (const name of ["", "-focused", "-valid", "-invalid", "-disabled"]) this.#container.classList.remove(`flex-microform${name}`);
        this.#listeners.tell("unload", {});
      }
      return this;
    }

    dispose() {
      this.unload();
      this.#form.forget(this);
    }

    focus() { return this.send("focus"); }
    blur() { return this.send("blur"); }
    clear() { return this.send("clear"); }

    update(changes) {
      this.send("update", { data: changes });
      if ("disabled" in changes) this.#mark("disabled", changes.disabled === true);
      this.#listeners.tell("update", changes);
      return this;
    }

    get isLoaded() { return this.#frame !== null; }

    send(type, more) {
      if (!this.#frame) throw new MicroformError("FIELD_NOT_LOADED", "The field is not loaded.");
      this.#frame.contentWindow.postMessage({ kessai: 1, instance: this.#form.instance, kind: this.kind, type, ...more }, this.#form.origin);
      return this;
    }

    /** Whether a message came from this very field: its window, on the gateway's origin. */
    isFrom(event) {
      return this.#frame !== null && event.source === this.#frame.contentWindow && event.origin === this.#form.origin;
    }

    hear(type, data) {
      if (type === "focus") this.#mark("focused", true);
      if (type === "blur") this.#mark("focused", false);
      if (type === "change") {
        this.#mark("valid", data.valid === true);
        this.#mark("invalid", data.couldBeValid === false);
      }
      if (EVENTS.includes(type)) this.#listeners.tell(type, data);
    }

    #mark(name, isSo) {
      this.#container.classList.toggle(`flex-microform-${name}`, isSo);
    }
  }

  class Microform {
    #fields = [];
    #waiting = new Map();
    #next = 1;

    constructor(context, facts, options) {
      this.context = context;
      this.origin = facts.origin;
      this.styles = options.styles || {};
      this.instance = Array.from(crypto.getRandomValues(new Uint8Array(16)), (octet) => octet.toString(16).padStart(2, "0")).join("");
      window.addEventListener("message", (event) => this.#heard(event));
    }

    createField(kind, options) {
      if (!KINDS.includes(kind)) throw new MicroformError("CREATE_FIELD_INVALID_FIELD_TYPE", "A field is number or securityCode.");
      if (this.#fields.some((field) => field.kind === kind)) throw new MicroformError("CREATE_FIELD_DUPLICATE", `There is a ${kind} field already.`);
      const field = new Field(this, kind, options);
      this.#fields.push(field);
      return field;
    }

    forget(field) {
      this.#fields = this.#fields.filter((each) => each !== field);
    }

    /** Exchange what was typed for a transient token: `callback(error, token)`. */
    createToken(options, callback) {
      const answer = (error, token) => queueMicrotask(() => callback(error, token));
      const number = this.#fields.find((field) => field.kind === "number" && field.isLoaded);
      if (!number) return answer(new MicroformError("CREATE_TOKEN_NO_FIELDS_LOADED", "The number field is not loaded."));
      const wrong = invalid(options || {});
      if (wrong.length) return answer(new MicroformError("CREATE_TOKEN_VALIDATION_PARAMS", "A parameter is not valid.", wrong));
      const { expirationMonth, expirationYear, type } = options || {};
      const id = this.#next++;
      const late = setTimeout(() => this.#ended(id, new MicroformError("CREATE_TOKEN_TIMEOUT", "The gateway did not answer in time.")), TOKEN_S * 1000);
      this.#waiting.set(id, { answer, late });
      number.send("createToken", { id, data: { expirationMonth, expirationYear, type } });
      return undefined;
    }

    #ended(id, error, token) {
      const waiting = this.#waiting.get(id);
      if (!waiting) return;
      this.#waiting.delete(id);
      clearTimeout(waiting.late);
      waiting.answer(error, token);
    }

    #heard(event) {
      const field = this.#fields.find((each) => each.isFrom(event));
      const told = event.data;
      if (!field || !told || told.kessai !== 1 || told.instance !== this.instance || told.kind !== field.kind) return;
      if (told.type === "token") return this.#ended(told.data.id, null, told.data.token);
      if (told.type === "error") {
        const { reason, message, details } = told.data.error;
        return this.#ended(told.data.id, new MicroformError(reason, message, details));
      }
      field.hear(told.type, told.data);
    }
  }

  function invalid({ expirationMonth, expirationYear }) {
    const wrong = [];
    if (expirationMonth !== undefined && !/^(0?[1-9]|1[0-2])$/.test(String(expirationMonth))) {
      wrong.push({ location: "expirationMonth", message: "The month is 01 to 12." });
    }
    if (expirationYear !== undefined && !/^20[0-9]{2}$/.test(String(expirationYear))) {
      wrong.push({ location: "expirationYear", message: "The year has four digits." });
    }
    return wrong;
  }

  class Flex {
    #context;
    #facts;

    constructor(captureContext) {
      this.#facts = read(captureContext);
      this.#context = String(captureContext);
      if (this.#facts.expires * 1000 < Date.now()) throw new MicroformError("CAPTURE_CONTEXT_EXPIRED", "The capture context has expired.");
    }

    /** `microform(options)`, or `microform("card", options)`. */
    microform(kind, options) {
      const given = typeof kind === "object" && kind !== null ? kind : options || {};
      if (typeof kind === "string" && kind !== "card") throw new MicroformError("MICROFORM_TYPE_UNKNOWN", "Cards are taken.");
      return new Microform(this.#context, this.#facts, given);
    }
  }

  window.Flex = Flex;
})();
