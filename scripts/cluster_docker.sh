# shellcheck shell=bash
# The nodes of docker-compose.cluster.yml, for scripts/cluster_test.sh, which runs in the repository's folder.

readonly COMPOSE=(docker compose -f docker-compose.cluster.yml --profile test)

cluster_start() {
  local certificates=$1/certificates name
  mkdir "$certificates"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -addext basicConstraints=critical,CA:FALSE \
    -addext 'subjectAltName=DNS:localhost,DNS:envoy' \
    -keyout "$certificates/tls.key" -out "$certificates/tls.crt" 2> "$1/openssl.log" || { cat "$1/openssl.log"; return 1; }
  # For the user of Envoy's image.
  chmod 755 "$1" "$certificates"
  chmod 644 "$certificates/tls.key"
  for name in CLICKHOUSE_PASSWORD CLICKHOUSE_PANEL_PASSWORD CLICKHOUSE_ADMIN_PASSWORD CLUSTER_SECRET; do
    export "$name=$(openssl rand -hex 16)"
  done
  export ENVOY_CERTIFICATES=$certificates MILLRACE_INSECURE_NO_KEYS=true
  # shellcheck disable=SC2034 # The test uses them.
  EDGE=localhost:8443 EDGE_CA=$certificates/tls.crt
  "${COMPOSE[@]}" build client && "${COMPOSE[@]}" up --detach --wait envoy
}

cluster_stop() { "${COMPOSE[@]}" down --volumes --timeout 20; }

kill_node() { "${COMPOSE[@]}" kill --signal KILL "$1"; }

# Returns when it is healthy.
start_node() { "${COMPOSE[@]}" up --detach --no-deps --no-recreate --wait "$1"; }

# The id of a Millrace server.
server_id() { "${COMPOSE[@]}" exec -T "$1" cat /data/server_id; }

# The rows of a statement on a ClickHouse server, separated by tabs.
sql() { "${COMPOSE[@]}" exec -T "$1" clickhouse-client --user admin --password "$CLICKHOUSE_ADMIN_PASSWORD" --query "$2"; }

# `millrace generate` to the edge.
generate() { "${COMPOSE[@]}" run --rm -T client generate --target https://envoy:8443 --ca /certificates/tls.crt "$@"; }

# Takes over the data folder of a Millrace server that is dead.
recover() { "${COMPOSE[@]}" run --rm -T --volume "millrace-cluster_$1:/dead" client recover --from /dead; }
