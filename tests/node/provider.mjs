// An OpenID provider that is not ours: node provider.mjs <port> <file with its keys>. Whoever comes is signed in
// as the `login_hint` and consents.
import { readFileSync } from "node:fs";
import Provider from "oidc-provider";

const [port, keys] = process.argv.slice(2);
const RESOURCE = "https://portal.example.org";
const CALLBACK = "http://127.0.0.1:9/callback";

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { client_id: "shop", token_endpoint_auth_method: "none", redirect_uris: [CALLBACK], application_type: "native" },
  ],
  cookies: { keys: ["for tests"] },
  jwks: JSON.parse(readFileSync(keys, "utf8")),
  scopes: ["openid", "email"],
  claims: { email: ["email", "email_verified", "name"] },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@corp.example.org`, email_verified: true, name: id }),
  }),
  // What companies add to access tokens.
  extraTokenClaims: (ctx, token) => ({ groups: [`${token.accountId}-group`], email: `${token.accountId}@corp.example.org` }),
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "openid",
        audience: RESOURCE,
        accessTokenFormat: "jwt",
        accessTokenTTL: 300,
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res);
  let result;
  if (prompt.name === "login") {
    result = { login: { accountId: params.login_hint } };
  } else {
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope("openid email");
    grant.addResourceScope(RESOURCE, "openid");
    result = { consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
});

provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
