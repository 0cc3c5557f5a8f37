// What an ordinary program does with @clickhouse/client, against the embedded server:
// node client.mjs HOST PORT DATABASE
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";

const [host, port, database] = process.argv.slice(2);
// The errors that are asked for below are no news.
const log = { level: ClickHouseLogLevel.OFF };
const connect = (more) => createClient({ url: `http://${host}:${port}`, database, log, ...more });

const client = connect();
assert.ok((await client.ping()).success);
await client.command({
  query: "CREATE TABLE t (id UInt64, name String, price Decimal(18, 8)) ENGINE = MergeTree ORDER BY id",
});
const rows = Array.from({ length: 10000 }, (_, number) => ({ id: number, name: `name ${number}`, price: number / 8 }));

for (const compression of [{ request: true, response: true }, { request: false, response: false }]) {
  const other = connect({ compression });
  await other.command({ query: "TRUNCATE TABLE t" });
  const insert = await other.insert({ table: "t", values: rows, format: "JSONEachRow" });
  assert.equal(insert.executed, true);
  assert.equal(insert.summary?.written_rows, "10000");
  const found = await (await other.query({ query: "SELECT id, name, price FROM t ORDER BY id", format: "JSONEachRow" })).json();
  assert.equal(found.length, 10000);
  assert.equal(found[17].name, "name 17");
  assert.equal(Number(found[17].price), 2.125);
  await other.close();
}

// Parameters, settings, a query id of one's own.
const answer = await client.query({
  query: "SELECT {n:UInt8} + 1 AS m, {s:String} AS s, getSetting('max_threads') AS threads",
  query_params: { n: 41, s: "it's" }, clickhouse_settings: { max_threads: 3 }, query_id: "of-mine", format: "JSONEachRow",
});
assert.equal(answer.query_id, "of-mine");
const [row] = await answer.json();
assert.equal(row.m, 42);
assert.equal(row.s, "it's");
assert.equal(Number(row.threads), 3);
const page = await (await client.query({ query: "SELECT 1 AS a", format: "JSON" })).json();
assert.equal(page.rows, 1);

// Streams both ways.
await client.insert({
  table: "t", format: "JSONEachRow",
  values: Readable.from((function* () { for (let id = 20000; id < 30000; id++) yield { id, name: "streamed" }; })()),
});
await client.insert({ table: "t", format: "CSV", values: Readable.from(["30000,csv,1.5\n", "30001,csv,2.5\n"], { objectMode: false }) });
let streamed = 0;
const stream = (await client.query({ query: "SELECT number FROM numbers(500000)", format: "JSONEachRow" })).stream();
for await (const part of stream) streamed += part.length;
assert.equal(streamed, 500000);
const count = await (await client.query({ query: "SELECT count() AS c FROM t", format: "JSONEachRow" })).json();
assert.equal(Number(count[0].c), 20002);

// A session keeps its temporary table.
const session = connect({ session_id: `session-${process.pid}`, max_open_connections: 1 });
await session.command({ query: "CREATE TEMPORARY TABLE mine (a UInt8)" });
await session.insert({ table: "mine", values: [{ a: 1 }, { a: 2 }], format: "JSONEachRow" });
const sum = await (await session.query({ query: "SELECT sum(a) AS s FROM mine", format: "JSONEachRow" })).json();
assert.equal(Number(sum[0].s), 3);
await session.close();

for (const compression of [{ response: true }, { response: false }]) {
  const other = connect({ compression });
  for (const [query, code, type] of [["SELECT * FROM nope", "60", "UNKNOWN_TABLE"], ["SELEC 1", "62", "SYNTAX_ERROR"]]) {
    await assert.rejects(other.query({ query }), (error) => error.code === code && error.type === type, query);
  }
  await other.close();
}

await client.command({ query: "DROP TABLE t SYNC" });
await client.close();
console.log("all good");
