// Everlink in the browser: your customers connect and reconnect their accounts from a page of your own.
// One classic script without dependencies; its types are in everlink.d.ts, how to use it in docs/reconnect.md.
(() => {
  "use strict";

  // Another one with every change of this file: pages keep a version for good.
  const VERSION = "1.0.0";
  const HOME = document.currentScript?.src && new URL("..", document.currentScript.src).href;

  const WAIT_SECONDS = 25; // of a long poll; proxies hang up after 30
  const ANSWER_MS = 60_000; // after which a request counts as lost
  const TIMEOUT_MS = 600_000; // of connect(), by default: as long as a consent page may stay open
  const LOOK_MS = 250; // between looks at the window
  const SHUT_AGAIN_MS = [500, 2_000]; // after a window was told to close
  const FIRST_PAUSE_MS = 500; // after a failed poll; it doubles up to the longest
  const LONGEST_PAUSE_MS = 15_000;

  const ATTEMPTS = "/v1/connect-attempts";
  const STILL_OPEN = { status: "open" };
  const FRAME_EVENTS = ["connected", "closed", "error"];
  const FRAME_MS = 15_000; // after which a frame counts as not loaded
  const FRAME_WORDS = "This cannot be shown right now. Please load the page again, or try it later.";
  const EVENTS = ["connected", "disconnected", "error", "tokens"];
  const WORDS = {
    network_error: "the server cannot be reached, or does not allow this page's origin",
    popup_blocked: "the browser has blocked the window: call connect() in the click itself",
    timeout: "connecting took too long",
    unexpected_answer: "the server has answered what it never does",
    window_closed: "the window was closed before the account was connected",
  };

  /** What went wrong: `code` is stable, and everything that the API says of it is here, too. */
  class EverlinkError extends Error {
    constructor(code, message = WORDS[code], more = {}) {
      super(message);
      Object.assign(this, more, { name: "EverlinkError", code });
    }

    static async of(response) {
      const said = await response.json().catch(() => ({}));
      const { status_code, http_error_type, error_code = "unexpected_answer", message, request_id, ...more } = said;
      const { missing = [], unknown = [], wrong = [] } = more;
      if (error_code === "invalid_fields") more.fields = [...missing, ...wrong, ...unknown];
      const seconds = Number(response.headers.get("retry-after"));
      if (seconds > 0) more.retryAfter = seconds;
      more.requestId = request_id ?? response.headers.get("x-request-id");
      return new EverlinkError(error_code, message, { ...more, status: response.status });
    }

    /** Whether the same request may well succeed in a moment. */
    get passes() {
      return this.code === "network_error" || this.status === 429 || this.status >= 500;
    }
  }

  /** The window of one connect(), and what ends the wait for it. */
  class Visit {
    popup = null;
    outcome; // what connect() answers; a second connect() meanwhile answers the same
    late = null; // the wait for a window that only looks closed
    #over = new AbortController();
    #limit;

    constructor(signal, timeout) {
      this.#limit = AbortSignal.timeout(timeout);
      this.stop = AbortSignal.any([this.#over.signal, this.#limit, ...(signal ? [signal] : [])]);
    }

    end(reason) {
      this.#over.abort(reason);
    }

    /** Until the customer has closed it. A provider can make an open window look closed (COOP): then it has the focus. */
    async closed() {
      while (!(this.popup.closed && document.hasFocus())) await pause(LOOK_MS, this.stop);
    }

    /** What connect() fails with, if this is what failed within it. */
    failure(error) {
      if (!this.stop.aborted) return error;
      return this.stop.reason === this.#limit.reason ? new EverlinkError("timeout") : this.stop.reason;
    }
  }

  /** One linked account, by its session token. */
  class Everlink {
    static version = VERSION;

    #base;
    #token;
    #refreshToken;
    #renewalKey = null; // of the renewal by this refresh token: the same, if its answer was lost
    #renewing = null;
    #authTypes = new Map(); // by slug, of the applications that were asked for
    #visits = new Map(); // windows that are open, or may be
    #listeners = new Map(EVENTS.map((event) => [event, new Set()]));

    constructor({ token, baseUrl = HOME, refreshToken = null }) {
      if (!token) throw new TypeError("Everlink needs a session token");
      if (!baseUrl) throw new TypeError("Everlink needs a baseUrl where its script comes from elsewhere");
      this.#base = baseUrl.replace(/\/+$/, "");
      this.#token = token;
      this.#refreshToken = refreshToken;
    }

    /** The applications, with what is connected and what has to be reconnected. */
    async getApps() {
      const apps = await this.#call("GET", "/api/v2/f-sdk/application");
      for (const app of apps) this.#authTypes.set(app.slug, app.auth_type);
      return apps;
    }

    async getApp(slug) {
      return this.#getApp(slug);
    }

    /** Connect or reconnect. Call it in the click itself: only then may a window open. */
    connect(slug, fields = {}, { signal, timeout = TIMEOUT_MS, connectionId } = {}) {
      if (signal?.aborted) return Promise.reject(signal.reason);
      const key = JSON.stringify([slug, connectionId]);
      const before = this.#visits.get(key);
      if (before && !before.popup.closed) {
        before.popup.focus();
        return before.outcome;
      }
      before?.end(new EverlinkError("window_closed"));

      const visit = new Visit(signal, timeout);
      // Where it is not known yet whether a window is needed, one is opened: after the first `await` it is too late.
      if (this.#authTypes.get(slug) !== "keybased") visit.popup = openWindow();
      visit.outcome = this.#told(slug, visit, this.#connect(slug, fields, connectionId, visit), () => {
        if (this.#visits.get(key) === visit) this.#visits.delete(key);
      });
      if (visit.popup) this.#visits.set(key, visit);
      return visit.outcome;
    }

    /** Disconnect every account of the application. */
    async disconnect(slug) {
      await this.#call("DELETE", `/api/v1/linked-acc/integration/${encodeURIComponent(slug)}`);
      this.#tell("disconnected", { application: slug });
    }

    /** Answers a function that ends it. */
    on(event, listener) {
      const listeners = this.#listeners.get(event);
      if (!listeners) throw new TypeError(`there is no event "${event}", but ${EVENTS.join(", ")}`);
      listeners.add(listener);
      return () => listeners.delete(listener);
    }

    async #getApp(slug, stop) {
      const app = await this.#call("GET", `/api/v2/f-sdk/application/${encodeURIComponent(slug)}`, undefined, stop);
      this.#authTypes.set(slug, app.auth_type);
      return app;
    }

    async #connect(slug, fields, connectionId, visit) {
      const { popup, stop } = visit;
      const authType = this.#authTypes.get(slug) ?? (await this.#getApp(slug, stop)).auth_type;
      if (authType === "keybased") {
        shut(popup);
        const mended = connectionId ? `?connection_id=${encodeURIComponent(connectionId)}` : "";
        const path = `/api/v2/app/${encodeURIComponent(slug)}/save${mended}`;
        const saved = await this.#call("POST", path, fields, stop);
        return { application: slug, connectionId: saved.connection_id };
      }
      if (!popup) throw new EverlinkError("popup_blocked");
      const wish = { application: slug, fields, connection_id: connectionId };
      const attempt = await this.#call("POST", ATTEMPTS, wish, stop);
      popup.location.replace(attempt.connect_url);
      return this.#outcome(attempt.id, visit);
    }

    /** What the server says came of it. The window itself is only asked whether it is there. */
    async #outcome(attemptId, visit) {
      const ended = this.#ended(attemptId, visit.stop);
      const seen = await Promise.race([ended, visit.closed()]);
      const attempt = seen ?? (await this.#attempt(attemptId, 0, visit.stop).catch(() => STILL_OPEN));
      if (attempt.status !== "open") return result(attempt);
      visit.late = ended.then(result);
      throw new EverlinkError("window_closed");
    }

    /** Until the attempt has ended. A poll that fails is tried again. */
    async #ended(attemptId, stop) {
      for (let failures = 0; ; ) {
        try {
          const attempt = await this.#attempt(attemptId, WAIT_SECONDS, stop);
          if (attempt.status !== "open") return attempt;
          failures = 0;
        } catch (error) {
          if (stop.aborted || !error.passes) throw error;
          const ms = Math.min(FIRST_PAUSE_MS * 2 ** failures++, LONGEST_PAUSE_MS) * (0.5 + Math.random() / 2);
          await pause(Math.max(ms, 1000 * (error.retryAfter ?? 0)), stop);
        }
      }
    }

    #attempt(attemptId, seconds, stop) {
      return this.#call("GET", `${ATTEMPTS}/${attemptId}?wait=${seconds}`, undefined, stop);
    }

    /** The outcome, told by events, too. */
    async #told(slug, visit, outcome, forget) {
      try {
        const connected = await outcome;
        this.#tell("connected", connected);
        return connected;
      } catch (error) {
        const failure = visit.failure(error);
        if (failure instanceof EverlinkError) {
          failure.application = slug;
          this.#tell("error", failure);
        }
        throw failure;
      } finally {
        shut(visit.popup);
        const late = visit.late?.then((connected) => this.#tell("connected", connected)).catch(() => {});
        Promise.resolve(late).finally(() => {
          visit.end();
          forget();
        });
      }
    }

    #tell(event, detail) {
      for (const listener of [...this.#listeners.get(event)]) {
        try {
          listener(detail);
        } catch (error) {
          reportError(error); // the listener's own: it changes nothing here
        }
      }
    }

    /** Ask the API; where the session token has ended, with a new one. */
    async #call(method, path, body, stop) {
      const token = this.#token;
      try {
        return await this.#send(method, path, { body, stop, headers: { authorization: `Bearer ${token}` } });
      } catch (error) {
        if (error.code !== "invalid_session_token" || !this.#refreshToken) throw error;
      }
      if (this.#token === token) await (this.#renewing ??= this.#renew());
      return this.#send(method, path, { body, stop, headers: { authorization: `Bearer ${this.#token}` } });
    }

    /** A refresh token is good once; by the same key, a renewal whose answer was lost is answered again. */
    async #renew() {
      this.#renewalKey ??= crypto.randomUUID();
      try {
        const body = { refresh_token: this.#refreshToken };
        const headers = { "idempotency-key": this.#renewalKey };
        const pair = await this.#send("POST", "/v1/session-tokens/refresh", { body, headers });
        [this.#token, this.#refreshToken, this.#renewalKey] = [pair.token, pair.refresh_token, null];
        this.#tell("tokens", { token: pair.token, refreshToken: pair.refresh_token, expiresIn: pair.expires_in });
      } finally {
        this.#renewing = null;
      }
    }

    async #send(method, path, { body, headers, stop }) {
      const lost = AbortSignal.timeout(ANSWER_MS);
      const signal = stop ? AbortSignal.any([stop, lost]) : lost;
      const json = body && { "content-type": "application/json" };
      let response;
      try {
        response = await fetch(this.#base + path, {
          method,
          signal,
          headers: { ...headers, ...json },
          body: body && JSON.stringify(body),
          credentials: "omit",
          cache: "no-store",
        });
      } catch (error) {
        throw stop?.aborted ? error : new EverlinkError("network_error");
      }
      if (!response.ok) throw await EverlinkError.of(response);
      return response.json().catch(() => {
        throw new EverlinkError("network_error"); // it broke off
      });
    }
  }

  /** What connect() answers for an attempt that has ended. */
  function result({ application, connection_id, error_code, message }) {
    if (connection_id) return { application, connectionId: connection_id };
    throw new EverlinkError(error_code, message);
  }

  /** What the page has here: light or dark; nothing, where it goes by the customer's wish. */
  function colourScheme(element) {
    const schemes = getComputedStyle(element).colorScheme;
    if (!schemes.includes("dark")) return "light";
    return schemes.includes("light") ? "" : "dark";
  }

  /** A browser can forget that a window is to be closed while that is on its way to another page: so it is told again. */
  function shut(popup) {
    popup?.close();
    for (const ms of SHUT_AGAIN_MS) setTimeout(() => popup?.close(), ms);
  }

  /** In the middle of the page's window; null where the browser does not allow it. */
  function openWindow() {
    const [width, height] = [600, 720];
    const left = Math.round(screenX + (outerWidth - width) / 2);
    const top = Math.round(screenY + (outerHeight - height) / 2);
    const popup = window.open("", "_blank", `popup,width=${width},height=${height},left=${left},top=${top}`);
    return popup?.closed ? null : popup; // some that block windows answer one that is closed
  }

  function pause(ms, stop) {
    return new Promise((resolve, reject) => {
      stop.throwIfAborted();
      const stopped = () => {
        clearTimeout(timer);
        reject(stop.reason);
      };
      const timer = setTimeout(() => {
        stop.removeEventListener("abort", stopped);
        resolve();
      }, ms);
      stop.addEventListener("abort", stopped, { once: true });
    });
  }

  /** `<everlink-connect session="...">`: the hosted page in a frame. What is inside is shown where it does not load. */
  class EverlinkConnect extends HTMLElement {
    static observedAttributes = ["session", "base-url"];

    #shadow = this.attachShadow({ mode: "open" });
    #frame = null;
    #limit; // of the time to load
    #changed;

    connectedCallback() {
      this.style.display ||= "block";
      window.addEventListener("message", this.#hear);
      this.#change();
    }

    disconnectedCallback() {
      window.removeEventListener("message", this.#hear);
      this.#unload();
    }

    attributeChangedCallback(_, before, now) {
      if (before !== now) this.#change();
    }

    focus(options) {
      this.#frame?.focus(options);
    }

    /** What changes at once is one change: a link opens only once. */
    #change() {
      const change = (this.#changed = Symbol());
      queueMicrotask(() => this.isConnected && change === this.#changed && this.#load());
    }

    #load() {
      this.#unload();
      const [session, base] = [this.getAttribute("session"), this.getAttribute("base-url") ?? HOME];
      if (!session || !base) return;
      const frame = document.createElement("iframe");
      frame.title = this.getAttribute("frame-title") ?? "Connect your accounts";
      frame.referrerPolicy = "no-referrer";
      frame.scrolling = "no"; // it is as high as what it shows
      Object.assign(frame.style, { display: "block", width: "100%", height: "20rem", border: "0" });
      frame.src = `${base.replace(/\/+$/, "")}/connect/${encodeURIComponent(session)}#${colourScheme(this)}`;
      this.#frame = frame;
      this.#shadow.append(frame);
      this.#limit = setTimeout(() => this.#giveUp(), FRAME_MS);
    }

    #unload() {
      clearTimeout(this.#limit);
      this.#shadow.replaceChildren();
      this.#frame = null;
    }

    #giveUp() {
      this.#unload();
      const instead = document.createElement("slot");
      instead.textContent = FRAME_WORDS;
      this.#shadow.append(instead);
      this.#tell("error", { application: null, error_code: "frame_timeout", message: FRAME_WORDS });
    }

    /** Only what this frame itself says, from the origin that it was loaded from. */
    #hear = ({ source, origin, data }) => {
      if (!this.#frame || source !== this.#frame.contentWindow || origin !== new URL(this.#frame.src).origin) return;
      const { source: from, type, ...detail } = data ?? {};
      if (from !== "everlink") return;
      clearTimeout(this.#limit);
      if (type === "resize") this.#frame.style.height = `${detail.height}px`;
      else if (FRAME_EVENTS.includes(type)) this.#tell(type, detail);
    };

    #tell(type, detail) {
      this.dispatchEvent(new CustomEvent(type, { detail }));
    }
  }

  Object.assign(globalThis, { Everlink, EverlinkError });
  if (!customElements.get("everlink-connect")) customElements.define("everlink-connect", EverlinkConnect);
})();
