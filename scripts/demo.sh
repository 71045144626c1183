#!/usr/bin/env bash
# Runs a server with synthetic traffic on a temporary folder, until Ctrl-C or for DEMO_SECONDS.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "demo: $1" >&2; exit 1; }
command -v cargo > /dev/null || fail "cargo is missing: install Rust 1.93 or newer with rustup"
command -v npm > /dev/null || fail "npm is missing: install Node.js 20 or newer"
command -v python3 > /dev/null || fail "python3 is missing: install Python 3.9 or newer"

make --no-print-directory engine
make --no-print-directory build

folder=$(mktemp -d)
server='' traffic=''
clean_up() {
  trap - EXIT INT TERM
  [[ -z $traffic ]] || kill "$traffic" 2> /dev/null || true
  if [[ -n $server ]]; then
    kill "$server" 2> /dev/null || true
    wait "$server" 2> /dev/null || true
  fi
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# The default port, or a free one if it is in use.
port=$(python3 - << 'PYTHON'
import socket
for port in (8080, 0):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(s.getsockname()[1])
        break
PYTHON
)
millrace=target/release/millrace
# Flushes more often than by default, so that live traffic shows up sooner.
MILLRACE_LISTEN=127.0.0.1:$port MILLRACE_DATA_DIR=$folder/data FLUSH_INTERVAL_MS=500 \
  "$millrace" serve 2> "$folder/log" &
server=$!
for _ in $(seq 300); do
  grep -q 'millrace is ready' "$folder/log" && break
  kill -0 "$server" 2> /dev/null || fail "the server exited: $(tail -n 1 "$folder/log")"
  sleep 0.1
done
echo "filling the last 24 hours with synthetic traffic"
"$millrace" generate --target "http://127.0.0.1:$port" --backfill 24h --rate 20
"$millrace" generate --target "http://127.0.0.1:$port" --rate 50 --duration forever --scenario campaign \
  > "$folder/traffic" 2>&1 &
traffic=$!

cat << TEXT

Millrace is running, with 50 synthetic events per second. The dashboard:

  http://127.0.0.1:$port/

Query it with curl, or with grpcurl (a package of Debian and Homebrew, or:
go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest):

  curl -s http://127.0.0.1:$port/api/dashboard/signup-funnel?time_range=1h
  grpcurl -plaintext 127.0.0.1:$port millrace.v1.HealthService/Check
  grpcurl -plaintext -d '{"time_range":"TIME_RANGE_1H"}' 127.0.0.1:$port millrace.v1.DashboardService/GetSignupFunnel
  grpcurl -plaintext -d '{"panel":"top_features","time_range":"TIME_RANGE_24H"}' 127.0.0.1:$port millrace.v1.DashboardService/QueryPanel

The log is $folder/log. Ctrl-C stops everything and deletes $folder.
TEXT
if [[ -n ${DEMO_SECONDS:-} ]]; then
  sleep "$DEMO_SECONDS"
else
  wait "$server"
fi
