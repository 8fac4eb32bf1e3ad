"""The exercise notebooks: they ask what the chapters ask, fail only at their checks, and pass with the chapters' solutions."""
import json
import math
import re
import sys

import nbformat
import pytest
import torch

from conftest import ROOT, SITE
from d2c.checking import NotYet
from d2c.exercises import exercises, checker, progress, solved, workbooks_folder

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import workbooks  # noqa: E402
from d2cbook import read_cells  # noqa: E402

BOOKS = {book.chapter: book for book in workbooks.read_book(ROOT)}
ALL = exercises()


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    "No test notes anything in its user's home."
    monkeypatch.setenv("D2C_STATE", str(tmp_path / "state"))
    return tmp_path / "state" / "exercises.json"


def notebook(chapter):
    return nbformat.read(workbooks_folder() / f"{chapter}_exercises.ipynb", as_version=4)


def run(sources):
    "Run cells as a notebook would, on after a failure; {number of the cell: its error}."
    space, errors = {"__name__": "__main__"}, {}
    for n, source in enumerate(sources):
        try: exec(compile(source, f"cell {n}", "exec"), space)
        except Exception as error: errors[n] = error
    return errors


def code(chapter):
    "The code cells but the first, which installs the library."
    return [cell.source for cell in notebook(chapter).cells if cell.cell_type == "code"][1:]


@pytest.mark.parametrize("chapter", BOOKS)
def test_unanswered_it_fails_only_at_its_checks(chapter):
    sources = code(chapter)
    errors = run(sources)
    assert {sources[n] for n in errors} == {f"{e.checker}({e.function})" for e in BOOKS[chapter].exercises}
    assert all(isinstance(error, NotYet) for error in errors.values())    # nothing is written, or what is there is to be mended
    assert not solved()


@pytest.mark.parametrize("chapter", BOOKS)
def test_with_the_chapters_solutions_it_passes(chapter, capsys):
    answers = {e.stub: e.solution for e in BOOKS[chapter].exercises}
    sources = code(chapter)
    assert answers.keys() <= set(sources)
    assert run([answers.get(source, source) for source in sources]) == {}
    assert list(solved()) == [e.name for e in BOOKS[chapter].exercises]
    assert capsys.readouterr().out.count("Right.") == len(answers) and f"{len(answers)} of {len(answers)} solved" in progress(chapter)


@pytest.mark.parametrize("e", ALL, ids=[e.name for e in ALL])
def test_each_mistake_gets_its_hint(e):
    check = checker(e)
    assert len(check.mistakes) >= 5
    for hint, wrong in check.mistakes.items():
        with pytest.raises(AssertionError) as caught: check(wrong)
        assert str(caught.value).rstrip(".") == f"Not yet: {hint}"
    assert not solved()
    check(check.solution)
    assert list(solved()) == [e.name]


def forgets_to_make_room(xt, eps, z, abar_t, abar_s, eta):
    sigma = eta*math.sqrt((1 - abar_s)*(1 - abar_t/abar_s)/(1 - abar_t))
    x0 = (xt - math.sqrt(1 - abar_t)*eps)/math.sqrt(abar_t)
    return x0*math.sqrt(abar_s) + eps*math.sqrt(1 - abar_s) + z*sigma


def adds_the_gradient(eps, grad, abar_t, gamma):
    return torch.add(eps, grad, alpha=gamma*math.sqrt(1 - abar_t))


def averages_over_the_batch(classify, xt, y):
    x = xt.clone().requires_grad_(True)
    torch.nn.functional.cross_entropy(classify(x), y).neg().backward()
    return x.grad


def cuts_off(x):
    return (128*(x + 1)).clamp(0, 255).byte()


def normalises_over_queries(q, k, v):
    return torch.softmax(torch.einsum("id,jd->ij", q, k)/math.sqrt(q.shape[-1]), 0) @ v


def takes_the_last_entry(betas, t):
    return torch.cumprod(1 - betas, 0)[t - 1].sqrt()


