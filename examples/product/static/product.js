// What the buttons do, and looking again when something has changed.
// `Everlink` and <everlink-connect> come from everlink.js, which Everlink serves.

const now = document.getElementById("now");
const notice = document.getElementById("notice");
const frame = document.getElementById("frame");

// The server says when a webhook has arrived; the page then shows what the server knows.
new EventSource("/settings/integrations/changes").onmessage = look;

// Asked for before any click: a browser lets a pop-up open in the click itself, not after a request.
const everlink = post("/connect/seamless").then((session) => new Everlink(session));

const ACTIONS = {
  async seamless({ application, connection }) {
    await (await everlink).connect(application, {}, { connectionId: connection });
    say("Connected. You never left this page.");
  },

  async embedded() {
    const connect = document.createElement("everlink-connect");
    connect.setAttribute("session", (await post("/connect/embedded")).session);
    connect.addEventListener("connected", () => {
      say("Connected, in a frame of this page.");
      frame.close();
    });
    connect.addEventListener("error", ({ detail }) => say(detail.message, "bad"));
    connect.addEventListener("closed", () => frame.close());
    frame.addEventListener("close", () => connect.remove(), { once: true });
    frame.append(connect);
    frame.showModal();
  },

  async disconnect({ application }) {
    await (await everlink).disconnect(application);
    say("Disconnected.");
  },

  async post({ path }) {
    say((await post(path)).message);
  },
};

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-do]");
  if (!button) return;
  say("");
  button.ariaBusy = "true";
  try {
    await ACTIONS[button.dataset.do](button.dataset);
  } catch (error) {
    say(error.message, "bad");
  } finally {
    button.ariaBusy = null;
  }
});

async function look() {
  const response = await fetch("/settings/integrations/now");
  if (!response.ok) return;
  const focused = document.activeElement.id;
  now.innerHTML = await response.text();
  if (focused) document.getElementById(focused)?.focus();
}

async function post(path) {
  const response = await fetch(path, { method: "POST" });
  if (!response.ok) throw new Error("That did not work. Please try again.");
  return response.json();
}

function say(text, kind = "") {
  notice.textContent = text;
  notice.className = kind;
}
