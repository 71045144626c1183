#!/usr/bin/env bash
# The acceptance test of a cluster: kills ClickHouse replicas, Keepers and Millrace servers with kill -9 under load, and counts the
# events. Needs docker with compose, openssl and grpcurl.
#
#   scripts/cluster_test.sh
#
# CLUSTER_DRIVER   file with the functions that start, kill and ask the nodes: scripts/cluster_docker.sh
# GRPCURL          command: grpcurl
# RATE             events per second and generator: 500, with four generators
# SECONDS_LOADED   how long the generators of each step send: 40
# TIMEOUT          how many seconds anything that is waited for may take: 300
#
# A driver sets EDGE (HOST:PORT of Envoy) and EDGE_CA in `cluster_start FOLDER`, and has `cluster_stop`, `kill_node NODE`,
# `start_node NODE`, `server_id SERVER`, `sql REPLICA STATEMENT`, `generate OPTION...` and `recover SERVER`. The nodes are those of
# docker-compose.cluster.yml.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly GRPCURL=${GRPCURL:-grpcurl} RATE=${RATE:-500} SECONDS_LOADED=${SECONDS_LOADED:-40} TIMEOUT=${TIMEOUT:-300}
readonly GENERATORS=4 BATCH=100
readonly ANY=s2r2 # the replica that is asked, never killed
# shellcheck source=scripts/cluster_docker.sh
source "${CLUSTER_DRIVER:-scripts/cluster_docker.sh}"

