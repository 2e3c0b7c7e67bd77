// The hosted page inside a page of a product's: consent in a window of its own, and news for the product.
// It comes after page.js, whose functions it uses.
"use strict";

{
  const PARENT = document.currentScript.dataset.parent;
  const WAIT_SECONDS = 25; // of a long poll; proxies hang up after 30
  const RETRY_MS = 2000; // after a poll that failed
  const LOOK_MS = 250; // between looks at the window

  let current = new AbortController(); // of the window that is open: there is one at a time

  // As the product's page is, which need not go by the customer's wish; nothing where it does.
  document.documentElement.style.colorScheme = location.hash.slice(1);
  document.addEventListener("connected", ({ detail }) => post("connected", detail));
  document.addEventListener("refused", ({ detail }) => post("error", detail));
  document.addEventListener("submit", inWindow);
  document.getElementById("done")?.addEventListener("click", () => post("closed"));
  addEventListener("pagehide", () => current.abort());
  new ResizeObserver(([{ target }]) => post("resize", { height: target.offsetHeight })).observe(document.body);
  tellTrouble(document.querySelector("[data-trouble]"));

  function post(type, more) {
    parent.postMessage({ source: "everlink", type, ...more }, PARENT);
  }

  // A page that says only what is wrong.
  function tellTrouble(page) {
    if (!page) return;
    const message = page.querySelector("h1 + p").textContent;
    post("error", { application: null, error_code: page.dataset.trouble, message });
  }

  // A window opens only in the click itself, before anything is waited for.
  function inWindow(event) {
    const form = event.target;
    if (!form.matches("[data-elsewhere]")) return;
    event.preventDefault();
    if (form.ariaBusy !== "true") connect(form, openWindow());
  }

  async function connect(form, popup) {
    current.abort();
    const visit = (current = new AbortController());
    visit.signal.addEventListener("abort", () => popup?.close());
    const attempt = await submit(form);
    if (!attempt) return visit.abort();
    popup?.location.replace(attempt.connect_url);
    const panel = elsewhere(form, popup, attempt.connect_url, visit);
    const came = await outcome(attempt.id, popup, visit.signal).catch(() => null);
    panel.remove();
    if (!came?.late) visit.abort();
    if (came) return end(form, came);
    form.ariaBusy = "false"; // given up: here, or for another window
    form.querySelector("button").focus();
  }

  // Shows what came of it. A window that looked closed may yet bring a connection.
  function end(form, { status, application, connection_id, error_code, message, late }) {
    if (status === "connected") {
      tellOf("connected", form, { connection_id });
      show(`${location.pathname}?connected=${encodeURIComponent(application)}`);
      return;
    }
    form.querySelector("button").textContent = words().again;
    refuse(form, { error_code, message });
    late?.then((attempt) => attempt.status === "connected" && end(form, attempt)).catch(() => {});
  }

  // What the server says came of it. The window itself is only asked whether it is there.
  async function outcome(id, popup, signal) {
    const ended = untilEnded(id, signal);
    const seen = (await Promise.race([ended, closed(popup, signal)])) ?? (await look(id, 0, signal));
    if (seen && seen.status !== "open") return seen;
    return { error_code: "window_closed", message: words().closed, late: ended };
  }

  async function untilEnded(id, signal) {
    for (;;) {
      const attempt = await look(id, WAIT_SECONDS, signal);
      if (!attempt) await pause(RETRY_MS, signal);
      else if (attempt.status !== "open") return attempt;
    }
  }

  // Nothing, where it may be told another time.
  async function look(id, seconds, signal) {
    try {
      const headers = { accept: "application/json" };
      const answer = await fetch(`${location.pathname}/attempts/${id}?wait=${seconds}`, { headers, signal });
      return answer.status < 500 && answer.status !== 429 ? await answer.json() : null;
    } catch {
      signal.throwIfAborted();
      return null;
    }
  }

  // A provider can make an open window look closed (COOP): then it has the focus.
  async function closed(popup, signal) {
    while (!(popup?.closed && document.hasFocus())) await pause(LOOK_MS, signal);
  }

  // In place of the form, while the customer is in the window, or has to open it.
  function elsewhere(form, popup, url, visit) {
    const panel = document.getElementById("elsewhere").content.firstElementChild.cloneNode(true);
    const [show, open, cancel] = panel.querySelectorAll("[data-do]");
    const told = panel.querySelector("[role=status]");
    const waiting = told.textContent;
    show.addEventListener("click", () => popup.focus());
    open.addEventListener("click", () => (told.textContent = waiting));
    cancel.addEventListener("click", () => visit.abort());
    if (!popup) {
      told.textContent = words().blocked;
      show.hidden = true;
      open.hidden = false;
      open.href = url;
      tellOf("refused", form, { error_code: "popup_blocked", message: words().blocked });
    }
    tell(form, {});
    form.append(panel);
    panel.focus();
    return panel;
  }

  // In the middle of the product's window; null where the browser does not allow it.
  function openWindow() {
    const [width, height] = [600, 720];
    const left = Math.round(screenX + (outerWidth - width) / 2);
    const top = Math.round(screenY + (outerHeight - height) / 2);
    const popup = window.open("", "_blank", `popup,width=${width},height=${height},left=${left},top=${top}`);
    return popup?.closed ? null : popup; // some that block windows answer one that is closed
  }

  function words() {
    return document.getElementById("elsewhere").dataset;
  }

  async function pause(ms, signal) {
    await new Promise((over) => setTimeout(over, ms));
    signal.throwIfAborted();
  }
}
