// The comparison of `make bench`: what a team writes first. POST /events validates, keeps the events in memory, and responds;
// every 10,000 events or 100 ms they are inserted as JSONEachRow. Nothing is durable before, and nothing is retried.

import { createServer, request as httpRequest, Agent } from "node:http";

const { url, user, password } = JSON.parse(process.env.ENDPOINT);
const BATCH_EVENTS = 10_000;
const BATCH_DELAY_MS = 100;
const MAX_BUFFERED_EVENTS = 500_000;

const settings = new URLSearchParams({
  query: `INSERT INTO ${process.env.TABLE} FORMAT JSONEachRow`,
  date_time_input_format: "best_effort",
  input_format_skip_unknown_fields: "1",
  async_insert: "0",
  max_block_size: "65409",
  max_insert_block_size: "1048576",
});
const agent = new Agent({ keepAlive: true, maxSockets: 2 });
let lines = [];
let inserting = 0;

function insert(batch) {
  const body = batch.join("\n");
  return new Promise((resolve, reject) => {
    const headers = {
      "X-ClickHouse-User": user,
      "X-ClickHouse-Key": password,
      "Content-Length": Buffer.byteLength(body),
    };
    const sent = httpRequest(`${url}/?${settings}`, { method: "POST", agent, headers }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () =>
        response.statusCode === 200 ? resolve() : reject(new Error(Buffer.concat(chunks).toString())),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

async function flush() {
  if (lines.length === 0 || inserting >= 2) return;
  const batch = lines;
  lines = [];
  inserting += 1;
  await insert(batch);
  inserting -= 1;
  if (lines.length >= BATCH_EVENTS) await flush();
}

const fail = (error) => {
  console.error(error);
  process.exit(1);
};

function reasonInvalid(event) {
  if (typeof event.event_name !== "string" || event.event_name === "" || event.event_name.length > 128) return "event_name";
  if (Number.isNaN(Date.parse(event.timestamp))) return "timestamp";
  return null;
}

function post(body, response) {
  if (lines.length > MAX_BUFFERED_EVENTS) {
    response.writeHead(503, { "Content-Length": 0 }).end();
    return;
  }
  let accepted = 0;
  const rejections = [];
  const received_at = new Date().toISOString();
  JSON.parse(body).forEach((event, index) => {
    const field = reasonInvalid(event);
    if (field !== null) {
      rejections.push({ index, field });
      return;
    }
    accepted += 1;
    lines.push(
      JSON.stringify({
        event_name: event.event_name,
        timestamp: event.timestamp,
        session_id: event.session_id ?? "",
        user_id: event.user_id ?? null,
        device_type: event.device_type ?? "unknown",
        country_code: event.country_code ?? "ZZ",
        properties: JSON.stringify(event.properties ?? {}),
        received_at,
      }),
    );
  });
  const text = JSON.stringify({ accepted, rejections });
  response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }).end(text);
  if (lines.length >= BATCH_EVENTS) flush().catch(fail);
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    try {
      post(Buffer.concat(chunks).toString(), response);
    } catch (error) {
      response.writeHead(400).end(String(error));
    }
  });
});
setInterval(() => flush().catch(fail), BATCH_DELAY_MS);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