@pytest.mark.parametrize("name, wrong, said", [
    ("forward-jump", lambda x0, abar, eps: math.sqrt(abar)*x0 + eps - abar*eps, "the noise needs the root of 1 − ᾱ"),
    ("ddim-step", forgets_to_make_room, "without making room for it"),
    ("ddim-slerp", lambda a, b, u: torch.lerp(a, b, u), "this is the straight line"),
    ("guidance-eps", adds_the_gradient, "the sign is wrong"),
    ("guidance-gradient", averages_over_the_batch, "take the sum"),
    ("data-bytes", cuts_off, "cuts off instead of rounding"),
    ("unet-attention", normalises_over_queries, "yours sum to 1 over the queries"),
    ("schedule-index", takes_the_last_entry, "index −1 is the last entry"),
    ("faces-split", lambda y, held: (torch.tensor([p not in held for p in y.tolist()]), torch.tensor([p in held for p in y.tolist()])), "these are masks"),
    ("elbo-kl", lambda m1, v1, m2, v2: torch.log(v2/v1)/2 + (v1 + (m1 - m2)**2)/(2*v2), "is the −1 missing?"),
])
def test_a_mistake_is_known_however_it_is_written(name, wrong, said):
    one = next(e for e in ALL if e.name == name)
    with pytest.raises(AssertionError, match=re.escape(said)): checker(one)(wrong)


