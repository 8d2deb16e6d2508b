# Every target is one thin line over the tool that does the work. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# One thread a process, one process a core: two threads each destroy throughput.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
# DVC finds the stages' `python` and `scalelab` on the path.
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Published tables that tests and `bench fit` compare with, where they lie beside the checkout.
ifneq ($(wildcard ../shared/data),)
test proof: export SCALELAB_REFERENCE_DATA ?= $(abspath ../shared/data)
endif
test proof: export HF_HUB_OFFLINE := 1
test proof: export HF_DATASETS_OFFLINE := 1
test proof: export TRANSFORMERS_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help install repro law test proof lab ui lint lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

install: $(INSTALLED) ## the packages, into .venv

law: $(INSTALLED) ## the law alone, of params.yaml: on the screen and in results/report.html
	dvc repro law
	scalelab report

repro: $(INSTALLED) ## the law first, on the screen, then everything else: results/report.html
	dvc repro law
	scalelab report
	dvc repro
	scalelab status

test: $(INSTALLED) ## the test-suite
	pytest

proof: $(INSTALLED) ## an hour and a half: the slow simulations, then the benchmarks whose tables are committed
	pytest -m proof
	dvc repro corpus
	scalelab bench train --json experiments/archive/bench/train.json
	scalelab bench rates --json experiments/archive/bench/rates.json
	$(if $(SCALELAB_REFERENCE_DATA),scalelab bench fit $(SCALELAB_REFERENCE_DATA)/chinchilla_epoch.csv --drop-highest 5 --json experiments/archive/bench/fit.json,@echo 'bench fit: set SCALELAB_REFERENCE_DATA to the folder with chinchilla_epoch.csv')
	scalelab bench design --json experiments/archive/bench/design.json
	scalelab bench emergence --json experiments/archive/bench/emergence.json
	scalelab bench executors --json experiments/archive/bench/executors.json
	scalelab bench check --json experiments/archive/bench/check.json
	scalelab bench coverage --json experiments/archive/bench/coverage.json

lab: $(INSTALLED) ## JupyterLab on the notebooks, the index of them first
	jupyter lab analysis/notebooks/start.ipynb

ui: $(INSTALLED) ## MLflow on the published runs
	@echo 'Choose "Model training" at the top left of the page: its other view shows no runs.'
	mlflow ui --backend-store-uri sqlite:///mlflow.db

lint: $(INSTALLED) ## style, format, types
	ruff check .
	ruff format --check .
	pyright

lock: ## remake requirements.lock from pyproject.toml in a new environment
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/pip install torch==2.13.0
	$(BIN)/pip install -e '.[dev]'
	{ sed -n '/^#/p' requirements.lock; $(BIN)/pip freeze --exclude scalelab | sed 's/+[^ ]*$$//'; } > requirements.tmp
	mv requirements.tmp requirements.lock
	touch $(INSTALLED)

clean: ## remove the environment and the tools' caches; data, runs and results stay
	rm -rf .venv .pytest_cache .ruff_cache build dist

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11, 5) <= sys.version_info < (3, 13) else "scalelab needs Python 3.11 (3.11.5 or later) or 3.12, this is %d.%d.%d: say make PYTHON=python3.12" % sys.version_info[:3])'
	@echo 'Installing requirements.lock into .venv: a minute or two, once.'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@
