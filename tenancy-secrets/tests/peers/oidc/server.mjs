// An OpenID-certified authorization server in strict rotation, with counters. Prints its URL, and
// ends when stdin does. TOKEN_DELAY_MS holds the answers of token calls back.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Provider } from 'oidc-provider';

const delay = Number(process.env.TOKEN_DELAY_MS ?? 0);
const counts = { authorization_code: 0, refresh_token: 0, refused: 0, revocations: 0 };

const server = createServer();
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'tenancy',
    client_secret: 'peer-client-secret',
    redirect_uris: ['http://127.0.0.1:8080/api/oauth/acme/callback'],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
  }],
  features: {
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, Session: 600, Interaction: 600, Grant: 86400, IdToken: 3600, RefreshToken: 86400 },
  cookies: { keys: ['peer'] },
});

provider.use(async (ctx, next) => {
  await next();
  if (ctx.path === '/token') {
    const type = ctx.oidc?.params?.grant_type;
    if (type in counts) counts[type] += 1;
    if (ctx.status !== 200) counts.refused += 1;
    // The tokens are made by now; only the answer is late.
    if (delay > 0) await sleep(delay);
  }
  if (ctx.path === '/token/revocation') counts.revocations += 1;
});

const handle = provider.callback();
server.on('request', (request, response) => {
  if (request.url !== '/stats') return handle(request, response);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(counts));
});

console.log(issuer);
process.stdin.on('end', () => process.exit(0)).resume();
