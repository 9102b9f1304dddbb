// node-oidc-provider with the same promises as ours: RS256 JWT access tokens, rotation, PKCE, the same lifetimes.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';

import Provider from 'oidc-provider';

import { PostgresqlAdapter, prepareDatabase } from './adapter.js';

const port = Number(process.env.PEER_PORT);
const issuer = `http://localhost:${port}`;
const RESOURCE = 'https://api.example';
const DAY = 86_400;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(issuer, {
  adapter: PostgresqlAdapter,
  // From memory: what is cheapest for the peer (ours are read from the database once a second).
  clients: [{
    client_id: 'bench',
    client_secret: process.env.PEER_CLIENT_SECRET,
    redirect_uris: ['https://app.example/cb'],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
    scope: 'openid profile email offline_access api',
  }],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'bench' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  scopes: ['openid', 'offline_access', 'profile', 'email', 'api'],
  claims: { openid: ['sub'], profile: ['name', 'updated_at'], email: ['email', 'email_verified'] },
  pkce: { required: () => true },
  rotateRefreshToken: () => true,
  issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: async () => false,
  ttl: {
    AccessToken: 900, AuthorizationCode: 60, ClientCredentials: 900, Grant: 30 * DAY, IdToken: 900,
    Interaction: 3600, RefreshToken: 30 * DAY, Session: 7 * DAY,
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: async (_ctx, _client, oneOf) => oneOf,
      useGrantedResource: async () => true,
      getResourceServerInfo: async () => ({
        scope: 'openid profile email offline_access api',
        audience: RESOURCE,
        accessTokenTTL: 900,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: async (_ctx, id) => ({
    accountId: id,
    claims: async () => ({
      sub: id, name: 'Ada Lovelace', updated_at: 1_700_000_000, email: 'ada@example.com', email_verified: true,
    }),
  }),
  // The client is trusted, as a first-party client is with us: no consent is asked for.
  loadExistingGrant: async (ctx) => {
    const { client, session } = ctx.oidc;
    const known = ctx.oidc.result?.consent?.grantId ?? session.grantIdFor(client.clientId);
    if (known) {
      return ctx.oidc.provider.Grant.find(known);
    }
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid profile email offline_access');
    grant.addResourceScope(RESOURCE, 'openid profile email offline_access api');
    await grant.save();
    return grant;
  },
});

await prepareDatabase();
const handle = provider.callback();
http.createServer(async (request, response) => {
  if (request.url.startsWith('/interaction/')) {
    // Signs in whoever comes: the sign-in itself is not what is measured.
    const accountId = `person-${randomBytes(8).toString('hex')}`;
    await provider.interactionFinished(request, response, { login: { accountId } });
    return;
  }
  handle(request, response);
}).listen(port, '127.0.0.1', 2048);
