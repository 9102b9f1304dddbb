// A web app on openid-client: signs a person in, refreshes, asks who it is, revokes and signs out.
// Told by its first argument; each address to visit goes out as a line, and comes back as the one returned to.

import { createInterface } from "node:readline";
import * as openid from "openid-client";

const told = JSON.parse(process.argv[2]);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function say(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

async function visit(address) {
  say({ visit: address.href });
  return new URL((await lines.next()).value);
}

async function importKey(jwk) {
  return crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
}

const authentication = told.private_jwk
  ? openid.PrivateKeyJwt({ key: await importKey(told.private_jwk), kid: told.private_jwk.kid })
  : openid.ClientSecretBasic(told.client_secret);
const config = await openid.discovery(
  new URL(told.issuer),
  told.client_id,
  { userinfo_signed_response_alg: told.userinfo_signed_response_alg },
  authentication,
  // The provider under test speaks http on this machine; everything else stays as strict as it comes.
  { execute: [openid.allowInsecureRequests] },
);
openid.enableNonRepudiationChecks(config);

const DPoP = told.dpop ? openid.getDPoPHandle(config, await openid.randomDPoPKeyPair("ES256")) : undefined;
const pkceCodeVerifier = openid.randomPKCECodeVerifier();
const expectedNonce = openid.randomNonce();
const expectedState = openid.randomState();
const parameters = {
  redirect_uri: told.redirect_uri,
  scope: "openid profile email offline_access",
  code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: "S256",
  nonce: expectedNonce,
  state: expectedState,
  max_age: 3600,
};
const address = told.pushes
  ? await openid.buildAuthorizationUrlWithPAR(config, parameters, { DPoP })
  : openid.buildAuthorizationUrl(config, parameters);
const callback = await visit(address);
const tokens = await openid.authorizationCodeGrant(
  config,
  callback,
  { pkceCodeVerifier, expectedNonce, expectedState, idTokenExpected: true, maxAge: 3600 },
  undefined,
  { DPoP },
);
const claims = tokens.claims();
const userinfo = await openid.fetchUserInfo(config, tokens.access_token, claims.sub, { DPoP });

const refreshed = await openid.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
const again = await openid.fetchUserInfo(config, refreshed.access_token, claims.sub, { DPoP });
const alive = await openid.tokenIntrospection(config, refreshed.access_token);
await openid.tokenRevocation(config, refreshed.refresh_token);
const dead = await openid.tokenIntrospection(config, refreshed.access_token);

const state = openid.randomState();
const signedOut = await visit(
  openid.buildEndSessionUrl(config, {
    id_token_hint: refreshed.id_token,
    post_logout_redirect_uri: told.post_logout_redirect_uri,
    state,
  }),
);
say({
  claims,
  userinfo,
  again,
  refreshed_claims: refreshed.claims(),
  token_type: tokens.token_type,
  has_rotated: refreshed.refresh_token !== tokens.refresh_token,
  was_active: alive.active,
  is_active: dead.active,
  has_state: signedOut.searchParams.get("state") === state,
});
process.exit(0);
