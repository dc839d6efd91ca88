// A certified provider of OpenID Connect (npm's oidc-provider) with two clients, and users who are what they say.
// The environment says: PORT, REDIRECT_URI, CLIENT_ID, CLIENT_SECRET, AUDIENCE.
import Provider from 'oidc-provider';

const { PORT, REDIRECT_URI, CLIENT_ID, CLIENT_SECRET, AUDIENCE } = process.env;
const issuer = `http://127.0.0.1:${PORT}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      redirect_uris: [REDIRECT_URI],
      post_logout_redirect_uris: [new URL('/', REDIRECT_URI).href],
      backchannel_logout_uri: new URL('backchannel-logout', REDIRECT_URI).href,
    },
    {
      client_id: 'robot',
      client_secret: CLIENT_SECRET,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    },
  ],
  // Its own refuses to tell addresses of this machine that somebody has signed out.
  fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
  cookies: { keys: ['for tests alone'] },
  claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'groups'] },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id, name: `${id} of the lab`, preferred_username: id.split('@')[0], groups: ['lab'],
    }),
  }),
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({
        scope: '', audience: AUDIENCE, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});

provider.on('backchannel.error', (_context, error) => console.error('backchannel', error));
provider.listen(PORT, '127.0.0.1', () => console.log(`listening at ${issuer}`));