step() { echo "--- $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

work=$(mktemp -d)
generators=() sender='' watcher=''
clean_up() {
  local status=$? process
  trap - EXIT INT TERM
  touch "$work/stop"
  for process in "${generators[@]}" $sender $watcher; do kill "$process" 2> /dev/null || true; done
  cluster_stop > "$work/stop.log" 2>&1 || { cat "$work/stop.log" >&2; status=1; }
  if ((status == 0)); then rm -rf "$work"; else echo "the logs are in $work" >&2; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# wait_for WHAT COMMAND...: until the command succeeds.
wait_for() {
  local what=$1 deadline=$((SECONDS + TIMEOUT))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || fail "$what: not within $TIMEOUT s"
    sleep 0.5
  done
}

# call METHOD MESSAGE SERVER: through Envoy, which takes the calls of a producer to its server, or to the other one if that is dead.
call() {
  "$GRPCURL" -cacert "$EDGE_CA" -max-time "${MAX_SECONDS:-30}" -emit-defaults -H "millrace-producer-id: ${pin[$3]}" -d "$2" \
    "$EDGE" "millrace.v1.$1" 2>> "$work/calls.log"
}

# ---- the servers behind the edge

declare -A pin
find_pins() {
  local id name number
  declare -A names
  for name in millrace1 millrace2; do names[$(server_id "$name")]=$name; done
  for number in $(seq 64); do
    pin[probe]=pin-$number
    id=$(call IngestService/GetProducer '{"producer_id":"probe"}' probe | sed -n 's/.*"serverId": "\(.*\)".*/\1/p') || return 1
    [[ -n $id && -n ${names[$id]:-} ]] || return 1
    pin[${names[$id]}]=pin-$number
    [[ -z ${pin[millrace1]:-} || -z ${pin[millrace2]:-} ]] || return 0
  done
  return 1
}

is_at() { call IngestService/GetProducer '{"producer_id":"probe"}' "$1" | grep -qF "$(server_id "$1")"; }
has_landed() { call HealthService/Check '{}' "$1" | grep -qF '"bufferSize": "0"'; }
wait_until_landed() {
  local server
  for server in millrace1 millrace2; do
    wait_for "producers of $server are with it" is_at "$server"
    wait_for "all events of $server are in ClickHouse" has_landed "$server"
  done
}
panels_answer() {
  local server
  for server in "$@"; do
    call DashboardService/QueryPanel '{"panel":"active_users","time_range":"TIME_RANGE_1H"}' "$server" > /dev/null || return 1
  done
}

# ---- load

accepted=0
start_generators() {
  local number
  generators=()
  for number in $(seq "$GENERATORS"); do
    generate --scenario steady --rate "$RATE" --duration "${SECONDS_LOADED}s" --seed "$number" \
      > "$work/generator.$number" 2> "$work/generator.$number.log" &
    generators+=($!)
  done
}
wait_for_generators() {
  local number
  for number in $(seq "$GENERATORS"); do
    wait "${generators[number - 1]}" || fail "a generator failed: $(cat "$work/generator.$number" "$work/generator.$number.log")"
    accepted=$((accepted + $(sed -n 's/^sent .* accepted \([0-9]*\),.*/\1/p' "$work/generator.$number")))
  done
  generators=()
}

# send_batch SESSION BATCH SERVER: events with ids. Fails if they are not acknowledged.
send_batch() {
  local events='' now number
  now=$(date -u +%Y-%m-%dT%H:%M:%S.%3NZ)
  for number in $(seq $(($2 * BATCH)) $(($2 * BATCH + BATCH - 1))); do
    events+=$(printf ',{"event_name":"page_view","session_id":"%s","timestamp":"%s","event_id":"%s-4000-8000-%012x","properties_json":"{\\"n\\":%d}"}' \
      "numbered-$1" "$now" "$(printf '%s' "$1" | cksum | cut -d' ' -f1 | xargs printf '%08x-0000')" "$number" "$number")
  done
  call IngestService/SendEvents "{\"events\":[${events:1}]}" "$3" | grep -qE "\"(accepted|duplicates)\": \"$BATCH\""
}

# Sends batches until there is a file `stop`, each until it is acknowledged. Numbers of those that were sent again are in `SESSION.again`.
send_until_stopped() {
  local batch=0
  : > "$work/$1.again"
  while [[ ! -e $work/stop ]]; do
    until send_batch "$1" "$batch" "$2"; do
      echo "$batch" >> "$work/$1.again"
      sleep 0.1
    done
    batch=$((batch + 1))
    echo "$batch" > "$work/$1.next" && mv "$work/$1.next" "$work/$1.sent"
  done
}
sent() { cat "$work/$1.sent" 2> /dev/null || echo 0; }
has_sent() { (($(sent "$1") >= $2)); }

# ---- what is stored

number() { sql "$ANY" "$1" | tr -d '[:space:]'; }
stored() { number "SELECT count() FROM millrace_all.events"; }
generated() { number "SELECT count() FROM millrace_all.events WHERE NOT startsWith(session_id, 'numbered-')"; }
# Of the events of `send_batch SESSION`, each counted once.
distinct() { number "SELECT uniqExact(JSONExtractUInt(properties, 'n')) FROM millrace_all.events WHERE session_id = 'numbered-$1'"; }
in_rollup() { number "SELECT sum(events) FROM millrace_all.rollup WHERE event_name = '' AND dimension = '' AND step = 1440"; }
has_stored_more_than() { (($(stored) > $1)); }

# equals WHAT NUMBER COMMAND...: the command prints the number, at once or later, and never a greater one.
equals() {
  local what=$1 expected=$2 found deadline=$((SECONDS + TIMEOUT))
  shift 2
  while found=$("$@"); ((found < expected)); do
    ((SECONDS < deadline)) || fail "$what: $found instead of $expected"
    sleep 0.5
  done
  ((found == expected)) || fail "$what: $found instead of $expected"
  echo "    $what: $found"
}

# Each is stored; twice are at most those of requests that were sent again.
check_numbered() {
  local doubled batch
  equals "events of $1, each counted once" $(($(sent "$1") * BATCH)) distinct "$1"
  doubled=$(sql "$ANY" "SELECT DISTINCT intDiv(n, $BATCH) FROM (SELECT JSONExtractUInt(properties, 'n') AS n
    FROM millrace_all.events WHERE session_id = 'numbered-$1' GROUP BY n HAVING count() > 1)")
  for batch in $doubled; do
    grep -qx "$batch" "$work/$1.again" || fail "$1: events of request $batch are stored twice, and it was sent once"
  done
  echo "    requests sent again: $(sort -u "$work/$1.again" | wc -l), of them stored twice: $(wc -w <<< "$doubled")"
}

# At every level, the rollup has as many events as there are.
check_rollup() {
  local rollup events difference
  equals 'events in the rollup' "$(stored)" in_rollup
  rollup="SELECT project, step, start, sum(events) AS n FROM millrace_all.rollup WHERE event_name = '' AND dimension = '' GROUP BY project, step, start"
  events="SELECT project, arrayJoin([1, 15, 60, 360, 1440])::UInt16 AS step,
    toDateTime(intDiv(toUnixTimestamp(timestamp), step * 60) * step * 60, 'UTC') AS start, count() AS n
    FROM millrace_all.events GROUP BY project, step, start"
  difference=$(sql "$ANY" "SELECT * FROM ($rollup) EXCEPT SELECT * FROM ($events)")$(sql "$ANY" "SELECT * FROM ($events) EXCEPT SELECT * FROM ($rollup)")
  [[ -z $difference ]] || fail "the rollup differs from the events: $difference"
}

table_of() { sql "$1" "SELECT count(), sum(cityHash64(batch, batch_row)) FROM millrace.events"; }
are_equal() { [[ $(table_of "$1") == "$(table_of "$2")" ]]; }
check_replicas() {
  wait_for 'the replicas of shard 1 are equal' are_equal s1r1 s1r2
  wait_for 'the replicas of shard 2 are equal' are_equal s2r1 s2r2
}

check() {
  wait_until_landed
  check_replicas
  equals 'events of the generators' "$accepted" generated
  check_rollup
}

# ---- the test

command -v "$GRPCURL" > /dev/null || fail "$GRPCURL is missing: install grpcurl, or set GRPCURL"

step 'start'
cluster_start "$work"
wait_for 'both servers are behind the edge' find_pins

step 'a watcher of one server sees what another one has accepted'
MAX_SECONDS=$TIMEOUT call DashboardService/WatchPanels '{"queries":[{"panel":"active_users","time_range":"TIME_RANGE_1H"}]}' millrace1 > "$work/watched" &
watcher=$!
wait_for 'the first value' grep -qE '"activeUsers": "0"' "$work/watched"
: > "$work/watcher.again"
send_batch watcher 0 millrace2 || fail 'the events were not acknowledged'
echo 1 > "$work/watcher.sent"
wait_for 'the value with the event' grep -qE '"activeUsers": "1"' "$work/watched"
# The stream ends by itself.
watcher=''

step 'load, and nothing dies'
start_generators
wait_for_generators
check
check_numbered watcher
if [[ $(number "SELECT count() FROM system.clusters WHERE cluster = 'millrace' AND shard_num > 1") != 0 ]]; then
  for replica in s1r1 s2r1; do
    (($(sql "$replica" 'SELECT count() FROM millrace.events') > 0)) || fail "the shard of $replica has no events"
  done
fi

for replica in s1r1 s2r1; do
  step "load, and the replica $replica is killed"
  before=$(stored)
  start_generators
  wait_for 'events in ClickHouse' has_stored_more_than "$before"
  kill_node "$replica"
  wait_for 'panels without the replica' panels_answer millrace1 millrace2
  # They are acknowledged also while the shard takes no inserts for want of a quorum.
  wait_for_generators
  start_node "$replica"
  check
done

# One of them is the leader.
for keeper in keeper1 keeper2 keeper3; do
  step "load, and $keeper is killed"
  before=$(stored)
  start_generators
  wait_for 'events in ClickHouse' has_stored_more_than "$before"
  kill_node "$keeper"
  before=$(stored)
  wait_for 'events in ClickHouse with two Keepers' has_stored_more_than "$((before + RATE))"
  wait_for_generators
  start_node "$keeper"
  check
done

for server in millrace1 millrace2; do
  step "load, and $server is killed"
  send_until_stopped "$server" "$server" &
  sender=$!
  wait_for 'acknowledged requests' has_sent "$server" 20
  kill_node "$server"
  before=$(sent "$server")
  wait_for 'acknowledged requests from the other server' has_sent "$server" $((before + 20))
  wait_for 'panels of the other server' panels_answer "$server"
  start_node "$server"
  wait_for "producers of $server are with it again" is_at "$server"
  before=$(sent "$server")
  wait_for 'acknowledged requests' has_sent "$server" $((before + 20))
  touch "$work/stop"
  wait "$sender"
  sender=''
  rm "$work/stop"
  check
  check_numbered "$server"
done

step 'a server dies for good, and its folder is recovered'
: > "$work/recovered.again"
for batch in $(seq 0 19); do
  send_batch recovered "$batch" millrace2 || fail 'the events were not acknowledged'
done
kill_node millrace2
echo 20 > "$work/recovered.sent"
recover millrace2
check_numbered recovered
start_node millrace2
check
check_numbered recovered

step "passed: $(stored) events"
