// An authorization server on the loopback interface: `node provider.mjs [PORT]`, 0 for any free port.
//
// Says {"issuer", "kid"} on stdout once it is ready. Each line on stdin asks for a rotation of the signing key and is
// answered by the same line with the next `kid`; the key before stays in the key set until the rotation after. Ends
// with stdin, so it never outlives the tests.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider, { errors } from 'oidc-provider';

// The provider writes advice to stdout, which belongs to the tests.
console.info = console.error;

const SCOPE = 'items:read';
// RFC 8707: the resource that a client names decides on the form of its token.
const RESOURCES = {
  'urn:example:jwt': { accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } },
  'urn:example:opaque': { accessTokenFormat: 'opaque' },
};

// What the provider stores survives a rotation, which makes a new provider.
const stored = new Map();
class Adapter {
  constructor(model) {
    this.model = model;
  }
  async upsert(id, payload) {
    stored.set(`${this.model}:${id}`, payload);
  }
  async find(id) {
    return stored.get(`${this.model}:${id}`);
  }
  async destroy(id) {
    stored.delete(`${this.model}:${id}`);
  }
}

function newKey() {
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  return { ...key, kid: crypto.randomUUID(), alg: 'RS256', use: 'sig' };
}

function newProvider(issuer, keys) {
  return new Provider(issuer, {
    adapter: Adapter,
    jwks: { keys },
    cookies: { keys: ['no browser comes here'] },
    scopes: [SCOPE],
    clients: [
      {
        client_id: 'gateway',
        client_secret: 'gateway-secret',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        scope: SCOPE,
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:example:jwt',
        getResourceServerInfo: (_, resource) => {
          if (!(resource in RESOURCES)) throw new errors.InvalidTarget();
          return { audience: 'api', scope: SCOPE, ...RESOURCES[resource] };
        },
      },
    },
  });
}

let keys = [newKey()];
let answer;
const server = createServer((request, response) => answer(request, response));
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const serve = () => {
    answer = newProvider(issuer, keys).callback();
    console.log(JSON.stringify({ issuer, kid: keys[0].kid }));
  };
  serve();
  createInterface({ input: process.stdin })
    .on('line', () => {
      keys = [newKey(), keys[0]];
      serve();
    })
    .on('close', () => process.exit());
});
