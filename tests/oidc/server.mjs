// An OpenID provider: refresh tokens rotate with each use, and the use of an old one ends the grant; PKCE is demanded.
// Told by its environment where browsers go back to; prints its address. What is not of the standard is under /control.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const server = createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const claims = (sub) => ({ sub, email: `${sub}@oidc.example`, name: sub[0].toUpperCase() + sub.slice(1) });

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "everlink-oidc",
      client_secret: process.env.CLIENT_SECRET,
      redirect_uris: [process.env.REDIRECT_URI],
      grant_types: ["authorization_code", "refresh_token"],
    },
  ],
  claims: { openid: ["sub"], profile: ["name"], email: ["email"] },
  conformIdTokenClaims: false,
  cookies: { keys: [randomBytes(32).toString("hex")] },
  features: { revocation: { enabled: true } },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => claims(sub) }),
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig" }] },
  pkce: { required: () => true },
  rotateRefreshToken: () => true,
  ttl: { AccessToken: 3600, AuthorizationCode: 60, Grant: 86400, IdToken: 3600, Interaction: 600, RefreshToken: 86400, Session: 3600 },
});

const grants = new Map(); // by account
provider.on("refresh_token.saved", ({ accountId, grantId }) => grants.set(accountId, grantId));

async function revoke(account) {
  const id = grants.get(account);
  for (const kind of ["AccessToken", "RefreshToken"]) await provider[kind].revokeByGrantId(id);
  await (await provider.Grant.find(id))?.destroy();
}

const standard = provider.callback();
server.on("request", async (request, response) => {
  const [, control, account] = request.url.split("/");
  if (control !== "control") return standard(request, response);
  if (request.method === "DELETE") await revoke(account);
  const grant = await provider.Grant.find(grants.get(account));
  response.end(JSON.stringify({ alive: grant !== undefined }));
});
console.log(issuer);
