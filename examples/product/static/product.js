// The page: what the buttons do, and looking again when something has changed.
// `Everlink` and <everlink-connect> come from everlink.js, which Everlink serves.

const now = document.getElementById("now");
const notice = document.getElementById("notice");
const frame = document.getElementById("frame");

// Before any click: a browser opens a pop-up only in the click itself, not after a request.
const everlink = post("/connect/seamless").then((session) => new Everlink(session));
let ready = null;
everlink.then((one) => {
  ready = one;
  return one.getApps();
});

const ACTIONS = {
  async seamless({ application, connection }) {
    await ready.connect(application, {}, { connectionId: connection });
    say("Connected. You never left this page.");
  },

  async embedded() {
    const connect = document.createElement("everlink-connect");
    connect.setAttribute("session", (await post("/connect/embedded")).session);
    connect.addEventListener("connected", () => {
      say("Connected, in a frame of this page.");
      frame.close();
    });
    connect.addEventListener("error", ({ detail }) => say(detail.message));
    connect.addEventListener("closed", () => frame.close());
    frame.append(connect);
    frame.addEventListener("close", () => connect.remove(), { once: true });
    frame.showModal();
  },

  async disconnect({ application }) {
    await ready.disconnect(application);
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
    say(error.message);
  } finally {
    button.ariaBusy = null;
  }
});

// The server says when a webhook has arrived; the page then shows what the server knows.
new EventSource("/settings/integrations/changes").onmessage = look;

async function look() {
  const response = await fetch("/settings/integrations/now");
  if (response.ok) now.innerHTML = await response.text();
}

async function post(path) {
  const response = await fetch(path, { method: "POST" });
  if (!response.ok) throw new Error("Something went wrong. Please try again.");
  return response.json();
}

function say(text) {
  notice.textContent = text;
}
