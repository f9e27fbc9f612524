// A certified OpenID client signs in by code with PKCE, and refreshes. The sign-in page is filled in over HTTP,
// as a browser would. Usage: node client.mjs ISSUER CLIENT REDIRECT EMAIL PASSWORD
import * as oidc from 'openid-client';

const [issuer, client, redirect, email, password] = process.argv.slice(2);
const config = await oidc.discovery(new URL(issuer), client, undefined, oidc.None(), {
  execute: [oidc.allowInsecureRequests],
});
const verifier = oidc.randomPKCECodeVerifier();
const state = oidc.randomState();
const nonce = oidc.randomNonce();
const address = oidc.buildAuthorizationUrl(config, {
  redirect_uri: redirect,
  scope: 'openid profile email offline_access',
  code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
  nonce,
});

const page = await fetch(address);
const text = await page.text();
const plain = (value) => value.replaceAll('&amp;', '&');
const action = plain(text.match(/<form method="post" action="([^"]*)"/)[1]);
const token = text.match(/name="form" value="([^"]*)"/)[1];
const cookie = page.headers.getSetCookie().map((one) => one.split(';')[0]).join('; ');
const answer = await fetch(new URL(action, issuer), {
  method: 'POST',
  redirect: 'manual',
  headers: { cookie, 'content-type': 'application/x-www-form-urlencoded' },
  body: new URLSearchParams({ form: token, email, password, action: 'allow' }),
});
const location = new URL(answer.headers.get('location'));

const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
const tokens = await oidc.authorizationCodeGrant(config, location, checks);
const claims = tokens.claims();
const user = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token);
await oidc.fetchUserInfo(config, renewed.access_token, claims.sub);
await oidc.tokenRevocation(config, renewed.refresh_token);
const after = await oidc.refreshTokenGrant(config, renewed.refresh_token).catch((error) => error.error);
console.log(JSON.stringify({
  claims,
  user,
  renewed: renewed.refresh_token !== tokens.refresh_token && renewed.access_token !== tokens.access_token,
  renewedSubject: renewed.claims()?.sub,
  after,
}));
