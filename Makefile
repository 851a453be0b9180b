# What a person needs: `make run`. Everything else is for those who change the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Where torch comes from; empty: the default index. Without a GPU, its CPU build is ten times smaller:
#   make run TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
TORCH := $(shell grep '^torch==' constraints.txt)
EXTRAS ?= dev

# What the test of accessibility asks each page; from npm, as its maker publishes it.
AXE := 4.14.1
AXE_SHA256 := 29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
AXE_FILE := .axe/node_modules/axe-core/axe.min.js

.PHONY: run install assets axe proof-tools test proof-book proof-faults proof-fuzz proof-api proof-load audit check bench bench-generate bench-train pictures format parity clean

run: $(INSTALLED)
	@exec $(BIN)/inkling up

install: $(INSTALLED)

# torch first and alone, at its pinned version: asked for by another package, pip would take the newest, with CUDA.
$(INSTALLED): pyproject.toml constraints.txt app/assets.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	$(BIN)/python -m app.assets
	@touch $@

assets: $(INSTALLED)
	$(BIN)/python -m app.assets

# The reference implementation that our networks are compared with.
parity: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS),parity]"

axe:
	npm install --prefix .axe --ignore-scripts --no-audit --no-fund --silent axe-core@$(AXE)
	echo "$(AXE_SHA256)  $(AXE_FILE)" | sha256sum --check --quiet

# What attacks the service, loads it, and asks for known faults of what it is made of.
proof-tools: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS),proof]"

# Three workers, though there may be two cores: many a test waits for a process, a lease or a browser. Whole files to each;
# the threads that PyTorch shares work out to sleep while they wait, or the workers' threads would take each other's cores.
test: $(INSTALLED)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 3 --dist loadfile

# The book's long training runs, an hour on two cores; what they measure goes into docs/proofs.md.
proof-book: $(INSTALLED)
	nice -n 10 $(BIN)/python -m pytest -m proof

# What befalls jobs, many times over: ten minutes on two cores. Needs PostgreSQL's programs, redis-server and faketime.
proof-faults: $(INSTALLED)
	INKLING_TEST_FAULTS=full $(BIN)/python -m pytest tests/e2e/faults

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive app workers migrations

# What reads strangers' bytes, fuzzed for ten minutes each, four at a time; its inputs go into tests/fuzz/corpus.
proof-fuzz: proof-tools
	INKLING_TEST_FUZZ=full $(BIN)/python -m pytest tests/test_fuzz.py

# Twenty thousand requests and more by the OpenAPI document, a quarter of an hour.
proof-api: proof-tools
	INKLING_TEST_API=full $(BIN)/python -m pytest tests/e2e/test_openapi.py

# Mixed traffic of 32 clients on a running service, ten minutes.
proof-load: proof-tools
	INKLING_TEST_LOAD=full $(BIN)/python -m pytest tests/e2e/test_load.py

# Asks PyPI about every pinned version; what it cannot be asked about fails it, too.
audit: proof-tools
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	$(BIN)/python bench/first_token.py

# Beside other engines, on this machine: about half an hour, ten minutes of it to build llama.cpp the first time
# (needs cmake, ninja and a C++ compiler).
LLAMA ?= .bench/llama
bench-generate: $(INSTALLED) $(LLAMA)/llama-bench
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS),parity,bench]"
	$(BIN)/python -m bench.generate --llama $(LLAMA)
	$(BIN)/python -m bench.serve --llama $(LLAMA)

# Our training loop beside other programs': about an hour. They go into a folder of their own, away from what is pinned.
bench-train: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS),parity]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .bench/peers -r bench/peers.txt
	$(BIN)/python -m bench.train

# Every page as it looks, into docs/images; needs chromium, four minutes.
pictures: $(INSTALLED)
	$(BIN)/python -m bench.pictures docs/images

$(LLAMA)/llama-bench:
	PYTHON=$(BIN)/python bash bench/build_llama.sh $(LLAMA)

clean:
	rm -rf $(VENV)
