// A subscription that outlives its connections: stock graphql-ws, or graphql-sse.
import { createClient as streamClient } from "graphql-sse";
import { createClient as socketClient } from "graphql-ws";
import WebSocket from "ws";
import { BALANCES, tell } from "./operations.mjs";

const [way, url, authorization, tenant, retryAttempts] = process.argv.slice(2);
const soon = () => new Promise((resolve) => setTimeout(resolve, 100));
const variables = { tenant, after: null };

const client = way === "sockets"
  ? socketClient({
      url: url.replace("http", "ws"), webSocketImpl: WebSocket, retryAttempts,
      retryWait: soon, shouldRetry: () => true, connectionParams: () => ({ authorization }),
      on: {
        connecting: (again) => again && tell({ again: variables.after !== null }),
        closed: ({ code }) => tell({ closed: code ?? null }),
      },
    })
  : streamClient({
      url: `${url}/stream`, retryAttempts, retry: soon, headers: () => ({ authorization }),
      on: { connecting: (again) => again && tell({ again: variables.after !== null }) },
    });

client.subscribe({ query: BALANCES, variables }, {
  next({ data: { change } }) {
    variables.after = change.position;
    tell({ toppedUp: change.balances[0].toppedUp.value, recovered: change.recovered });
  },
  error: (error) => {
    tell({ error: error.code ?? error.response?.status ?? String(error) });
    process.exit(0);
  },
  complete: () => tell({ complete: true }),
});
