# One-line fronts of the tasks in xtask/ (`cargo run -p xtask -- help`).
XTASK := cargo run --quiet --package xtask --

.PHONY: run build test bench sim soak life sqltests mutants tidy setup audit docs dist linker
run: linker ; @$(XTASK) run
build: linker ; @$(XTASK) build
test: linker ; @$(XTASK) test
bench: linker ; @$(XTASK) bench $(BENCH)
sim: linker ; @$(XTASK) sim $(or $(SCENARIO),put-get) $(or $(SEEDS),0..10)
soak: linker ; @$(XTASK) soak
life: linker ; @$(XTASK) life $(or $(RUNS),1) $(and $(TABS),--tabs)
sqltests: linker
	@$(XTASK) sqltests $(PART) --fuzz-minutes $(or $(FUZZ_MINUTES),10) $(and $(SLT),--slt $(SLT))
mutants: linker ; @$(XTASK) mutants
tidy: linker ; @$(XTASK) tidy
setup: linker ; @$(XTASK) setup
audit: linker ; @$(XTASK) audit
docs: linker ; @$(XTASK) docs
dist: linker ; @$(XTASK) dist

# Rust links with the system's C compiler; xtask, which brings everything else, needs it itself.
linker:
	@command -v cc >/dev/null || { \
	  echo "installing gcc, which Rust links with"; \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev; } || \
	  { echo "install a C compiler (Debian: sudo apt-get install gcc libc6-dev) and try again"; exit 1; }; }
