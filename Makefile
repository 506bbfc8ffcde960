# `make demo` and `make test` need only Python 3.11 or newer; they create their own virtual environment.
PYTHON ?= python3
BIN := .venv/bin
PLAIN := .venv/plain
DIST := build/dist
LOWEST := .venv/lowest
NEWEST := .venv/newest
PYTHONS := $(foreach minor,12 13 14 15,/usr/bin/python3.$(minor) /usr/local/bin/python3.$(minor) $(HOME)/.pyenv/versions/3.$(minor).*/bin/python3.$(minor))
QUIET := --quiet --disable-pip-version-check
KATEX_VERSION := 0.19.1
KATEX := .venv/katex/$(KATEX_VERSION)
PAGE := src/gridcloze/studio/page
BUILT := src/gridcloze/studio/built/index.html

FAULTS := OMP_NUM_THREADS=1 $(BIN)/python tests

.PHONY: demo test test-all fuzz kills plain coverage lowest newest lint bench bench-full docs site article page studio katex clean

demo: .venv/installed  ## learn squares, fill six puzzles, compare with the exact posterior
	$(BIN)/gridcloze demo -o demo

test: .venv/installed  ## the quick tests, one process per core
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --dist worksteal -m "not slow"

test-all: test  ## all tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --dist worksteal -m slow

fuzz: .venv/installed  ## 100,000 odd inputs, two processes: about half an hour; failing ones are kept in build/fuzz
	$(FAULTS)/fuzz/run.py --count 100000 --jobs 2

kills: .venv/installed  ## 1,000 kills, disks that are full, several processes in one folder, 20 killed workers: 40 minutes
	$(FAULTS)/campaigns/kills.py --kills 1000
	$(FAULTS)/campaigns/full_disk.py
	$(FAULTS)/campaigns/together.py --rounds 3
	OMP_NUM_THREADS=1 GRIDCLOZE_KILLS=20 $(BIN)/pytest -m slow tests/test_cluster.py -k killed_workers

coverage: .venv/installed  ## the quick tests, and which lines they run: a summary, and build/coverage
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --dist worksteal -m "not slow" --cov=gridcloze --cov-report=term --cov-report=html:build/coverage

# What a light install must do: both ways to start it, without torch.
LIGHT = cd models && ../$(1)/bin/gridcloze fill digits.onnx puzzles/digits-0.png -o ../$(1)/filled \
	&& ../$(1)/bin/python -m gridcloze check digits.onnx puzzles/digits-0.png && ! ../$(1)/bin/python -c "import torch" 2> ../$(1)/torch

plain: $(BUILT)  ## build sdist and wheel, install the wheel without extras and development tools, and fill with it
	rm -rf $(DIST) && $(PYTHON) -m venv --clear $(PLAIN) && $(PYTHON) -m venv --clear .venv/build
	.venv/build/bin/pip install $(QUIET) --constraint constraints.txt hatchling
	.venv/build/bin/hatchling build -t sdist -d $(DIST)
	.venv/build/bin/pip wheel $(QUIET) --no-deps --wheel-dir $(DIST) $(DIST)/*.tar.gz
	$(PLAIN)/bin/pip install $(QUIET) --constraint constraints.txt $(DIST)/*.whl
	$(call LIGHT,$(PLAIN))

lowest: .venv/installed  ## the lowest versions of pyproject.toml in a light install
	$(PYTHON) -m venv --clear $(LOWEST) && $(BIN)/python tests/lowest.py > $(LOWEST)/light.txt
	$(LOWEST)/bin/pip install $(QUIET) --constraint $(LOWEST)/light.txt .
	$(call LIGHT,$(LOWEST))

newest: $(BUILT)  ## a light install with the newest Python that is here, if it is newer than 3.11
	@newest=$$(ls $(PYTHONS) 2> /dev/null | sort -t. -k2 -n | tail -1); \
	if [ -z "$$newest" ]; then echo "newest: skipped, no Python newer than 3.11 is installed"; else \
	$$newest --version && $$newest -m venv --clear $(NEWEST) && $(NEWEST)/bin/pip install $(QUIET) . && ($(call LIGHT,$(NEWEST))); fi

lint: .venv/installed  ## lint, format check, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: .venv/bench  ## a short form of the benchmarks: ten minutes, writes no results
	$(BIN)/gridcloze compare --quick -o build/comparison
	for task in channels landcover digits sudoku; do $(BIN)/python benchmarks/$$task.py --quick || exit; done

bench-full: .venv/bench $(BUILT)  ## measure every figure of README and docs again, resumable: ten hours
	$(BIN)/python benchmarks/toys.py
	$(BIN)/python benchmarks/decoders.py benchmarks/results/runs/squares-0/model.safetensors
	for task in trust speed fills why channels landcover digits sudoku scale; do $(BIN)/python benchmarks/$$task.py || exit; done
	$(BIN)/python benchmarks/any_grid.py
	$(BIN)/python benchmarks/studio.py
	$(BIN)/python benchmarks/pages.py

docs: .venv/installed  ## write README.md, docs and models/README.md from templates, results and the program; build the site
	$(BIN)/python benchmarks/pages.py
	$(BIN)/python benchmarks/reference.py
	$(MAKE) site

site: .venv/docs katex  ## build the documentation site, build/site/index.html; what its pages show is run: five to ten minutes
	$(BIN)/python benchmarks/website.py

article: .venv/installed katex $(BUILT)  ## draw the pictures of docs/article; write build/article/index.html, build/hugo
	$(BIN)/python benchmarks/article.py

page: $(BUILT)  ## build the page of the studio; needs npm

studio: .venv/installed $(BUILT)  ## serve the page with the models of this repository, and open it
	cd models && ../$(BIN)/gridcloze studio squares.safetensors cnn-7.onnx channels.safetensors digits.safetensors --prior squares.prior.json

katex: $(KATEX)  ## install KaTeX, which sets the formulas of the article; needs npm

clean:
	rm -rf .venv build demo $(PAGE)/node_modules src/gridcloze/studio/built

$(PAGE)/node_modules: $(PAGE)/package-lock.json
	npm ci --silent --no-audit --no-fund --prefix $(PAGE)
	touch $@

$(BUILT): $(PAGE)/node_modules $(PAGE)/index.html $(wildcard $(PAGE)/*.ts) $(shell find $(PAGE)/src -type f)
	npm run --silent --prefix $(PAGE) check
	npm run --silent --prefix $(PAGE) test
	npm run --silent --prefix $(PAGE) build

$(KATEX):
	npm install --silent --no-audit --no-fund --no-save --prefix .venv/katex katex@$(KATEX_VERSION)
	touch $@

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/bench: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	touch $@

.venv/docs: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	touch $@
