# The only entry point. `make` or `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CONF ?= conf/seawall.yaml

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s $$'\t'

.PHONY: setup
setup: ## install what a build needs (Debian packages; asks for sudo when not root)
	@deploy/setup.sh build

.PHONY: setup-test
setup-test: setup ## install what the tests need: real clients and origins
	@deploy/setup.sh test

.PHONY: build
build: setup ## build the release binary, target/release/seawall
	SEAWALL_REVISION="$$(git rev-parse --short=12 HEAD 2>/dev/null || true)" cargo build --release --locked -p seawall

.PHONY: run
run: build ## build and start Seawall on CONF (conf/seawall.yaml)
	@echo
	@echo "Seawall listens on http://localhost:8080. Try it twice, in another terminal:"
	@echo "    curl -si http://localhost:8080/ | grep -i ^cache-status"
	@echo "Metrics: http://localhost:9091/metrics. Ctrl-C stops it."
	@echo
	exec target/release/seawall run $(CONF)

.PHONY: check
check: build ## check CONF and print what would run
	target/release/seawall check $(CONF)

.PHONY: test
test: setup-test ## all tests: units, properties, end to end
	cargo build --locked --workspace --bin seawall
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --locked --workspace --no-fail-fast; \
	else \
	  cargo test --locked --workspace --all-targets --no-fail-fast; \
	fi
	cargo test --locked --workspace --doc --quiet

.PHONY: conformance-checkout
conformance-checkout: setup-test ## the suite for HTTP caches as its repository has it: SUITE=a checkout with its npm packages
	cargo build --locked --workspace --bin seawall
	HTTP_CACHE_TESTS="$(abspath $(SUITE))" cargo test --locked --workspace --test http_cache -- --ignored --nocapture

FUZZ_SECONDS ?= 30

.PHONY: fuzz
fuzz: setup ## each parser of the caching rules under libFuzzer, FUZZ_SECONDS (30) each
	@command -v cargo-fuzz >/dev/null || cargo install --locked --quiet cargo-fuzz@0.13.2
	@for target in $$(ls fuzz/corpus); do \
	  echo "fuzzing $$target"; \
	  mkdir -p fuzz/target/found/$$target; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target fuzz/target/found/$$target fuzz/corpus/$$target \
	    -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; \
	done

.PHONY: conformance-peers
conformance-peers: setup-test ## the suite for HTTP caches against other caches and Seawall; SUITE=a checkout for the published tests
	@deploy/setup.sh peers
	cargo build --locked --workspace --bin seawall
	python3 tests/conformance/peers/compare.py --write $(if $(SUITE),--checkout "$(abspath $(SUITE))")

# A selection of packages (-p) would build all they need once more, for other features.
LONG := cargo nextest run --locked --workspace --profile soak --no-capture

.PHONY: soak
soak: setup-test build ## the long forms: upgrades, 2000 kills of the store, a 10 GiB object (needs 14 GB of disk), mixed load, more orders of events
	@command -v cargo-nextest >/dev/null || cargo install --locked --quiet cargo-nextest@0.9.143
	cargo build --locked --workspace --bin seawall
	SEAWALL_SOAK=1 $(LONG) -E 'package(seawall-test-upgrade)'
	SEAWALL_CRASHES=2000 $(LONG) -E 'package(seawall-store) and binary(crash) and test(survives)'
	SEAWALL_SOAK_SECONDS=600 $(LONG) -E 'package(seawall-test-resilience) and binary(soak)'
	SEAWALL_BIN=$(CURDIR)/target/release/seawall SEAWALL_LARGE=10240 $(LONG) -E 'package(seawall-test-resilience) and binary(large)'
	$(LONG) --run-ignored ignored-only -E 'package(seawall-test-resilience) and binary(disk_trouble)'
	LOOM_MAX_PREEMPTIONS=5 $(LONG) -E 'package(seawall-test-models)'

.PHONY: lint
lint: setup ## rustfmt, clippy with -D warnings, licences and banned dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny@0.20.2
	cargo fetch --locked --quiet
	cargo deny --locked --offline check licenses bans sources

.PHONY: docs
docs: ## write docs/reference.md, docs/metrics.md and docs/seawall.schema.json from what the program has
	cargo build --locked -q --workspace --bin seawall
	target/debug/seawall reference > docs/reference.md
	target/debug/seawall reference metrics > docs/metrics.md
	target/debug/seawall schema > docs/seawall.schema.json

.PHONY: bench-compress
bench-compress: build ## CPU per hit of a compressed variant, and per response compressed
	@deploy/setup.sh bench
	cargo build --release --locked -q --workspace --example cost
	target/release/examples/cost
	python3 benchmarks/compress.py --seawall target/release/seawall

.PHONY: bench
bench: build ## CPU per request beside nginx, HAProxy and Varnish in one run
	@deploy/setup.sh bench
	python3 benchmarks/bench.py --seawall target/release/seawall

.PHONY: bench-disk
bench-disk: build ## hits from memory and disk and fills beside nginx: CPU, latency, cold reads, what is written
	@deploy/setup.sh bench
	python3 benchmarks/disk.py --seawall target/release/seawall

.PHONY: bench-instructions
bench-instructions: build ## instructions and system calls per request beside nginx, for a busy machine
	@deploy/setup.sh bench
	python3 benchmarks/instructions.py --seawall target/release/seawall

.PHONY: bench-store
bench-store: build ## 1 and 10 million objects on disk: restarts, memory an object, purges by tag (10 GiB free needed)
	cargo build --release --locked --workspace --example objects
	python3 benchmarks/store.py --objects target/release/examples/objects --seawall target/release/seawall

.PHONY: hit-ratio
hit-ratio: setup ## hit ratios of the store beside other algorithms, on made traces
	cargo build --locked --workspace --bin seawall-simulator \
	  --config 'profile.dev.package.seawall-store.opt-level=3' --config 'profile.dev.package.seawall-simulator.opt-level=3'
	@[ -x target/bench-venv/bin/python ] || python3 -m venv target/bench-venv
	@target/bench-venv/bin/python -c 'import libcachesim' 2>/dev/null || target/bench-venv/bin/pip install -q libcachesim==0.3.5
	target/bench-venv/bin/python benchmarks/hit_ratio.py --simulator target/debug/seawall-simulator
	target/bench-venv/bin/python benchmarks/hit_ratio.py --simulator target/debug/seawall-simulator --tier disk --shares 0.1,0.3
	target/bench-venv/bin/python benchmarks/hit_ratio.py --simulator target/debug/seawall-simulator --tier choices --shares 0.1,0.3

.PHONY: clean
clean: ## remove everything built
	cargo clean
