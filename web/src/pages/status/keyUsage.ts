import { KeyScope } from "../../api/messages.ts";

/** How a key is presented: a command, or code of a page. `server`: its address, without a slash at the end. */
export function usageOf(scope: KeyScope, key: string, server: string): string {
  switch (scope) {
    case KeyScope.WRITE:
      return `curl ${server}/events \\
  -H 'authorization: Bearer ${key}' \\
  -H 'content-type: application/json' \\
  -d '[{"event_name": "signup_started", "timestamp": "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'", "session_id": "first-session"}]'`;
    case KeyScope.BROWSER:
      return `fetch("${server}/events", {
  method: "POST",
  keepalive: true,
  headers: { "content-type": "application/json", authorization: "Bearer ${key}" },
  body: JSON.stringify([{ event_name: "page_view", timestamp: new Date().toISOString(), session_id: "first-session" }]),
});`;
    default:
      return `authorization: Bearer ${key}`;
  }
}
