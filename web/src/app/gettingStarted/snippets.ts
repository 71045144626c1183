// Snippets that send the first event. Pure functions of the server's origin and, if it requires one, an API key.

export interface Target {
  /** Format of `location.origin`, for example http://127.0.0.1:8080 */
  origin: string;
  key?: string;
}

export interface Snippet {
  name: string;
  language: string;
  text: (target: Target) => string;
}

function grpcurl({ origin, key }: Target): string {
  const { protocol, hostname, port } = new URL(origin);
  const tls = protocol === "https:";
  const address = `${hostname}:${port || (tls ? "443" : "80")}`;
  const header = key ? ` -H 'authorization: Bearer ${key}'` : "";
  return `grpcurl${tls ? "" : " -plaintext"}${header} -d '{"events":[{
  "event_name": "signup_started",
  "timestamp": "'$(date -u +%FT%TZ)'",
  "session_id": "first-session"
}]}' ${address} millrace.v1.IngestService/SendEvents`;
}

function curl({ origin, key }: Target): string {
  const header = key ? `  -H 'authorization: Bearer ${key}' \\\n` : "";
  return `curl ${origin}/events \\
  -H 'content-type: application/json' \\
${header}  -d '[{
    "event_name": "signup_started",
    "timestamp": "'$(date -u +%FT%TZ)'",
    "session_id": "first-session"
  }]'`;
}

function python({ origin, key }: Target): string {
  const header = key ? `, "authorization": "Bearer ${key}"` : "";
  return `import json, urllib.request
from datetime import datetime, timezone

event = {
    "event_name": "feature_used",
    "timestamp": datetime.now(timezone.utc).isoformat(),
    "session_id": "first-session",
    "user_id": "ada",
    "properties": {"feature": "export"},
}
request = urllib.request.Request(
    "${origin}/events",
    data=json.dumps([event]).encode(),
    headers={"content-type": "application/json"${header}},
)
print(urllib.request.urlopen(request).read().decode())`;
}

function typescript({ origin, key }: Target): string {
  const header = key ? `, authorization: "Bearer ${key}"` : "";
  return `const event = {
  event_name: "page_view",
  timestamp: new Date().toISOString(),
  session_id: "first-session",
  user_id: "ada",
  properties: { page_url: "/pricing", duration_ms: 1200 },
};
const response = await fetch("${origin}/events", {
  method: "POST",
  headers: { "content-type": "application/json"${header} },
  body: JSON.stringify([event]),
});
console.log(await response.json());`;
}

export const SNIPPETS: [Snippet, ...Snippet[]] = [
  { name: "grpcurl", language: "shell", text: grpcurl },
  { name: "curl", language: "shell", text: curl },
  { name: "Python", language: "python", text: python },
  { name: "TypeScript", language: "typescript", text: typescript },
];
