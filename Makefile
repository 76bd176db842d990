.DEFAULT_GOAL := help
.PHONY: help install train test quick lint format types ui clean ci

help:  ## what this Makefile can do
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install:  ## everything for development, at the tested versions
	pip install -c constraints.txt -e '.[dev]'

train:  ## train the first experiment
	python -m pipeline.train +experiment=digits

test:  ## every test (under 10 minutes on 2 cores)
	pytest

quick:  ## the tests without subprocesses and servers (under 2 minutes)
	pytest -m 'not slow'

lint:  ## what CI checks without running anything
	ruff format --check . && ruff check . && mypy

format:  ## mend what can be mended
	ruff format . && ruff check --fix .

ui:  ## MLflow's UI over the runs in mlruns
	python -m pipeline.ui

ci:  ## all of CI, in a fresh virtual environment
	bash .ci/run

clean:  ## remove caches; runs in mlruns stay
	rm -rf .pytest_cache .ruff_cache .mypy_cache build *.egg-info
