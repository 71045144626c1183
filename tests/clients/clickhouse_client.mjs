// @clickhouse/client against the embedded ClickHouse at CLICKHOUSE_TEST_URL.

import assert from "node:assert/strict";
import { createClient } from "@clickhouse/client";

const client = createClient({
  url: process.env.CLICKHOUSE_TEST_URL,
  username: "default",
  password: process.env.CLICKHOUSE_TEST_PASSWORD,
  compression: { request: true, response: true },
});
assert.ok((await client.ping()).success);
await client.command({ query: "CREATE TABLE js (id UInt64, name String) ENGINE = MergeTree ORDER BY id" });
const values = Array.from({ length: 10_000 }, (_, id) => ({ id, name: `näme ${id}` }));
await client.insert({ table: "js", values, format: "JSONEachRow" });
const counted = await client.query({
  query: "SELECT count() AS n, any(name) AS name FROM js WHERE id = {id:UInt64}",
  query_params: { id: 42 },
  format: "JSONEachRow",
});
assert.deepEqual(await counted.json(), [{ n: 1, name: "näme 42" }]);
const whole = await client.query({ query: "SELECT id FROM js ORDER BY id", format: "JSON" });
assert.equal((await whole.json()).rows, 10_000);
let rows = 0;
const stream = await client.query({ query: "SELECT number FROM numbers(300000)", format: "JSONEachRow" });
for await (const chunk of stream.stream()) rows += chunk.length;
assert.equal(rows, 300_000);
await assert.rejects(client.query({ query: "SELECT * FROM nowhere" }), /UNKNOWN_TABLE|nowhere/);
await client.close();
console.log("ok");
