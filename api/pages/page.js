// The hosted page with a script: what is typed stays, and the answer comes without leaving the page.
// Without one, every form here works all the same.
"use strict";

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form[data-waiting]:not([data-elsewhere])")) return; // frame.js opens a window for those
  event.preventDefault();
  if (form.ariaBusy !== "true") send(form); // a double click is one click
});

// A page that comes out of the browser's memory is of before: what it shows has changed since.
addEventListener("pageshow", (event) => event.persisted && location.reload());

// The notice is for once, not for each time the page is loaded.
if (location.search) history.replaceState(null, "", location.pathname + location.hash);

async function send(form) {
  const told = await submit(form);
  if (!told) return;
  if (told.connection_id) tellOf("connected", form, { connection_id: told.connection_id });
  const url = told.connect_url ?? told.next;
  if (url.startsWith("/")) await show(url);
  else location.assign(url); // and the form stays busy: whoever leaves has clicked
}

// What the server answers to the form; nothing where it refuses, which the form has said by then.
async function submit(form) {
  form.ariaBusy = "true";
  tell(form, { waiting: form.dataset.waiting });
  try {
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(form.action, { method: "POST", headers: { accept: "application/json" }, body });
    const told = await answer.json();
    if (answer.ok) return told;
    refuse(form, told);
  } catch {
    refuse(form, { error_code: "network_error", message: form.dataset.unreachable });
  }
}

function refuse(form, { error_code, message, fields = {} }) {
  form.ariaBusy = "false";
  tell(form, { refusal: message, fields });
  (form.querySelector("[aria-invalid=true]") ?? form.querySelector("button")).focus();
  tellOf("refused", form, { error_code, message });
}

// For a page that frames this one; otherwise nobody listens.
function tellOf(event, form, more) {
  document.dispatchEvent(new CustomEvent(event, { detail: { application: form.dataset.slug, ...more } }));
}

// What the form says of itself, and at which field.
function tell(form, { waiting = "", refusal = "", fields = {} }) {
  form.querySelector("[role=status]").textContent = waiting;
  form.querySelector("[role=alert]").textContent = refusal;
  for (const field of form.querySelectorAll(".field")) {
    const input = field.querySelector("input, select");
    const words = fields[input.name] ?? "";
    field.querySelector(".wrong").textContent = words;
    input.ariaInvalid = words ? "true" : "false";
  }
}

// The list as it is now. Where something else comes, or nothing, the browser shows what. The rest of the answer is left out:
// it has styles of another nonce, of which the browser would complain.
async function show(url) {
  const text = await fetch(url).then((answer) => answer.text(), () => "");
  const [list = ""] = text.match(/<main[\s\S]*<\/main>/) ?? [];
  const main = new DOMParser().parseFromString(list, "text/html").querySelector("main");
  if (!main) return location.assign(url + location.hash);
  document.querySelector("main").replaceWith(main);
  document.querySelector("main [tabindex]")?.focus();
}
