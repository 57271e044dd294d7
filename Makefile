# make demo                the whole pass on a synthetic world: scenes, training, test, table, pictures
# make demo-indoor         the same in rooms: points alone against points and colour
# make demo-segmentation   the same for segmentation with four modalities
# make demo-translation    the same for two translation tasks: operators and single sources
# make test                the test suite        make test-slow   tests that take minutes
# make coverage            lines and branches that the suite runs, in work_dirs/coverage.md
# make mutate              150 changes to the code: which ones the tests notice
# make bench               benchmarks            make lint        ruff, pyright, import-linter
# make docs                the site, in site/: strict, a broken link or undocumented name fails
# Each sets up what it needs first (.venv); nothing is compiled. To keep what is installed, or to
# choose others:
#   make demo TORCH=keep MMCV=keep SPCONV=keep    use what `python3` has already
#   make demo TORCH="torch==2.4.1 --index-url https://..." SPCONV=spconv-cu121
#   make demo MMCV=compiled                       mmcv's own compiled ops (a compiler, 12 minutes)
PYTHON ?= python3
VENV ?= .venv
export TORCH MMCV SPCONV

BIN := $(VENV)/bin
# Golden vectors and small real frames, where they lie beside the checkout; tests skip without.
ifneq ($(wildcard ../shared/golden),)
export GEMINI_SHARED ?= $(abspath ../shared)
endif

.PHONY: setup demo demo-indoor demo-segmentation demo-translation test test-slow coverage mutate lint format bench docs clean

setup:
	@$(PYTHON) tools/setup_env.py --venv $(VENV)

demo: setup
	@$(BIN)/python tools/demo.py

demo-indoor: setup
	@$(BIN)/gemini-det3d demo-indoor $(ARGS)

demo-segmentation: setup
	@$(BIN)/gemini-det3d demo-segmentation $(ARGS)

demo-translation: setup
	@$(BIN)/gemini-det3d demo-translation $(ARGS)

test: setup
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: setup
	@$(BIN)/python -m pytest -m slow $(ARGS)

coverage: setup
	@$(BIN)/python -m coverage --version >/dev/null 2>&1 || $(BIN)/python -m pip install -q \
		--no-build-isolation -c tools/constraints.txt -e ".[coverage]"
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -n auto --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder $(ARGS)
	@$(BIN)/python -m coverage combine -q
	@$(BIN)/python -m coverage report --format=total --fail-under=0
	@mkdir -p work_dirs
	@$(BIN)/python -m coverage report --format=markdown --skip-covered > work_dirs/coverage.md

mutate: setup
	@$(BIN)/python -c "import cosmic_ray" 2>/dev/null || $(BIN)/python -m pip install -q \
		--no-build-isolation -c tools/constraints.txt -e ".[mutate]"
	@$(BIN)/python -m benchmarks.mutation $(ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup
	@$(BIN)/python tools/benchmark.py all --quick

docs: setup
	@$(BIN)/python -c "import material, mkdocstrings" 2>/dev/null || \
		$(BIN)/python -m pip install -q --no-build-isolation -c tools/constraints.txt -e ".[docs]"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

clean:
	rm -rf build dist site *.egg-info .pytest_cache .ruff_cache
