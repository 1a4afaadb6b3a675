.DEFAULT_GOAL := help
.PHONY: help setup run smoke grid test lint audit docs docs-serve viz mlflow bench lock clean-run

export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export NO_MKDOCS_2_WARNING := 1
KEDRO := .venv/bin/kedro
PYTHON := .venv/bin/python
GRID ?= paper

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## the environment: .venv and system libraries
	@scripts/bootstrap

run: setup ## AutoSimulate on CLEVR in Blender, to the report (minutes); ARGS="--params seed=1"
	@$(KEDRO) run $(ARGS)

smoke: setup ## the same path in seconds, too small to learn much
	@$(KEDRO) run --env smoke $(ARGS)

grid: setup ## every combination of a block of conf/base/grids.yml, the best one tested; GRID=paper ARGS="--jobs 2"
	@$(KEDRO) grid-search $(GRID) $(ARGS)

test: setup ## the tests, a process for each core
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist loadfile $(ARGS)

lint: setup ## ruff, mypy, import contracts
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

audit: setup ## what the Python Packaging Authority knows to be vulnerable among the pinned packages; needs a network
	@.venv/bin/uv tool run pip-audit@2.10.1 --requirement requirements.lock --disable-pip

docs: setup ## the documentation as a site, site/index.html; the notebooks run first (minutes), nothing is fetched
	@$(PYTHON) scripts/execute_notebooks.py
	@.venv/bin/mkdocs build --quiet
	@$(KEDRO) run --env smoke --quiet
	@mkdir -p logs && KEDRO_ENV=smoke $(KEDRO) viz build --include-previews > logs/viz.txt 2>&1 || { cat logs/viz.txt; exit 1; }
	@rm -rf site/graph && mv build site/graph

docs-serve: docs ## the same at http://127.0.0.1:8000, where its search works too, and the graph of a run at /graph/
	@$(PYTHON) -m http.server --bind 127.0.0.1 --directory site 8000

viz: setup ## the graph of three iterations in a browser, with previews of the run named autosimulate
	@$(KEDRO) viz run --host 127.0.0.1 --params loop.num_iterations=3,run=autosimulate

mlflow: setup ## the runs' curves in a browser
	@.venv/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --workers 1

bench: setup ## all methods on five seeds (an hour and a half on two cores, resumable); then the rendering benchmark
	@$(PYTHON) benchmarks/clevr_comparison.py
	@$(PYTHON) benchmarks/rendering.py

lock: setup ## resolves requirements.lock anew from pyproject.toml
	@.venv/bin/uv pip compile pyproject.toml --extra viz --extra dask --extra ray --extra pretrained --extra dev --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.lock

clean-run: ## deletes the folders of one run and lists them: make clean-run RUN=autosimulate
	@case "$(RUN)" in ""|.*|-*|*[!A-Za-z0-9._=+-]*) \
		echo "RUN must be a run's name, letters, digits and . _ = + -: make clean-run RUN=autosimulate"; exit 1;; esac; \
	deleted=; for folder in data/*/"$(RUN)"; do \
		if [ -d "$$folder" ]; then rm -rf -- "$$folder" && echo "deleted $$folder" && deleted=yes || exit 1; fi; done; \
	[ "$$deleted" ] || echo "nothing to delete: there is no folder data/*/$(RUN)"
