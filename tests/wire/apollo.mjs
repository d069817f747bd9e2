// Apollo's client: queries and mutations by HTTP, subscriptions by graphql-ws, and its errors.
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } from "@apollo/client/core";
import { CombinedGraphQLErrors, ServerError } from "@apollo/client/errors";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { BALANCES, TENANT, TOP_UP, VIEWER, WRONG, tell, topUp } from "./operations.mjs";

const [url, authorization, tenant] = process.argv.slice(2);
globalThis.WebSocket = WebSocket;

function clientOf(headers) {
  const socket = createClient({ url: url.replace("http", "ws"), connectionParams: headers });
  const http = new HttpLink({ uri: url, headers });
  const link = ApolloLink.split(
    ({ operationType }) => operationType === "subscription", new GraphQLWsLink(socket), http,
  );
  return { client: new ApolloClient({ link, cache: new InMemoryCache() }), socket };
}

const codeOf = (error) => CombinedGraphQLErrors.is(error)
  ? error.errors[0].extensions.code
  : ServerError.is(error) ? `status ${error.statusCode}` : String(error);

const { client, socket } = clientOf({ authorization });
const refused = (asked) => asked.then(() => "answered", codeOf);

tell((await client.query({ query: gql(TENANT), variables: { key: tenant } })).data);
tell(await refused(client.query({ query: gql(WRONG) })));

const seen = client.subscribe({ query: gql(BALANCES), variables: { tenant } });
const events = [];
let changed;
await new Promise((done, failed) => {
  const watching = seen.subscribe({
    next: ({ data, error }) => {
      if (error) return failed(error);
      events.push(data.change.balances[0].toppedUp.value);
      if (events.length > 1) return watching.unsubscribe(), done();
      const variables = topUp(tenant, "apollo", "2000000");
      changed = client.mutate({ mutation: gql(TOP_UP), variables });
    },
    error: failed,
  });
});
tell((await changed).data);
tell(events);

const never = client.subscribe({ query: gql(BALANCES), variables: { tenant: "nobody" } });
tell(await new Promise((done) => {
  never.subscribe({ next: ({ error }) => done(codeOf(error)), error: (error) => done(codeOf(error)) });
}));
await socket.dispose();

const stranger = clientOf({});
tell(await refused(stranger.client.query({ query: gql(VIEWER) })));
const liar = clientOf({ authorization: "Bearer wrong" });
tell(await refused(liar.client.query({ query: gql(VIEWER) })));
