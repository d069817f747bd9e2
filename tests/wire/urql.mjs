// urql: queries and mutations by HTTP, subscriptions by graphql-ws and by server-sent events.
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { BALANCES, TENANT, TOP_UP, VIEWER, WRONG, tell, topUp } from "./operations.mjs";

const [url, authorization, tenant] = process.argv.slice(2);

function clientOf(headers, streams) {
  const socket = createClient({
    url: url.replace("http", "ws"), connectionParams: headers, webSocketImpl: WebSocket,
  });
  const forwardSubscription = (request) => ({
    subscribe: (sink) => ({ unsubscribe: socket.subscribe(request, sink) }),
  });
  const exchanges = streams
    ? [fetchExchange]
    : [subscriptionExchange({ forwardSubscription }), fetchExchange];
  const options = { url, exchanges, fetchOptions: { headers }, preferGetMethod: false };
  return new Client({ ...options, fetchSubscriptions: streams });
}

// What urql was reading when somebody left is aborted, and nobody catches it.
process.on("unhandledRejection", (error) => {
  if (error.name !== "AbortError") throw error;
});

const codeOf = ({ error }) => error === undefined
  ? "answered"
  : error.graphQLErrors[0]?.extensions.code ?? `status ${error.response?.status}`;

for (const streams of [false, true]) {
  const client = clientOf({ authorization }, streams);
  const ways = streams ? { url: `${url}/stream` } : {};
  tell((await client.query(TENANT, { key: tenant })).data);
  tell(codeOf(await client.query(WRONG, {})));
  const events = [];
  let changed;
  await new Promise((done, failed) => {
    const watching = client.subscription(BALANCES, { tenant }, ways).subscribe((result) => {
      if (result.error) return failed(result.error);
      events.push(result.data.change.balances[0].toppedUp.value);
      if (events.length > 1) return watching.unsubscribe(), done();
      changed = client.mutation(TOP_UP, topUp(tenant, `urql ${streams}`, "3000000")).toPromise();
    });
  });
  tell((await changed).data);
  tell(events);
  tell(await new Promise((done) => {
    const never = client.subscription(BALANCES, { tenant: "nobody" }, ways);
    never.subscribe((result) => done(codeOf(result)));
  }));
  tell(codeOf(await clientOf({}, streams).query(VIEWER, {})));
  tell(codeOf(await clientOf({ authorization: "Bearer wrong" }, streams).query(VIEWER, {})));
}
process.exit(0);
