// What every client of these tests asks.
export const TENANT = `query Tenant($key: String!) { tenant(key: $key) { __typename key } }`;

export const TOP_UP = `mutation TopUp($input: TopUpCreateInput!) {
  topUpCreate(input: $input) {
    __typename topUp { __typename amount { __typename value } }
    userErrors { __typename code } } }`;

export const BALANCES = `subscription Balances($tenant: String!, $after: StreamPosition) {
  change: balanceChanged(tenant: $tenant, keys: ["whatsapp"], after: $after) {
    __typename position recovered
    balances { __typename key toppedUp { __typename value } } } }`;

export const WRONG = `query Wrong { nothing }`;

export const VIEWER = `query Viewer { viewer { __typename kind } }`;

export const topUp = (tenant, idempotencyKey, amount) => ({
  input: { tenant, balance: "whatsapp", amount, asOffered: false, idempotencyKey },
});

export const tell = (value) => console.log(JSON.stringify(value));
