#!/usr/bin/env bash
# Runs a server with four weeks of synthetic history, which live traffic continues, on a temporary folder: until Ctrl-C, or for
# DEMO_SECONDS.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "demo: $1" >&2; exit 1; }
command -v cargo > /dev/null || fail "cargo is missing: install Rust 1.93 or newer with rustup"
command -v npm > /dev/null || fail "npm is missing: install Node.js 20 or newer"
command -v python3 > /dev/null || fail "python3 is missing: install Python 3.9 or newer"

# What the traffic simulates: `millrace generate --help`.
readonly SCENARIO=${SCENARIO:-everyday}
# Events per second, on average over a week: 2.4 million in four weeks, which are inserted within a minute.
readonly RATE=1

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
url=http://127.0.0.1:$port
# Flushes more often than by default, so that live traffic shows up sooner.
started=$(date +%s%N)
MILLRACE_LISTEN=127.0.0.1:$port MILLRACE_DATA_DIR=$folder/data FLUSH_INTERVAL_MS=500 \
  "$millrace" serve 2> "$folder/log" &
server=$!
for _ in $(seq 3000); do
  grep -qs 'millrace is ready' "$folder/log" && break
  kill -0 "$server" 2> /dev/null || fail "the server exited: $(tail -n 1 "$folder/log")"
  sleep 0.01
done
grep -qs 'millrace is ready' "$folder/log" || fail "the server is not ready after 30 s: $(tail -n 1 "$folder/log")"
# Live traffic begins at once; the history fills up behind it, the newest hour first.
"$millrace" generate --target "$url" --scenario "$SCENARIO" --rate "$RATE" --backfill 28d --duration forever \
  > "$folder/traffic" 2> >(tee "$folder/progress" >&2) &
traffic=$!

# The page is live when a panel is answered with a figure of these events.
python3 - "$url/api/dashboard/error-rate?time_range=1h" "$traffic" << 'PYTHON' || fail "the traffic ended"
import json, os, sys, time, urllib.request
url, traffic = sys.argv[1:]
# The server is local: no proxy of the environment.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
while os.path.exists(f"/proc/{traffic}"):
    try:
        with opener.open(url, timeout=5) as response:
            if any(int(point["events"]) for point in json.load(response)["points"]):
                sys.exit()
    except OSError:
        pass  # tried again while the traffic runs
    time.sleep(0.01)
sys.exit(1)
PYTHON
live_after=$((($(date +%s%N) - started) / 1000000))
echo "the page is live: $url/"
until grep -qs 'history: complete' "$folder/progress"; do
  kill -0 "$traffic" 2> /dev/null || fail "the traffic ended"
  sleep 0.1
done

# $(megabytes BYTES)
megabytes() { echo "$((($1 + 500000) / 1000000)) MB"; }
# $(memory PID): its resident memory.
memory() { megabytes $((1024 * $(awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"))); }
# A thread may end while its file is read.
engine=$({ cat "/proc/$server/task"/*/children 2> /dev/null || true; } | awk 'NR == 1 { print $1 }')
engine_memory=''
[[ -z $engine ]] || engine_memory=", $(memory "$engine") engine"

cat << TEXT

  binary                 $(megabytes "$(stat -c %s "$millrace")"), and $(megabytes "$(stat -c %s "$(python3 scripts/fetch_engine.py)")") for the engine's library
  start to live page     $((live_after / 1000)).$(printf %03d $((live_after % 1000))) s
  memory                 $(memory "$server") server$engine_memory
  disk                   $(megabytes "$(du -sb "$folder/data" | cut -f1)") for four weeks of history

Millrace is running. Its traffic follows the hours of the day and the days of the week: $RATE event per second on average.
The dashboard:

  $url/

Query it with curl, or with grpcurl (a package of Debian and Homebrew, or:
go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest):

  curl -s $url/api/dashboard/signup-funnel?time_range=1h
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
