# Every target sets up what it needs: a virtual environment in .venv.
PYTHON ?= python3

# Other versions of what this package builds on, each in a virtual environment of its own: STACK=onedl
# installs requirements/onedl.txt into .venv-onedl.
STACK ?=
REQUIREMENTS := $(if $(STACK),requirements/$(STACK).txt,requirements.txt)
VENV := .venv$(STACK:%=-%)
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# With any value, OpenCV comes without windows, and so without system libraries.
HEADLESS ?=
INPUTS ?= 100000

.PHONY: help setup demo table-demo losses-demo bench test test-quick test-all fuzz lint docs clean
help:
	@echo 'make demo   make a small data set, distil a detector on it, and compare (3 to 8 minutes)'
	@echo 'make table-demo  the paper'\''s table 4 on drawn shapes, five seeds (about an hour)'
	@echo 'make losses-demo  every loss on drawn shapes, three seeds (about an hour)'
	@echo 'make test   run the tests; make test-quick only those without a training (about a minute);'
	@echo '            make test-all the slow ones too: every detector family of mmdet;'
	@echo '            make test STACK=onedl runs them with the versions of requirements/onedl.txt'
	@echo 'make bench  measure what NST costs, side by side (a few minutes)'
	@echo 'make fuzz   hand INPUTS=100000 damaged files to each reader of files that strangers make'
	@echo 'make lint   check the style and the types'
	@echo 'make docs   build the pages into docs/_build/html'
	@echo 'make setup  only set up $(VENV); the others do this by themselves'

setup: $(READY)

$(READY): requirements.txt $(REQUIREMENTS) requirements/common.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 10) <= v < (3, 15))' || \
	  { echo 'error: $(PYTHON) is not Python 3.10 to 3.14: name one, as in make PYTHON=python3.11' >&2; exit 2; }
	@$(if $(HEADLESS),,$(PYTHON) nst_det/compat/system_libraries.py)
	@echo '== setting up $(VENV) (a few minutes, several GB, once)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --only-binary :all: -r $(REQUIREMENTS)
	$(if $(HEADLESS),$(BIN)/python -m pip install --only-binary :all: opencv-python-headless)
	$(BIN)/python -m pip install --only-binary :all: --no-build-isolation -r $(REQUIREMENTS) -e '.[test,docs]'
	@touch $@

demo: $(READY)
	$(BIN)/python tools/demo.py

table-demo: $(READY)
	$(BIN)/python tools/make_shapes_voc.py data/shapes_table --train 400 --test 200 --size 128
	$(BIN)/python tools/run_table.py configs/tables/table4_shapes.py \
	  --teacher configs/faster_rcnn/faster-rcnn_inception-bn-w0.375_24e_shapes128.py \
	  --seeds 0 1 2 3 4 --work-dir work_dirs/table_demo

losses-demo: $(READY)
	$(BIN)/python tools/make_shapes_voc.py data/shapes_table --train 400 --test 200 --size 128
	$(BIN)/python tools/run_table.py configs/tables/losses_shapes.py \
	  --teacher configs/gfl/gfl_inception-bn-w0.375_24e_shapes128.py \
	  --seeds 0 1 2 --work-dir work_dirs/losses_demo

# One process a core, at most four, for each holds a gigabyte, and each with one thread; a file's tests
# share what is made for them. In the order of the names, the long commands of the pages begin first.
PROCESSES ?= auto
TESTS ?= tests
# The tests call make themselves, with other values.
MAKEOVERRIDES :=
unexport STACK TESTS PROCESSES
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(PROCESSES) --maxprocesses 4 \
  --dist loadfile --no-loadscope-reorder

test: $(READY)
	$(PYTEST) $(TESTS)

test-quick: $(READY)
	$(PYTEST) tests/unit

test-all: $(READY)
	$(PYTEST) -m ''

bench: $(READY)
	$(BIN)/python -m benchmarks

fuzz: $(READY)
	$(BIN)/python tests/fuzz/fuzz_readers.py --inputs $(INPUTS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo 'the pages: docs/_build/html/index.html'

clean:
	rm -rf $(VENV) build docs/_build *.egg-info
