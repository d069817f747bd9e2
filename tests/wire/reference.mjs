// The reference server of graphql-transport-ws, on two ports: the second waits a moment for an init.
import { buildSchema } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const schema = buildSchema(`
  type Query { hello: String }
  type Mutation { say(word: String!): String }
  type Tick { number: Int! }
  type Subscription { ticks(name: String!): Tick! failing(after: Int!): Tick! }
`);
schema.getMutationType().getFields().say.resolve = (_, { word }) => word;
const { ticks, failing } = schema.getSubscriptionType().getFields();
ticks.subscribe = async function* (_, { name }) {
  for (let number = 0; number < 2; number++) yield { ticks: { number } };
  if (name === "endless") await new Promise(() => {});
};
failing.subscribe = async function* (_, { after }) {
  for (let number = 0; number < after; number++) yield { failing: { number } };
  throw new Error("broken");
};

const ports = [];
for (const connectionInitWaitTimeout of [60_000, 100]) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", maxPayload: 65_536 });
  useServer({ schema, connectionInitWaitTimeout }, server);
  await new Promise((resolve) => server.once("listening", resolve));
  ports.push(server.address().port);
}
console.log(JSON.stringify(ports));
