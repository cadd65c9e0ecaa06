// An OpenID Connect provider for one test: it prints its address and serves until it is ended. Its sign-in is
// a form that takes any password; who somebody is stands in PEOPLE, JSON of claims by user name.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const people = JSON.parse(process.env.PEOPLE);
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'antiphon',
      client_secret: 'a-secret-between-the-two',
      redirect_uris: [process.env.REDIRECT_URI],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    }],
    pkce: { required: () => true },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
    findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
    // What it asks of people is one form, and what they are asked to agree to.
    features: { devInteractions: { enabled: true } },
    cookies: { keys: ['not-a-secret'] },
    conformIdTokenClaims: process.env.IN_USER_INFO === 'yes',
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
