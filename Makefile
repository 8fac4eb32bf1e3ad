# Both commands set up what they need: make book, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP_LOG := $(VENV)/pip.log
SITE := _build/html

# Chapters run in this environment, with this checkout's library, whatever else is installed.
export PYTHONPATH := $(CURDIR)
export JUPYTER_PREFER_ENV_PATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where nothing compiled is kept, each of some hundred processes compiles all of PyTorch's sources again, for 2 s or more.
unexport PYTHONDONTWRITEBYTECODE
# A thread that waits for the others spins for a moment only: beside another program training then halves its speed, where it would lose five sixths.
export GOMP_SPINCOUNT := 20000
# Keep freed memory: otherwise glibc hands the blocks of large batches back after each use, and gets them again.
export MALLOC_TRIM_THRESHOLD_ := 2000000000
export MALLOC_MMAP_THRESHOLD_ := 2000000000

SOURCES := $(wildcard nbs/*.ipynb d2c/*.py d2c/datasets/*/* d2c/weights/* d2c/workbooks/*) _config.yml _toc.yml \
           $(shell find book -type f -not -path '*/__pycache__/*' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help book draft pdf test serve export clean

help:
	@echo "make book     build the website: sets up $(VENV), runs the chapters, prints where the site is"
	@echo "make draft    build the page of one chapter: make draft NAME=forward"
	@echo "make pdf      print the built site as one PDF (with Chromium)"
	@echo "make test     test every chapter, the library, the package and the built site"
	@echo "make serve    show the built site at http://localhost:8000"
	@echo "make export   write d2c/ from the notebooks, and strip outputs from them"
	@echo "make clean    remove what was built; $(VENV) stays (remove it by hand to start afresh)"
	@echo "PYTHON=…      the Python that $(VENV) is made from, 3.11 to 3.14 (now: $(PYTHON))"

define CHECK_PYTHON
import os, shutil, sys
if not (3, 11) <= sys.version_info < (3, 15):
    sys.exit("Python 3.11 to 3.14 is needed and $(PYTHON) is %d.%d; name another one: make PYTHON=python3.12 …" % sys.version_info[:2])
try:
    import ensurepip, venv
except ImportError:
    sys.exit("Python's venv module is missing; on Debian and Ubuntu: sudo apt install python3-venv")
free = shutil.disk_usage(".").free / 1e9
if free < 6.5 and not os.path.exists("$(VENV)"):
    sys.exit("About 6 GB of disk space are needed for the environment and %.1f GB are free here." % free)
endef
export CHECK_PYTHON

define WHY_PIP_FAILED
import re, shutil
log = open("$(PIP_LOG)", encoding="utf-8", errors="replace").read()
if "No space left" in log or shutil.disk_usage(".").free < 2e8:
    print("The disk is full: the environment needs about 6 GB; free some space and run the same command again.")
elif re.search("NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|NameResolutionError|connection broken", log):
    print("pip cannot reach the package registry: check the network (or pip's index setting) and run the same command again.")
else:
    print("pip could not install the packages; its message stands above, its log is $(PIP_LOG).")
endef
export WHY_PIP_FAILED

$(READY): settings.ini setup.py
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 to 3.14 is needed and there is no $(PYTHON); name one: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c "$$CHECK_PYTHON"
	@echo "Setting up $(VENV) (about 6 GB, a few minutes the first time) …"
	@$(PYTHON) -m venv $(VENV)
	@rm -f $(PIP_LOG)
	@env -u PYTHONPATH $(BIN)/python -m pip install --no-compile --log $(PIP_LOG) -e '.[dev]' || { $(BIN)/python -c "$$WHY_PIP_FAILED"; exit 1; }
	@touch $@

book: $(SITE)/index.html
	@echo
	@echo "The book is at $(SITE)/index.html"
	@echo "Open that file in a browser, or run: make serve"

# The site is as old as the moment its build began: what is edited meanwhile belongs to the next one.
$(SITE)/index.html: $(READY) $(SOURCES)
	@$(BIN)/python tests/exported.py
	@mkdir -p _build && touch _build/.began
	@$(BIN)/python book/_ext/build.py
	@touch -r _build/.began $@

draft: $(READY)
	@test -n "$(NAME)" || { echo "Name a chapter: make draft NAME=forward"; exit 1; }
	@$(BIN)/python tests/exported.py
	@$(BIN)/python book/_ext/build.py $(NAME)

pdf: book
	@$(BIN)/python book/_ext/pdf.py

test: $(READY)
	@echo "Testing the chapters …"
	@failed=0; \
	OMP_NUM_THREADS=1 $(BIN)/nbdev_test --n_workers 2 --do_print --timing || failed=1; \
	echo "Testing the library, the package and the site …"; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -v -n 2 --durations 30 || failed=1; \
	exit $$failed

serve: $(READY)
	@test -f $(SITE)/index.html || { echo "There is no site yet; run: make book"; exit 1; }
	@echo "http://localhost:8000 (stop with Ctrl-C)"
	@$(BIN)/python -m http.server --directory $(SITE) 8000

export: $(READY)
	@$(BIN)/nbdev_clean
	@$(BIN)/nbdev_export
	@$(BIN)/python book/_ext/workbooks.py
	@echo "d2c/ now equals what the notebooks export."

clean:
	@rm -rf _build build dist *.egg-info
	@echo "Removed what was built. $(VENV) stays; remove it by hand to start afresh."
