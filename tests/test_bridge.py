"""The bridge between nbdev's notebooks and Jupyter Book, on small books of its own."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import d2cbook  # noqa: E402

EQUATION = "# Forward\n\n$$a = b$$ (eq-forward-mean)\n\nSee {eq}`eq-forward-mean`."
CODE = '#| export\n#| eq: eq-forward-mean\ndef mean(x):\n    "The mean."\n    return x'
CHECK = "#| eq-check: eq-forward-mean\nassert mean(1) == 1"


def write_notebook(path, *cells):
    "Cells that start like a page (`# Title`, text, `$$`) are Markdown, all others code."
    path.parent.mkdir(parents=True, exist_ok=True)
    is_code = lambda text: text.startswith(("#|", "import ", "from ", "print(", "def ", "assert ", "raise "))
    make = lambda text: nbformat.v4.new_code_cell(text) if is_code(text) else nbformat.v4.new_markdown_cell(text)
    notebook = nbformat.v4.new_notebook(cells=[make(text) for text in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "python3", "language": "python"}
    nbformat.write(notebook, path)


def faults(folder, *cells):
    write_notebook(folder / "nbs" / "forward.ipynb", *cells)
    book = d2cbook.Book(folder)
    book.add_page("nbs/forward", folder / "nbs" / "forward.ipynb")
    return list(book.check())


def test_sound_chapter_has_no_faults(tmp_path):
    assert faults(tmp_path, EQUATION, CODE, CHECK) == []


FAULTS = {
    "code names no equation": (
        (EQUATION, CODE.replace("forward-mean", "forward-maen"), CHECK),
        ["forward.ipynb, cell 2 (`mean`)", "`#| eq: eq-forward-maen` names an equation that does not exist", "did you mean `eq-forward-mean`?"]),
    "check names no equation": (
        (EQUATION, CODE, CHECK.replace("forward-mean", "forward-mode")), ["cell 3 (`assert mean(1) == 1`)", "`#| eq-check: eq-forward-mode`"]),
    "page names no equation": (("# Forward\n\nSee {eq}`eq-forward-none`.",), ["cell 1", "{eq}`eq-forward-none`", "does not exist"]),
    "reason for no equation": (
        ("# Forward\n\n```{eq-prose} eq-forward-none\nA definition.\n```",), ["cell 1", "`{eq-prose} eq-forward-none`", "does not exist"]),
    "equation without code": (
        (EQUATION, CODE.replace("#| eq: eq-forward-mean\n", ""), CHECK), ["cell 1", "`eq-forward-mean` has no code", "write `#| eq: eq-forward-mean`"]),
    "equation without check": (
        (EQUATION, CODE), ["cell 1", "`eq-forward-mean` has no check", "write `#| eq-check: eq-forward-mean`"]),
    "no reason": ((EQUATION + "\n\n```{eq-prose} eq-forward-mean\n```",), ["cell 1", "gives no reason"]),
    "needless reason": ((EQUATION + "\n\n:::{eq-prose} eq-forward-mean\nA step.\n:::", CODE, CHECK), ["remove it from `{eq-prose}`"]),
    "code not exported": ((EQUATION, CODE.replace("#| export\n", ""), CHECK), ["cell 2", "exports no function", "`#| export`"]),
    "hidden check": ((EQUATION, CODE, "#| hide\n" + CHECK), ["cell 3", "hidden"]),
    "check never run": ((EQUATION, CODE, "#| eval: false\n" + CHECK), ["cell 3", "never runs"]),
    "test in sight": ((EQUATION, CODE, CHECK, "#| test\nprint(1)"), ["cell 4 (`print(1)`)", "add `#| hide`"]),
    "unknown directive": (
        (EQUATION, CODE, CHECK, "#| hidden\nprint(1)"), ["cell 4 (`print(1)`)", "unknown directive `#| hidden`", "did you mean `hide`?", "known are", "eq-check"]),
    "unknown value": ((EQUATION, CODE, CHECK, "#| echo: fales\nprint(1)"), ["cell 4", "`#| echo: fales`", "true or false"]),
    "directive after code": ((EQUATION, CODE, CHECK, "print(1)\n#| hide"), ["cell 4", "top of the cell"]),
    "directive in Markdown": ((EQUATION, CODE, CHECK, "Text.\n\n```python\n#| export\nx = 1\n```"), ["cell 4", "Markdown cell"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_names_place_and_cure(tmp_path, name):
    cells, words = FAULTS[name]
    assert all(word in faults(tmp_path, *cells)[0] for word in words), faults(tmp_path, *cells)


def test_reason_excuses_an_equation(tmp_path):
    assert faults(tmp_path, EQUATION + "\n\n```{eq-prose} eq-forward-mean\nA definition.\n```") == []


def test_equations_inside_directives_count(tmp_path):
    inside = "# Forward\n\n````{dropdown} Algebra\n```{admonition} More\n$$\na = b\n$$ (eq-forward-deep)\n```\n````"
    assert "`eq-forward-deep` has no code and no check" in faults(tmp_path, inside)[0]


def test_patched_methods_are_named_with_their_class(tmp_path):
    cell = d2cbook.Cell("nbs/a", "nbs/a.ipynb", 1, "code", {"export": ""}, "@patch\ndef score(self: Mixture, x):\n    pass\ndef _own(): pass")
    assert cell.names == ["Mixture.score"]


# ---- which chapters run again ----

@pytest.fixture
def library(tmp_path):
    package = tmp_path / "d2c"
    (package / "datasets" / "mnist").mkdir(parents=True)
    (package / "datasets" / "mnist" / "images.xz").write_bytes(b"123")
    for name, text in {"__init__": "", "schedule": "x = 1", "forward": "from .schedule import x", "figures": "", "data": "",
                       "ddpm": "from d2c.forward import x\nfrom d2c import data"}.items():
        (package / f"{name}.py").write_text(text)
    return tmp_path


def keys(root):
    chapters = {"forward": ["from d2c.schedule import x", "from d2c.figures import *"],
                "data": ["import d2c.figures"], "ddpm": ["%matplotlib inline\nfrom d2c.forward import x\nimport d2c.data"]}
    return {name: d2cbook.cache_key(root, codes) for name, codes in chapters.items()}


@pytest.mark.parametrize("module, again", [
    ("schedule", {"forward", "ddpm"}), ("forward", {"ddpm"}), ("figures", {"forward", "data"}), ("data", {"ddpm"}),
    ("ddpm", set()), ("__init__", {"forward", "data", "ddpm"})])
def test_only_chapters_that_import_a_changed_module_run_again(library, module, again):
    before = keys(library)
    (library / "d2c" / f"{module}.py").write_text("x = 2")
    after = keys(library)
    assert {name for name in before if before[name] != after[name]} == again


def test_chapters_that_read_the_data_run_again_when_it_changes(library):
    before = keys(library)
    (library / "d2c" / "datasets" / "mnist" / "images.xz").write_bytes(b"1234")
    assert {name for name, key in keys(library).items() if key != before[name]} == {"ddpm"}


# ---- whole builds with the book's own configuration ----

SHOWN, SECRET = "print('shown')", "print('secret')"
CHAPTERS = {
    "early": (EQUATION, "#| default_exp early", f"#| hide\n{SECRET}", CODE, CHECK, SHOWN,
              "#| code-fold: true\n#| code-summary: Folded\nprint('folded')",
              "#| hide\n#| test\nraise RuntimeError('for nbdev_test alone')",
              "#| hide\nimport nbdev; nbdev.nbdev_export()"),
    "late": ("# Late\n\nSee {eq}`eq-forward-mean`.", "from d2c.early import mean\nassert mean(1) == 1"),
}


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("_ext", "_static"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name, ignore=ignore)
    (folder / "book" / "references.bib").write_text("")
    (folder / "book" / "index.md").write_text("# Index\n\n```{eq-index}\n```\n\n```{eval-rst}\n.. automodule:: d2c.early\n   :members:\n```\n")
    (folder / "_config.yml").write_text((ROOT / "_config.yml").read_text())
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/index\nparts:\n- caption: Part\n  numbered: true\n  chapters:\n"
                                     + "".join(f"  - file: nbs/{name}\n" for name in CHAPTERS))
    (folder / "d2c").mkdir()
    (folder / "d2c" / "__init__.py").write_text("")
    (folder / "d2c" / "early.py").write_text('__all__ = ["mean"]\ndef mean(\n    x, # a number\n):\n    "The mean."\n    return x\n')
    for name, cells in CHAPTERS.items():
        write_notebook(folder / "nbs" / f"{name}.ipynb", *cells)
    return folder, build(folder)


def build(folder, *chapter):
    environment = {**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1"}
    return subprocess.run([sys.executable, "book/_ext/build.py", *chapter], cwd=folder, env=environment, capture_output=True, text=True)


def page(folder, name):
    return (folder / "_build" / "html" / f"{name}.html").read_text()


def test_page_shows_neither_directives_nor_hidden_cells(small_book):
    folder, result = small_book
    assert result.returncode == 0, result.stderr
    assert "running 2 of 2 chapters" in result.stdout and "Executing notebook" not in result.stdout
    html = page(folder, "nbs/early")
    assert "shown" in html and "Folded" in html
    assert not any(word in html for word in ("#|", "secret", "nbdev_export", "default_exp", "# d2c "))


def test_equation_cell_and_api_link_to_each_other(small_book):
    html, index = page(small_book[0], "nbs/early"), page(small_book[0], "book/index")
    assert 'href="#cell-4"' in html and 'id="cell-4"' in html and "mean()" in html
    assert 'href="#cell-5"' in html and 'id="cell-5"' in html
    assert "Implements" in html and "Checks" in html and "(1.1)" in html
    assert 'href="../nbs/early.html#cell-4"' in index
    assert "Implements" in index and "a number" in index


def test_names_in_code_lead_to_the_api(small_book):
    html = page(small_book[0], "nbs/late")
    assert '<a class="code-link" href="../book/index.html#d2c.early.mean">' in html


def test_variables_are_not_taken_for_library_names():
    cell = lambda code: d2cbook.Cell("nbs/late", "nbs/late.ipynb", 1, "code", {}, code)
    cells = [cell("from d2c.early import mean as m, target"), cell("target = m(1)")]
    assert d2cbook.library_names(cells) == {"m": "d2c.early.mean"}


def test_notebook_files_are_left_as_they_are(small_book):
    text = (small_book[0] / "nbs" / "early.ipynb").read_text()
    assert "#| hide" in text and "remove-cell" not in text


def test_only_changed_chapters_run_again(small_book):
    folder, _ = small_book
    module = folder / "d2c" / "early.py"
    module.write_text(module.read_text() + "\n# changed\n")
    log = build(folder).stdout
    assert "running 1 of 2 chapters" in log and re.search(r"^  late +[0-9.]+ s$", log, re.M) and "  early" not in log, log


def test_a_draft_runs_one_chapter_alone(small_book):
    folder, _ = small_book
    write_notebook(folder / "nbs" / "early.ipynb", EQUATION, "#| default_exp early", CODE, CHECK, "raise RuntimeError('not to be run')")
    write_notebook(folder / "nbs" / "late.ipynb", "# Late\n\nSee {numref}`fig-without-outputs`.", "print('dra' + 'wn')")
    result, before = build(folder, "late"), page(folder, "nbs/late")
    assert result.returncode == 0 and "running 1 of 1" in result.stdout, result.stderr
    assert "drawn" in (folder / "_build" / "draft" / "nbs" / "late.html").read_text() and page(folder, "nbs/late") == before
    assert "no chapter “lat”" in build(folder, "lat").stderr
    write_notebook(folder / "nbs" / "early.ipynb", *CHAPTERS["early"])


def test_failing_cell_fails_the_build_every_time_with_its_place(small_book):
    folder, _ = small_book
    write_notebook(folder / "nbs" / "late.ipynb", "# Late", "raise RuntimeError('broken on purpose')")
    for _ in range(2):
        result = build(folder)
        assert result.returncode and "broken on purpose" in result.stderr
        assert "nbs/late.ipynb, cell 2 (`raise RuntimeError('broken on purpose')`)" in result.stderr.splitlines()[-1]
        assert "running 1 of 2 chapters" in result.stdout


def test_chapters_that_ran_beside_a_failing_one_are_kept(small_book):
    folder, _ = small_book
    write_notebook(folder / "nbs" / "early.ipynb", EQUATION, "#| default_exp early", CODE, CHECK, "import time; time.sleep(3)")
    write_notebook(folder / "nbs" / "late.ipynb", "# Late", "raise RuntimeError('broken on purpose')")
    first, second = build(folder), build(folder)
    assert first.returncode and "running 2 of 2" in first.stdout and re.search("^  late +failed", first.stdout, re.M)
    assert second.returncode and "running 1 of 2" in second.stdout and "  early" not in second.stdout


def test_chapters_that_train_run_first_and_where_there_are_many_cores_alone_with_all(small_book):
    folder, _ = small_book
    note = "import os, time; print(os.environ['OMP_NUM_THREADS']); open('../order', 'a').write('{} ')"
    write_notebook(folder / "nbs" / "early.ipynb", EQUATION, "#| default_exp early", CODE, CHECK, note.format("early") + "\n" + "#"*999)
    write_notebook(folder / "nbs" / "late.ipynb", "# Late\n\nText.", "#| slow\ntrain = print\ntrain()", note.format("late"))
    alone = os.cpu_count() > 4
    assert build(folder).returncode == 0 and (not alone or (folder / "order").read_text() == "late early ")
    cores = lambda name: re.search(r'<span></span>(\d+)\n', page(folder, name))[1]
    assert (cores("nbs/early"), cores("nbs/late")) == ("1", str(os.cpu_count()) if alone else "1")


def test_broken_reference_fails_the_build_every_time(small_book):
    folder, _ = small_book
    write_notebook(folder / "nbs" / "late.ipynb", "# Late\n\nSee {numref}`fig-none`.")
    for _ in range(2):
        result = build(folder)
        assert result.returncode and "fig-none" in result.stderr and "late.ipynb" in result.stderr
