# Quarry's tasks; `make` alone lists them. Each installs what it needs and this machine lacks (Debian, Ubuntu),
# saying so before. All share one profile, release, so that RocksDB is compiled once.

export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
# The workspaces of their own below (tests/oracle, tests/clients, fuzz) share the folder, and with it the compiled dependencies.
export CARGO_TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)

# Of the product and of those workspaces, each with a lock file of its own.
MANIFESTS := Cargo.toml tests/oracle/Cargo.toml tests/clients/Cargo.toml fuzz/Cargo.toml

.DEFAULT_GOAL := help
.PHONY: $(shell awk -F: '/^[a-z-]+:.*\#\# / { print $$1 }' $(firstword $(MAKEFILE_LIST)))

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build Quarry and start a mining node; ARGS="--no-mine" passes arguments to `quarry up`
	@deploy/setup
	cargo run --release --locked -- up $(ARGS)

test: ## Run all tests; ARGS="reorg" passes arguments to `cargo test`
	@deploy/setup tests
	cargo test --release --locked $(ARGS)
	cargo test --release --locked --manifest-path tests/oracle/Cargo.toml $(ARGS)
	cargo test --release --locked --manifest-path tests/clients/Cargo.toml $(ARGS)
	$(if $(ARGS),,fuzz/run 5)

oracle: ## Compare with Bitcoin Core's kernel at length; BLOCKS (100000), TRANSACTIONS (0), SEED (1), JOBS (all cores)
	@deploy/setup tests
	cargo run --release --locked --manifest-path tests/oracle/Cargo.toml -- --blocks $(or $(BLOCKS),100000) \
	  --transactions $(or $(TRANSACTIONS),0) --seed $(or $(SEED),1) --jobs $(or $(JOBS),$(shell nproc))

sim: ## Simulate SEEDS (1000) networks in virtual time, from seed FIRST (1) on
	@deploy/setup
	QUARRY_SIM_SEEDS=$(or $(SEEDS),1000) QUARRY_SIM_FIRST=$(or $(FIRST),1) \
	  cargo test --release --locked --test sim -- --nocapture p17_

fuzz: ## Fuzz each target for SECONDS (60); TARGET="wire_messages" chooses
	@deploy/setup
	fuzz/run $(or $(SECONDS),60) $(TARGET)

crash: ## Kill, cut and starve nodes for long: KILLS (1000), CUTS (100), FILLS (60), SIGNALS (100)
	@deploy/setup tests
	QUARRY_TEST_KILLS=$(or $(KILLS),1000) QUARRY_TEST_CUTS=$(or $(CUTS),100) QUARRY_TEST_FILLS=$(or $(FILLS),60) \
	  QUARRY_TEST_SIGNALS=$(or $(SIGNALS),100) QUARRY_TEST_STEP=1 QUARRY_TEST_POINTS=1 \
	  cargo test --release --locked --test durability -- --nocapture --test-threads 1 --skip s04

soak: ## Keep a node at work for HOURS (24); its memory, files and threads go to SOAK (soak.csv)
	@deploy/setup tests
	QUARRY_TEST_SOAK_SECONDS=$$(awk 'BEGIN { printf "%d", $(or $(HOURS),24) * 3600 }') \
	  QUARRY_TEST_SOAK_CSV=$(abspath $(or $(SOAK),soak.csv)) \
	  cargo test --release --locked --test durability -- --nocapture s04

bench: ## Measure the first minute of a node: time to RPC and first block, memory
	@deploy/setup
	cargo bench --profile release --locked --bench first_minute

bench-import: ## Time imports of block files beside Bitcoin Core's kernel; QUARRY_BENCH="payments empty" chooses parts
	@deploy/setup tests
	cargo build --release --locked --manifest-path tests/oracle/Cargo.toml --bin kernel_import
	QUARRY_KERNEL_IMPORT="$(CARGO_TARGET_DIR)/release/kernel_import" cargo bench --profile release --locked --bench import

bench-propagation: ## Measure how a block travels through ten nodes; QUARRY_BENCH_BLOCKS (20)
	@deploy/setup
	cargo bench --profile release --locked --bench propagation

bench-payments: ## Send payments through five nodes; QUARRY_BENCH_RATE (2000, or "most"), QUARRY_BENCH_SECONDS (60)
	@deploy/setup
	cargo bench --profile release --locked --bench payments

bench-sync: ## Time initial sync from two peers beside the import of the same blocks
	@deploy/setup
	QUARRY_BENCH=sync cargo bench --profile release --locked --bench import

bench-miner: ## Measure the search for blocks, each kernel that works here; ARGS="--rounds 21" passes arguments on
	@deploy/setup
	cargo run --release --locked -- bench-miner $(ARGS)

bench-mining: ## Measure how soon the mining threads follow, and how many blocks a second are generated
	@deploy/setup
	cargo bench --profile release --locked --bench miner

difficulty: ## Simulate how difficulty follows the hash rate; writes the tables and plots of docs/difficulty.md
	@deploy/setup
	QUARRY_WRITE_DIFFICULTY=1 cargo test --release --locked --test difficulty

lint: format clippy doc deny ## Run every check that is not a test

format: ## Check the formatting (rustfmt's default)
	@deploy/setup checks
	cargo fmt --check
	cargo fmt --check --manifest-path tests/oracle/Cargo.toml
	cargo fmt --check --manifest-path tests/clients/Cargo.toml
	cargo fmt --check --manifest-path fuzz/Cargo.toml

clippy: ## Check the code with Clippy; a warning is an error
	@deploy/setup tests checks
	cargo clippy --release --locked --all-targets -- -D warnings
	cargo clippy --release --locked --all-targets --manifest-path tests/oracle/Cargo.toml -- -D warnings
	cargo clippy --release --locked --all-targets --manifest-path tests/clients/Cargo.toml -- -D warnings
	cargo clippy --release --locked --all-targets --manifest-path fuzz/Cargo.toml -- -D warnings

doc: ## Build the documentation of the code; a warning is an error
	@deploy/setup
	RUSTDOCFLAGS="-D warnings" cargo doc --release --locked --no-deps --document-private-items

deny: ## Check the dependencies: banned versions, licenses, sources, advisories (rules: .deny.toml)
	@deploy/setup checks
	$(foreach manifest,$(MANIFESTS),cargo deny --manifest-path $(manifest) --config .deny.toml check bans licenses sources &&) true
	@if reason=$$(timeout 120 cargo deny fetch db 2>&1); then \
	  $(foreach manifest,$(MANIFESTS),cargo deny --manifest-path $(manifest) --config .deny.toml check --disable-fetch advisories &&) true; \
	else \
	  echo "skipped: advisories, because their database cannot be fetched:"; echo "$$reason" | tail -n 3; \
	fi

docker: ## Build the image; BUILDER_IMAGE and RUNTIME_IMAGE name other base images
	docker build --tag quarry $(foreach base,BUILDER_IMAGE RUNTIME_IMAGE,$(if $($(base)),--build-arg $(base))) .

network: ## Start a mining network of NODES (3) containers
	deploy/network --num-nodes $(or $(NODES),3)

network-down: ## End that network; its chains and wallets are kept
	deploy/network --down
