// A real OpenID Connect provider (oidc-provider) on loopback. Its first line of output is its issuer. Its log-in form
// takes any password. Ends with its standard input.
//
// REDIRECT_URI: the client's. PORT: by default a free one. PUBLIC_CLIENT=1: a client without a secret.
// TLS_CERT, TLS_KEY: files, for https. GET /test?... changes it, for what a provider should not do:
// clock=SECONDS shifts its clock, keys=new replaces its signing keys, tamper=payload|none spoils ID tokens.

import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import Provider from "oidc-provider";

const ACCOUNTS = {
  vera: { groups: ["shop-viewers"] },
  ada: { groups: ["shop-viewers", "blog-editors"] },
  root: { groups: ["admins", "other"] },
  nobody: { groups: ["unknown"] },
  mail: { email: "Mail@Example.com", email_verified: true },
  unverified: { email: "unverified@example.com", email_verified: false },
};

const realNow = Date.now;
let offsetMs = 0;
Date.now = () => realNow() + offsetMs;
let tamper = "";

const { TLS_CERT, TLS_KEY } = process.env;
const respond = (request, response) => handle(request, response);
const server = TLS_CERT
  ? createTlsServer({ cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) }, respond)
  : createServer(respond);
let handle = (_request, response) => response.writeHead(503).end();
await new Promise((done) => server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", done));
const issuer = `${TLS_CERT ? "https" : "http"}://127.0.0.1:${server.address().port}`;

function createProvider() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const isPublic = process.env.PUBLIC_CLIENT === "1";
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "millrace",
        redirect_uris: [process.env.REDIRECT_URI],
        ...(isPublic ? { token_endpoint_auth_method: "none" } : { client_secret: "a+secret/for tests" }),
      },
    ],
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256" }] },
    cookies: { keys: ["for tests"] },
    pkce: { required: () => true },
    // As Okta, Keycloak and others do: groups are a claim of their own.
    claims: { openid: ["sub"], profile: ["preferred_username", "groups"], email: ["email", "email_verified"] },
    // Public clients get their claims in the ID token, the others as user info.
    conformIdTokenClaims: !isPublic,
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, ...ACCOUNTS[id] }),
    }),
    // Without a form for consent.
    async loadExistingGrant({ oidc }) {
      const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope("openid profile email");
      await grant.save();
      return grant;
    },
  });
  provider.use(async (context, next) => {
    await next();
    if (context.path !== "/token" || !context.body.id_token) return;
    const [head, payload, signature] = context.body.id_token.split(".");
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
    if (tamper === "payload") context.body.id_token = [head, encode({ ...claims, sub: "root" }), signature].join(".");
    if (tamper === "none") context.body.id_token = [encode({ alg: "none" }), payload, ""].join(".");
  });
  const serve = provider.callback();
  return async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, issuer);
    if (pathname !== "/test") return serve(request, response);
    offsetMs = Number(searchParams.get("clock")) * 1_000;
    tamper = searchParams.get("tamper") ?? "";
    if (searchParams.get("keys") === "new") handle = createProvider();
    response.end("ok");
  };
}

handle = createProvider();
console.log(issuer);
process.stdin.resume().on("end", () => process.exit());
