"""Build the book as `jupyter-book build . -W --keep-going -n` does, with the reason for a failure as the last line."""
import os
import shutil
import sys
from pathlib import Path

from chapters import Failed
from jupyter_book.sphinx import build_sphinx
from sphinx.errors import SphinxError


BUILD = Path("_build")


def reason(result):
    if isinstance(result, KeyboardInterrupt):
        return "interrupted; run it again, finished chapters are kept"
    if isinstance(result, Failed):
        return f"{result.place} failed; its traceback stands above"
    if isinstance(result, Exception):
        if type(result).__name__ == "ExecutionError":
            return f"a cell of {os.path.relpath(str(result))} failed; its traceback stands above"
        return "see the message above" if isinstance(result, SphinxError) else f"{type(result).__name__}: {result}"
    return "each WARNING above counts as a fault"


PROFILE = """\
c.IPKernelApp.log_level = 40
c.InteractiveShellApp.exec_lines = ["import warnings; warnings.filterwarnings('ignore', message='IProgress not found')"]
"""


def quiet_kernels(folder):
    "Kernels run with the book's own IPython profile: nobody's start-up files, and no warnings about the terminal."
    profile = folder / "profile_default" / "ipython_kernel_config.py"
    profile.parent.mkdir(parents=True, exist_ok=True)
    profile.write_text(PROFILE)
    os.environ["IPYTHONDIR"] = str(folder.resolve())


def draft_of(name):
    "Options of a build that runs one chapter alone: of the others no cell runs, and what they lack is no fault."
    chapters = {path.stem: path.as_posix() for path in Path("nbs").glob("*.ipynb")}
    if name not in chapters: sys.exit(f"There is no chapter “{name}”; make draft NAME=… takes one of {', '.join(sorted(chapters))}.")
    return {"nb_execution_excludepatterns": [path for stem, path in chapters.items() if stem != name] + ["book/*.md"]}


def main(name=None):
    "Build the site; with the name of a chapter, a draft of it."
    quiet_kernels(BUILD / ".ipython")
    site = BUILD / ("draft" if name else "html")
    new, options = site.with_suffix(".new"), draft_of(name) if name else {}
    for folder in (new, BUILD / "jupyter_execute"):
        shutil.rmtree(folder, ignore_errors=True)
    result = build_sphinx(".", new, path_config="_config.yml", noconfig=True, warningiserror=not name, keep_going=not name,
                          confoverrides={"nitpicky": True, "latex_individualpages": False, **options})
    if result:
        sys.exit(f"\nThe book was not built: {reason(result)}.")
    shutil.rmtree(site, ignore_errors=True)  # the old site stays until a new one is whole
    new.rename(site)
    if name: print(f"\nThe chapter is at {site}/nbs/{name}.html; the others have no outputs there.")


if __name__ == "__main__":
    main(*sys.argv[1:])
