// Snippets that send the first event. Pure functions of the server's origin.

export interface Snippet {
  id: string;
  label: string;
  /** What the snippet needs, and where it runs. */
  note: string;
  text: string;
}

function grpcurl(origin: string): string {
  const { protocol, hostname, port } = new URL(origin);
  const tls = protocol === "https:";
  const address = `${hostname}:${port || (tls ? "443" : "80")}`;
  return `grpcurl${tls ? "" : " -plaintext"} -d '{"events":[{
  "event_name": "signup_started",
  "timestamp": "'$(date -u +%FT%TZ)'",
  "session_id": "first-session"
}]}' ${address} millrace.v1.IngestService/SendEvents`;
}

const curl = (origin: string): string => `curl ${origin}/events \\
  -H 'content-type: application/json' \\
  -d '[{
    "event_name": "signup_started",
    "timestamp": "'$(date -u +%FT%TZ)'",
    "session_id": "first-session"
  }]'`;

export const snippets = (origin: string): Snippet[] => [
  { id: "curl", label: "curl", note: "Runs in a terminal.", text: curl(origin) },
  { id: "grpcurl", label: "grpcurl", note: "Runs in a terminal. Needs grpcurl.", text: grpcurl(origin) },
];
