// An OpenID-certified provider that mints access tokens (RFC 9068) in three algorithms. Prints its
// issuer, and ends when stdin does. GET /mint/<algorithm> answers with a token that the provider's
// own token endpoint gave.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const server = createServer();
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const key = (kid, type, options) => {
  const { privateKey } = generateKeyPairSync(type, options);
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig' };
};

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'tenancy',
    client_secret: 'peer-client-secret',
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
  }],
  jwks: {
    keys: [
      key('rsa', 'rsa', { modulusLength: 2048 }),
      key('p256', 'ec', { namedCurve: 'P-256' }),
      key('ed', 'ed25519', {}),
    ],
  },
  scopes: ['api'],
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: 'api',
        audience: 'https://api.example',
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: new URL(resource).pathname.slice(1) } },
      }),
    },
  },
});

const mint = async (algorithm) => {
  const answer = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('tenancy:peer-client-secret')}` },
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      scope: 'api',
      resource: `https://api.example/${algorithm}`,
    }),
  });
  const body = await answer.json();
  if (!body.access_token) throw new Error(JSON.stringify(body));
  return body.access_token;
};

const handle = provider.callback();
server.on('request', async (request, response) => {
  const [, first, algorithm] = request.url.split('/');
  if (first === 'redirect') return response.writeHead(302, { location: '/jwks' }).end();
  if (first === 'endless') {
    response.writeHead(200);
    const more = () => response.write('x'.repeat(65536), more);
    response.on('error', () => {});
    return more();
  }
  if (first !== 'mint') return handle(request, response);
  try {
    response.end(await mint(algorithm));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});

console.log(issuer);
process.stdin.on('end', () => process.exit(0)).resume();
