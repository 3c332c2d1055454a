# The two commands of the README are `make run` and `make test`; the rest is what they are made of.

.PHONY: help setup build run test check unit process simulate bench deny clean-demo

DEMO_DIR ?= demo-data

help: ## says what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## installs what a build and the tests need, compiles RocksDB once for this machine
	@scripts/setup

build: setup ## builds the program, release
	cargo build --release --locked -p bursar

run: build ## starts the demo: three authority nodes and two storage servers on this machine; Ctrl-C ends it
	target/release/bursar demo --dir $(DEMO_DIR)

clean-demo: ## removes the demo's data; refuses while the demo runs
	@scripts/clean-demo $(DEMO_DIR)

test: check unit process simulate ## everything that must hold: formatting, lints, all tests, simulated fleets

check: setup ## formatting and lints
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p bursar --lib --no-default-features -- -D warnings

unit: setup ## tests of the crates, storage and consensus on both engines
	cargo test --locked --features bursar-storage/rocksdb,bursar-raft/rocksdb \
	    -p bursar-domain -p bursar-domain-testing -p bursar-net -p bursar-storage -p bursar-raft -p bursar-fleet -p bursar-wire -p bursar-api -p bursar-cli -p bursar-agent
	cargo test --locked --lib -p bursar-simulations -p bursar-net -p bursar-raft
	cargo test --locked -p bursar-simulations --test '*'

process: setup ## tests of the program with real processes
	scripts/test-processes

SEEDS ?= 0..200
JOBS ?= 2

SIMULATE = $${CARGO_TARGET_DIR:-target}/simulation/bursar-simulate

simulate: setup ## runs whole fleets in simulated worlds, a seed each (SEEDS=0..200, JOBS=2), and five of them twice
	cargo build --profile simulation --locked -p bursar-simulations
	$(SIMULATE) sweep --seeds $(SEEDS) --jobs $(JOBS) --all
	$(SIMULATE) meta --seeds 0..5 --jobs $(JOBS)

bench: setup ## measures the program beside etcd, and writes the figures where docs/benchmarks.md says
	scripts/bench

deny: ## licences, sources and duplicates of the dependencies (needs cargo-deny)
	cargo deny --locked check licenses bans sources
