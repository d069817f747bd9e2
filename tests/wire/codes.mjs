// After which closes a stock graphql-ws client comes back: one client for each of these codes.
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { tell } from "./operations.mjs";

const [url, ...codes] = process.argv.slice(2);
for (const code of codes) {
  let connections = 0;
  const error = await new Promise((done) => {
    const client = createClient({
      url: `${url}/${code}`, webSocketImpl: WebSocket, retryWait: async () => {},
      on: {
        connecting: () => { connections++; },
        message: ({ type }) => { if (type === "complete") done(null); },
      },
    });
    client.subscribe({ query: "{ x }" }, { next() {}, error: done, complete: () => done(null) });
  });
  tell([code, connections, error?.code ?? null]);
}
