// Snippets that send the first event. Each runs as it is when it is pasted into a POSIX shell: no tabs, which an interactive
// shell completes, and no "!" followed by a name, which it replaces from its history. A language's code is a here-document, so
// that nothing has to be saved to a file, and a comment says what has to be installed.

export interface Snippet {
  id: "curl" | "python" | "node" | "go" | "grpcurl" | "rust";
  label: string;
  /** What has to be installed, as one sentence. */
  note: string;
  text: string;
}

/** The time as a shell's argument. */
const SHELL_TIME = "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'";

/** `origin` has the format of `location.origin`, for example http://127.0.0.1:8080. */
export function snippets(origin: string): Snippet[] {
  const all = [curl(origin), python(origin), node(origin), go(origin), grpcurl(origin)];
  // Rust's standard library has no TLS, and neither has the client crate.
  return new URL(origin).protocol === "https:" ? all : [...all, rust(origin)];
}

function curl(origin: string): Snippet {
  const note = "Needs curl.";
  return {
    id: "curl",
    label: "curl",
    note,
    text: `# ${note}
curl ${origin}/events \\
  -H 'content-type: application/json' \\
  -d '[{
    "event_name": "signup_started",
    "timestamp": "${SHELL_TIME}",
    "session_id": "first-session"
  }]'`,
  };
}

function python(origin: string): Snippet {
  const note = "Needs Python 3.";
  return {
    id: "python",
    label: "Python",
    note,
    text: `python3 - <<'PYTHON'
# ${note}
import json, urllib.request
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
    headers={"content-type": "application/json"},
)
print(urllib.request.urlopen(request).read().decode())
PYTHON`,
  };
}

function node(origin: string): Snippet {
  const note = "Needs Node.js 18 or newer.";
  return {
    id: "node",
    label: "Node",
    note,
    text: `node --input-type=module <<'NODE'
// ${note}
const event = {
  event_name: "page_view",
  timestamp: new Date().toISOString(),
  session_id: "first-session",
  user_id: "ada",
  properties: { page_url: "/pricing", duration_ms: 1200 },
};
const response = await fetch("${origin}/events", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify([event]),
});
console.log(await response.text());
NODE`,
  };
}

function go(origin: string): Snippet {
  const note = "Needs Go 1.18 or newer.";
  return {
    id: "go",
    label: "Go",
    note,
    text: `(
dir=$(mktemp -d)
cat > "$dir/main.go" <<'GO'
// ${note}
package main

import (
    "bytes"
    "encoding/json"
    "io"
    "log"
    "net/http"
    "os"
    "time"
)

func main() {
    body, err := json.Marshal([]map[string]any{{
        "event_name": "signup_completed",
        "timestamp":  time.Now().UTC(),
        "session_id": "first-session",
        "user_id":    "ada",
    }})
    if err != nil {
        log.Fatal(err)
    }
    response, err := http.Post("${origin}/events", "application/json", bytes.NewReader(body))
    if err != nil {
        log.Fatal(err)
    }
    io.Copy(os.Stdout, response.Body)
}
GO
go run "$dir/main.go"
rm -r "$dir"
)`,
  };
}

function grpcurl(origin: string): Snippet {
  const note = "Needs grpcurl: go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest";
  const { protocol, hostname, port } = new URL(origin);
  const tls = protocol === "https:";
  return {
    id: "grpcurl",
    label: "grpcurl",
    note,
    text: `# ${note}
grpcurl${tls ? "" : " -plaintext"} -d '{"events": [{
  "event_name": "signup_started",
  "timestamp": "${SHELL_TIME}",
  "session_id": "first-session"
}]}' ${hostname}:${port || (tls ? "443" : "80")} millrace.v1.IngestService/SendEvents`,
  };
}

function rust(origin: string): Snippet {
  const note = "Needs Rust. For services there is a client crate: clients/rust in the repository.";
  const { host, hostname, port } = new URL(origin);
  return {
    id: "rust",
    label: "Rust",
    note,
    text: `(
dir=$(mktemp -d)
cat > "$dir/send.rs" <<'RUST'
// ${note}
use std::io::{Read, Write};
use std::net::TcpStream;

fn main() -> std::io::Result<()> {
    let body = std::env::args().nth(1).unwrap_or_default();
    let length = body.len().to_string();
    let head = [
        "POST /events HTTP/1.1",
        "Host: ${host}",
        "Content-Type: application/json",
        "Connection: close",
        &("Content-Length: ".to_owned() + &length),
        "\\r\\n",
    ];
    let mut stream = TcpStream::connect("${hostname}:${port || "80"}")?;
    stream.write_all((head.join("\\r\\n") + &body).as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    std::io::stdout().write_all(response.as_bytes())
}
RUST
rustc -o "$dir/send" "$dir/send.rs" && "$dir/send" '[{
  "event_name": "error_occurred",
  "timestamp": "${SHELL_TIME}",
  "session_id": "first-session",
  "properties": {"code": "503", "message": "upstream timeout"}
}]'
rm -r "$dir"
)`,
  };
}
