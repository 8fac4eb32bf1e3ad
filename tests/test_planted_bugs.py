"""Every bug of `planted_bugs.py`, planted into its chapter, must be caught by one of the chapter's own checks.

A chapter is run cell by cell in one process. At a cell that has bugs the process forks, once a bug; the child runs the
wrong cell and, of those after it, the checks that can see the bug with what they need, and reports where it failed. The
parent goes on with the right one. What can see a bug follows from the names that cells use and set.
"""
import ast, concurrent.futures, json, os, re, subprocess, symtable, sys
from pathlib import Path
import pytest
from planted_bugs import BUGS

ROOT = Path(__file__).parent.parent


def cells(chapter):
    "Source of the code cells that `nbdev_test` runs."
    nb = json.loads((ROOT/"nbs"/f"{chapter}.ipynb").read_text(encoding="utf-8"))
    sources = ["".join(c["source"]) for c in nb["cells"] if c["cell_type"] == "code"]
    left_out = ("#| slow", "#| eval: false", "nbdev_export(")
    return [s for s in sources if not any(text in s for text in left_out)]


def home(chapter, right):
    "Index of the one exported cell that holds the text."
    places = [i for i, s in enumerate(cells(chapter)) if "#| export" in s and right in s]
    assert len(places) == 1, f"“{right}” stands in {len(places)} exported cells of nbs/{chapter}.ipynb; it must be one"
    return places[0]


def run(source, namespace):
    import matplotlib.pyplot as plt
    exec(compile(source, "cell", "exec"), namespace)
    plt.close("all")


def fate(sources, namespace):
    "Run cells; the check that failed, or “survived”."
    for source in sources:
        try: run(source, namespace)
        except (AssertionError, ValueError) as error:
            line = (str(error).strip() or source.strip()).splitlines()[0]
            return f"caught: {type(error).__name__}: {line}"
        except Exception as error: return f"broke: {type(error).__name__}: {error}"
    return "survived"


def fork(work):
    "Run work() in a child process; the text that it returns."
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try: os.write(write, work().encode())
        finally: os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe: text = pipe.read()
    os.waitpid(child, 0)
    return text


def flow(source):
    "Of each statement of a cell: names that it uses, names that it sets, methods and fields that it asks for."
    for node in ast.parse(source).body:
        text = ast.get_source_segment(source, node) if not getattr(node, "decorator_list", []) else ast.unparse(node)
        tables, used, bound = [symtable.symtable(text, "cell", "exec")], set(), set()
        for table in tables:
            top = table is tables[0]
            used |= {v.get_name() for v in table.get_symbols() if v.is_referenced() and (top or v.is_global())}
            bound |= {v.get_name() for v in table.get_symbols() if top and (v.is_assigned() or v.is_imported())}
            tables += table.get_children()
        yield node, used, bound, {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}


def checks(source):
    return bool(re.search(r"\b(assert|test_fail|assert_close|check_\w+|verify_exercise|raises)\b", source))


def seen(sources, start, right):
    "Later cells with a check that what the text defines can reach, by way of the names that statements use and set."
    line = sources[start][:sources[start].index(right) + len(right)].count("\n") + 1
    touched, methods, chosen = set(), set(), set()
    for i in range(start, len(sources)):
        reached = False
        for node, used, bound, fields in flow(sources[i]):
            if used & touched or fields & methods or i == start and node.lineno <= line <= node.end_lineno:
                touched |= bound
                if getattr(node, "decorator_list", []): methods |= bound
                reached = True
            elif i > start: touched -= bound
        if i > start and reached and checks(sources[i]): chosen.add(i)
    return chosen


def with_needs(sources, chosen):
    "The chosen cells and those before them that set what they use."
    needed, asked, out = set(), set(), []
    for i in range(len(sources) - 1, -1, -1):
        statements = list(flow(sources[i]))
        sets = lambda node, bound: bound & needed or getattr(node, "decorator_list", []) and bound & asked
        if i in chosen or any(sets(node, bound) for node, _, bound, _ in statements):
            out.append(i)
            for _, used, bound, fields in reversed(statements):
                needed = needed - bound | used
                asked |= fields
    return sorted(out)


def plant(chapter):
    "The fate of each of a chapter's bugs, in their order."
    import matplotlib
    matplotlib.use("Agg")
    import torch
    torch.set_num_threads(1)
    sources, namespace, fates = cells(chapter), {"__name__": "__main__"}, {}
    homes = [home(chapter, right) for right, _ in BUGS[chapter]]
    later = [with_needs(sources, seen(sources, i, right)) for i, (right, _) in zip(homes, BUGS[chapter])]
    for i in with_needs(sources, {*homes}.union(*later)):
        for n, (right, wrong) in enumerate(BUGS[chapter]):
            if homes[n] == i:
                wrong = sources[i].replace(right, wrong)
                fates[n] = fork(lambda: fate([wrong, *(sources[k] for k in later[n] if k > i)], namespace))
        if i == max(homes): break
        run(sources[i], namespace)
    return [fates[n] for n in range(len(homes))]


@pytest.fixture(scope="session")
def fates():
    "Fates of all bugs, two chapters at a time."
    def chapter_fates(chapter):
        out = subprocess.run([sys.executable, __file__, chapter], capture_output=True, text=True, cwd=ROOT/"nbs", env={**os.environ, "OMP_NUM_THREADS": "1"})
        return json.loads(out.stdout.splitlines()[-1]) if out.returncode == 0 else out.stderr
    with concurrent.futures.ThreadPoolExecutor(2) as pool: return dict(zip(BUGS, pool.map(chapter_fates, BUGS)))


@pytest.mark.parametrize("chapter, n", [(c, n) for c in BUGS for n in range(len(BUGS[c]))])
def test_caught(fates, chapter, n):
    right, wrong = BUGS[chapter][n]
    if isinstance(fates[chapter], str): pytest.fail(f"nbs/{chapter}.ipynb did not run:\n{fates[chapter]}")
    assert fates[chapter][n].startswith("caught"), f"nbs/{chapter}.ipynb with\n  {wrong}\nfor\n  {right}\n{fates[chapter][n]}"


if __name__ == "__main__":
    print("\n" + json.dumps(plant(sys.argv[1])))
