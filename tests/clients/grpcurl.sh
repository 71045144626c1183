#!/usr/bin/env bash
# What an operator does with grpcurl, without any .proto file, against the server at MILLRACE_TEST_ADDR.
set -euo pipefail

call() { grpcurl -plaintext "$@"; }
has() { grep -q -- "$1" <<<"$2" || { printf 'no %s in:\n%s\n' "$1" "$2" >&2; exit 1; }; }

addr=$MILLRACE_TEST_ADDR
services=$(call "$addr" list)
for service in millrace.v1.IngestService millrace.v1.DashboardService millrace.v1.HealthService grpc.health.v1.Health; do
  has "$service" "$services"
done
has 'rpc WatchPanels' "$(call "$addr" describe millrace.v1.DashboardService)"
has '"STATUS_OK"' "$(call "$addr" millrace.v1.HealthService/Check)"
has '"SERVING"' "$(call -d '{"service":"millrace.v1.IngestService"}' "$addr" grpc.health.v1.Health/Check)"
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
sent=$(call -d "{\"events\":[{\"event_name\":\"error_occurred\",\"timestamp\":\"$now\",\"session_id\":\"g\"},
  {\"timestamp\":\"$now\"}]}" "$addr" millrace.v1.IngestService/SendEvents)
has '"accepted": "1"' "$sent"
has '"field": "event_name"' "$sent"
for _ in $(seq 100); do
  panel=$(call -d '{"time_range":"TIME_RANGE_1H"}' "$addr" millrace.v1.DashboardService/GetErrorRate)
  grep -q '"errors"' <<<"$panel" && break
  sleep 0.2
done
has '"errorRatePct"' "$panel"
has 'top_features' "$(call "$addr" millrace.v1.DashboardService/ListPanels)"
if error=$(call -d '{"panel":"sales"}' "$addr" millrace.v1.DashboardService/QueryPanel 2>&1); then exit 1; fi
has 'NotFound' "$error"
echo ok