@pytest.mark.parametrize("chapter", BOOKS)
def test_it_opens_anywhere(chapter):
    made = notebook(chapter)
    nbformat.validate(made)
    assert made.metadata == {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
    for cell in made.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code": assert cell.outputs == [] and cell.execution_count is None
        else: assert not [mark for mark in ("{eq}", "{cite", "{numref}", "{ref}", "```{", ":::", ".ipynb") if mark in cell.source]
    assert "solution" not in "".join(code(chapter))


@pytest.mark.parametrize("chapter", BOOKS)
def test_it_asks_what_the_chapter_asks(chapter):
    path = ROOT / "nbs" / f"{chapter}.ipynb"
    cells = list(read_cells(path.read_text(encoding="utf-8"), chapter, path.name))
    asked = [cell for cell in cells if "{exercise-start}" in cell.code]
    text = "\n".join(cell.source for cell in notebook(chapter).cells)
    assert len(asked) == len(BOOKS[chapter].exercises) == len([e for e in ALL if e.chapter == chapter])
    for e in BOOKS[chapter].exercises:
        assert f"## Exercise {e.number}: {e.title}\n" in text and text.count("<summary>Hint 3</summary>") == len(asked)
        assert e.text in text and all(hint in text for hint in e.hints) and all(f"\\tag{{{n}}}" in text for n in range(1, len(e.equations) + 1))


def test_without_the_library_it_says_how_to_get_it(monkeypatch):
    "The first cell: in a sentence while the project has no address, by itself once it has one."
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    first = lambda repository: nbformat.reads(workbooks.notebook(BOOKS["ddim"], repository), as_version=4).cells[1].source
    errors = run([first("")])
    assert isinstance(errors[0], ImportError) and "pip install" in str(errors[0]) and "\n" not in str(errors[0])
    assert '    %pip install --quiet "d2c @ git+https://github.com/someone/d2c"' in first("https://github.com/someone/d2c")


# ---- faults in a chapter are said in a sentence ---------------------------------------------------

START = "```{exercise-start} Twice\n:label: ex-try-twice\n:difficulty: easy\n:minutes: 5\n```\n\nWrite `twice(x)`, see {eq}`eq-try`.\n\n"
HINTS = "```{hints}\n1. A nudge.\n2. The idea.\n3. Nearly\n   all.\n```"
CHECKER = "#| hide\nfrom d2c.checking import exercise\nfactor = 2\ncheck_twice = exercise(lambda x: factor*x, {'this is x': lambda x: x}, (1.,))"
STUB = 'def twice(x):\n    "Twice x."\n    ...  # your answer; then run check_twice(twice)'
SOLUTION = "def twice(x):\n    return x + x\n\ncheck_twice(twice)"


def read(folder, *sources):
    "The exercises of a chapter with these cells."
    make = lambda s: nbformat.v4.new_markdown_cell(s) if s.startswith(("`", "#  ", "$")) else nbformat.v4.new_code_cell(s)
    text = nbformat.writes(nbformat.v4.new_notebook(cells=[make(s) for s in sources]))
    plain = workbooks.plainly({"eq-try": "y = 2 x ."}, {"one": ("One and Two", "2020")}.__getitem__, "")
    return list(workbooks.read_chapter(list(read_cells(text, "try", "try.ipynb")), "try", "Part", 7, plain))


def test_a_whole_exercise(tmp_path):
    [e] = read(tmp_path, "factor = 3", START + HINTS, CHECKER, STUB, "```{exercise-end}\n```", SOLUTION)
    assert (e.name, e.number, e.title, e.difficulty, e.minutes) == ("try-twice", "7.1", "Twice", "easy", 5)
    assert e.text == "Write `twice(x)`, see (1)." and e.equations == ["eq-try"] and e.hints[2] == "Nearly all."
    assert e.stub.endswith("...  # your answer") and e.solution == "def twice(x):\n    return x + x"
    assert e.source.splitlines()[:2] == ["from d2c.checking import exercise", "factor = 2"] and e.context == ""


@pytest.mark.parametrize("change, said", [
    (("difficulty: easy", "difficulty: light"), "`:difficulty: …` (easy, moderate, hard)"),
    ((":minutes: 5\n", ""), "`:minutes: …` (how many it takes)"),
    ((":minutes:", ":minuets:"), "did you mean `minutes`?"),
    (("2. The idea.\n", ""), "with 3 steps, and has 2"),
    (("{eq}`eq-try`", "{eq}`eq-none`"), "speaks of `eq-none`"),
    (("{eq}`eq-try`", "{numref}`fig-one`"), "say it in words"),
    ((":minutes: 5\n", ":minutes: 5\n:eq: eq-tri\n"), "did you mean `eq-try`?"),
    (("check_twice(twice)", ""), "a solution that writes it and calls its `check_…`"),
])
def test_a_fault_is_named(tmp_path, change, said):
    sources = [s.replace(*change) for s in (START + HINTS, CHECKER, STUB, SOLUTION)]
    with pytest.raises(workbooks.SphinxError) as caught: read(tmp_path, *sources)
    assert said in str(caught.value) and str(caught.value).startswith("try.ipynb, cell 1") and "\n" not in str(caught.value)


# ---- the site ----------------------------------------------------------------------------------------

def test_page_lists_all(tab, address):
    tab.goto(address + "book/exercises.html")
    rows = tab.evaluate("() => [...document.querySelectorAll('table.exercise-table tbody tr')].map(r => [...r.cells].map(c => c.textContent.trim()))")
    assert rows == [[f"{e.number} {e.title}".replace("'", "’"), e.difficulty, str(e.minutes), e.checker] for e in ALL]
    links = tab.evaluate("() => [...document.querySelectorAll('a.exercise-notebook')].map(a => a.href)")
    assert [link.rpartition("/")[2] for link in links] == [f"{chapter}_exercises.ipynb" for chapter in BOOKS]
    for link, chapter in zip(links, BOOKS):
        answer = tab.request.get(link)
        assert answer.ok and json.loads(answer.text())["cells"] == json.loads((workbooks_folder() / f"{chapter}_exercises.ipynb").read_text(encoding="utf-8"))["cells"]
    parts = tab.evaluate("() => [...document.querySelectorAll('article section section > h2')].map(h => h.firstChild.textContent)")
    assert parts == list(dict.fromkeys(e.part.replace("'", "’") for e in ALL))
    assert not tab.errors


@pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="The site is not built; run `make book` first.")
def test_numbers_are_the_pages():
    for e in ALL:
        page = (SITE / "nbs" / f"{e.chapter}.html").read_text(encoding="utf-8")
        title = re.search(rf'id="ex-{e.name}"[\s\S]*?admonition-title">([\s\S]*?)</p>', page)[1]
        assert re.sub("<[^>]*>", "", title).startswith(f"Exercise {e.number} "), e.name


def test_hints_unfold_one_by_one(tab, address):
    tab.goto(address + "nbs/ddim.html")
    box = tab.locator("#ex-ddim-step")
    assert "Moderate, about 20 minutes" in box.locator("p.exercise-about").inner_text()
    for n in (1, 2, 3):
        summary = box.locator("summary", has_text=f"Hint {n}")
        assert summary.is_visible() and not box.locator("summary", has_text=f"Hint {n + 1}").is_visible()
        summary.click()
