// A product's code, as the TypeScript compiler sees it beside everlink.d.ts.
/// <reference path="everlink.d.ts" />

const everlink = new Everlink({ token: "st_...", refreshToken: "sr_...", baseUrl: "https://everlink.product.example" });

async function connect(app: Everlink.Application): Promise<string | null> {
  const aborts = new AbortController();
  try {
    const fields = Object.fromEntries(app.auth_input_map.map((field) => [field.name, field.label]));
    const broken = app.connected_accounts.find((account) => account.status === "expired");
    const options = { signal: aborts.signal, timeout: 60_000, connectionId: broken?.connection_id };
    const connected = await everlink.connect(app.slug, fields, options);
    return connected.connectionId;
  } catch (error) {
    if (!(error instanceof EverlinkError)) throw error;
    const marked: string[] = error.code === "invalid_fields" ? (error.fields ?? []) : [];
    if (error.passes || error.status === 429) console.log(error.retryAfter, error.requestId, marked);
    return null;
  }
}

async function draw(): Promise<void> {
  const apps = await everlink.getApps();
  for (const app of apps) await connect(app);
  const one = await everlink.getApp("sandbox");
  if (one.auth_type === "keybased") await everlink.disconnect(one.slug);
  await everlink.connect("sandbox");
}

const unlisten: () => void = everlink.on("connected", ({ application, connectionId }) => void [application, connectionId]);
everlink.on("tokens", (tokens) => localStorage.setItem("refresh", tokens.refreshToken));
everlink.on("error", (error) => console.error(error.code, error.application, Everlink.version));
const frame = document.querySelector("everlink-connect");
frame?.addEventListener("connected", ({ detail }) => console.log(detail.application, detail.connection_id));
frame?.addEventListener("error", ({ detail }) => console.error(detail.error_code, detail.message));
void [draw, unlisten];

// @ts-expect-error: no token
new Everlink({});
// @ts-expect-error: no such event
everlink.on("conected", () => {});
// @ts-expect-error: fields are texts
everlink.connect("sandbox", { number: 1 });
// @ts-expect-error: it answers no text
everlink.disconnect("sandbox").then((text: string) => text);
// @ts-expect-error: its events speak as the API does
frame?.addEventListener("connected", ({ detail }) => console.log(detail.connectionId));
// @ts-expect-error: there is no such type
everlink.getApp("sandbox").then((app) => app.auth_type === "basic");
