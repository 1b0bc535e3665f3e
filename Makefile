# make run    the pipeline on this machine; DATA, PRESET, SEED, SPLIT, DATE, WINDOW, EVALUATION_DAYS,
#             ALLOW_MISSING=1, ACCEPT_DATA=1 and RUNS as `deepfm run --help` says
# make test   the whole gate: format, lint, types, tests
# make bench  the training input, timed against TFX's own
# make bench-serving  the local server under load, with and without batching; MODEL=<folder of a SavedModel>
# make bench-switching  versions switched under load, then the server killed; MODEL=<folder of a served version>
# make bench-warm-start  warm against cold training on the days of `deepfm retrain`; RUNS=<folder of a dataset's runs>,
#             and PRESET, if they are of another than default
# make bench-quality  the presets' accuracy beside other packages'; DATA, and MODELS, SPLITS and SEEDS, lists
# make bench-latency  served versions beside each other, `predict` and `rank`; MODELS=<folders of versions>
# make bench-batch    `deepfm batch`, time and memory, beside other ways; MODEL=<folder of a served version>
#
# Each target first sets up what it needs inside this folder (.tools, .cache, .venv), from uv.lock.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

UV_VERSION := 0.13.9
UV := .tools/uv/bin/uv
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export UV_LINK_MODE ?= copy
# Keras and Matplotlib would write to the home folder.
export KERAS_HOME ?= $(CURDIR)/.cache/keras
export MPLCONFIGDIR ?= $(CURDIR)/.cache/matplotlib

# The first that runs: pyenv's shim on the PATH does not where another version is selected.
PYTHON311 := $(shell for python in "$$(command -v python3.11)" $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.11.*/bin/python3.11; \
	do "$$python" -c "" 2>/dev/null && echo "$$python" && break; done)
export UV_PYTHON := $(PYTHON311)
export UV_PYTHON_DOWNLOADS := never

.PHONY: run test bench bench-serving bench-switching bench-batch bench-latency bench-warm-start bench-quality clean

run: .venv/.ready
	@.venv/bin/deepfm run $(if $(DATA),--data "$(DATA)") $(if $(PRESET),--preset "$(PRESET)") \
		$(if $(SEED),--seed "$(SEED)") $(if $(SPLIT),--split "$(SPLIT)") \
		$(if $(DATE),--date "$(DATE)") $(if $(WINDOW),--window "$(WINDOW)") \
		$(if $(EVALUATION_DAYS),--evaluation-days "$(EVALUATION_DAYS)") \
		$(if $(ALLOW_MISSING),--allow-missing) $(if $(ACCEPT_DATA),--accept-data) \
		$(if $(RUNS),--runs "$(RUNS)")

test: .venv/.ready
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/pytest

bench: .venv/.ready
	@.venv/bin/python tests/benchmarks/trainer_input.py

bench-serving: .venv/.ready
	@.venv/bin/python tests/benchmarks/server.py $(if $(MODEL),--model "$(MODEL)")

bench-switching: .venv/.ready
	@.venv/bin/python tests/benchmarks/switching.py "$(MODEL)"

bench-warm-start: .venv/.ready
	@.venv/bin/python tests/benchmarks/warm_start.py "$(RUNS)" $(if $(PRESET),"$(PRESET)")

bench-batch: .venv/.ready
	@.venv/bin/python tests/benchmarks/batch.py "$(MODEL)"

bench-latency: .venv/.ready
	@.venv/bin/python -m tests.benchmarks.latency $(MODELS)

bench-quality: .venv/.ready .cache/quality/baselines/.ready
	@.venv/bin/python -m tests.benchmarks.quality.bench $(if $(DATA),--data "$(DATA)") \
		$(if $(MODELS),--models $(MODELS)) $(if $(SPLITS),--splits $(SPLITS)) $(if $(SEEDS),--seeds $(SEEDS))

# The packages of the baselines, apart from the project's; --no-config, or its overrides hold for them too.
.cache/quality/baselines/.ready: tests/benchmarks/quality/baselines/requirements.txt $(UV)
	@rm -rf .cache/quality/baselines
	$(UV) venv --no-config --quiet --python "$(PYTHON311)" .cache/quality/baselines
	$(UV) pip install --no-config --quiet --python .cache/quality/baselines/bin/python --requirement $<
	@touch $@

$(UV):
	@test -n "$(PYTHON311)" || { echo "Python 3.11 is needed, on the PATH or among pyenv's versions; none found." >&2; exit 1; }
	@rm -rf .tools/uv
	"$(PYTHON311)" -m venv .tools/uv
	.tools/uv/bin/python -m pip install --quiet uv==$(UV_VERSION)

.venv/.ready: pyproject.toml uv.lock $(UV)
	$(UV) sync --locked --quiet
	@touch $@

clean:
	rm -rf .venv .tools .cache build dist
