# make demo           a primary, a standby and a DR node on this machine, a switchover and two failovers
# make demo BREAK=1   the same with one shipped segment taken away: must fail
# make test           formatting, lints, docs, feature sets, dependencies, the oldest Rust and all tests
# make check          the same without the tests
# make install PGROOT=DIR   builds the commands and installs them in DIR/2warm, also beside a running server
# make test-matrix    pg_standby and the 2warm set-up on PostgreSQL 10 to 18, fetched through npm

CARGO ?= cargo

# Most tests wait most of the time.
export RUST_TEST_THREADS ?= $(shell expr 2 \* $$(nproc))

.PHONY: check demo install test test-matrix needs-demo needs-test

demo: needs-demo
	$(CARGO) build --release -p twowarm-bins --features testbed --bins --example demo
	@$(CARGO) run --quiet --release -p twowarm-bins --features testbed --example demo

install:
	@test -n "$(PGROOT)" || { echo "usage: make install PGROOT=DIR (DIR is the directory that contains 2warm)" >&2; exit 1; }
	@test -d "$(PGROOT)" || { echo "$(PGROOT) does not exist. Create it first; it is usually the home directory of postgres" >&2; exit 1; }
	$(CARGO) build --release -p twowarm-bins -p twowarm-pgstandby
	@scripts/install "$${CARGO_TARGET_DIR:-target}/release" "$(PGROOT)"

check: needs-test
	$(CARGO) fmt --all --check
	$(CARGO) fmt --all --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	.ci/check-dependencies
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --workspace --all-features
	.ci/check-features
	.ci/check-msrv

test: check
	$(CARGO) test --workspace --all-features
	$(CARGO) test --manifest-path fuzz/Cargo.toml

test-matrix: needs-test
	@.ci/install-needs npm
	@.ci/test-matrix

needs-demo:
	@.ci/install-needs

needs-test:
	@.ci/install-needs test
