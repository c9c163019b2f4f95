# make demo: the whole lab in two minutes. make test, make check: what CI runs. make lab: JupyterLab. make docs: the site. make questions, make generations: the studies' answers.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# One thread: bits depend on the thread count, and small models gain nothing from a second one.
export OMP_NUM_THREADS := 1
# Whatever the environment says: commands, kernels and workers start by the dozen, and compile everything each time where nothing keeps it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo lab check format test test-slow browser docs questions generations clean
.DEFAULT_GOAL := demo

demo: $(INSTALLED)
	@$(BIN)/sdxl-lab demo

# Given the file itself, Jupyter would show nothing but its folder: artifacts/ lies beside that.
lab: $(INSTALLED)
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/bench.ipynb

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Three processes on two cores too: some tests wait for servers, kernels and timeouts.
test: $(INSTALLED)
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-slow: $(INSTALLED)
	$(BIN)/pytest -m slow

browser: $(INSTALLED)
	$(BIN)/pytest -m browser

# Settings, commands, names and tables are written into docs/ first. The variable keeps a notice about mkdocs' next version out of the output.
docs: $(INSTALLED)
	@$(BIN)/python -m docs.making
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "to look at: site/index.html"

questions: $(INSTALLED)
	$(BIN)/sdxl-lab sweep notebooks/questions.yaml --workers 2
	$(BIN)/sdxl-lab sweep notebooks/holes.yaml --workers 2
	$(BIN)/python notebooks/questions.py
	$(BIN)/python -m sdxl_lab.pocket.training.evaluate_matched

generations: $(INSTALLED)
	$(BIN)/sdxl-lab sweep notebooks/generations.yaml --workers 2
	$(BIN)/python -m sdxl_lab.pocket.training.evaluate_generations

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sdxl_lab needs Python 3.11 or newer; name one: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache site
