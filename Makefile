# One-line fronts of the tasks in xtask/ (`cargo run -p xtask -- help`).
XTASK := cargo run --quiet --package xtask --

.PHONY: run build test bench sim soak tidy setup
run: ; @$(XTASK) run
build: ; @$(XTASK) build
test: ; @$(XTASK) test
bench: ; @$(XTASK) bench $(BENCH)
sim: ; @$(XTASK) sim $(or $(SCENARIO),put-get) $(or $(SEEDS),0..10)
soak: ; @$(XTASK) soak
tidy: ; @$(XTASK) tidy
setup: ; @$(XTASK) setup
