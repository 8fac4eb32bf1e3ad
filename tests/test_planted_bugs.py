"""Every bug of `planted_bugs.py`, planted into its chapter, must be caught by one of the chapter's own checks.

A chapter runs as it stands, cell by cell, up to the first that calls a function which a bug alters: all before it is as
it would be with the bug. In a copy of the process from before that cell the function is exchanged, and the chapter runs
on from there until a check fails.

    cd nbs; python ../tests/test_planted_bugs.py guides steps    # or no name: those that have changed

plants all bugs of some chapters, and once all are caught keeps a fingerprint of the chapter and its bugs in `caught.json`.
The test plants all bugs of a chapter that the fingerprint no longer fits. Of the others it takes one chapter in twelve and
of its bugs one in eight, others with every change of the library.
"""
import ast, functools, gc, hashlib, inspect, json, multiprocessing, os, shutil, subprocess, sys, tempfile, types
from pathlib import Path
import pytest
from conftest import ROOT, TURN
from planted_bugs import BUGS


def cells(chapter):
    "Source of the code cells that `nbdev_test` runs."
    nb = json.loads((ROOT/"nbs"/f"{chapter}.ipynb").read_text(encoding="utf-8"))
    sources = ["".join(c["source"]) for c in nb["cells"] if c["cell_type"] == "code"]
    left_out = ("#| slow", "#| eval: false", "nbdev_export(")
    return [s for s in sources if not any(text in s for text in left_out)]


def planted(sources, right, wrong):
    "Number of the one exported cell of a chapter that a bug changes, and its source with the bug."
    places = [i for i, s in enumerate(sources) if "#| export" in s and right in s]
    assert len(places) == 1, f"“{right}” stands in {len(places)} exported cells; it must be one"
    return places[0], sources[places[0]].replace(right, wrong)


def fate(work):
    "Call work(); the check that failed in it, or “survived”."
    try: work()
    except (AssertionError, ValueError) as error: return f"caught: {type(error).__name__}: {error}"
    except Exception as error: return f"broke: {type(error).__name__}: {error}"
    return "survived"


def fork(work):
    "Run work() in a child process; the text that it returns."
    here, there = multiprocessing.Pipe()
    if os.fork() == 0:
        gc.disable()    # a collection would copy all memory
        try: there.send(work())
        finally: os._exit(0)
    there.close()
    try: return here.recv()
    except EOFError: return "broke: the process died"
    finally: os.wait()


def snapshot(answer):
    "Keep a copy of this process. The function returned has a child of it compute answer(*args); without any it ends."
    here, there = multiprocessing.Pipe()
    if os.fork() == 0:
        here.close()
        try:
            while args := there.recv(): there.send(fork(lambda: answer(*args)))
        except EOFError: pass
        os._exit(0)
    there.close()
    def ask(*args):
        here.send(args)
        return here.recv() if args else os.wait()
    return ask


def functions(code):
    "Code of all functions and class bodies inside."
    return [f for const in code.co_consts if inspect.iscode(const) for f in (const, *functions(const))]


def bare(code):
    "Without the places in the source, which shift with the length of what stands before."
    return code.replace(co_firstlineno=1, co_linetable=b"", co_consts=tuple(bare(c) if inspect.iscode(c) else c for c in code.co_consts))


def altered(code, other):
    "Pairs of function codes that differ between two versions of a cell."
    pair = functions(code), functions(other)
    if len(pair[0]) != len(pair[1]) or any(a.co_freevars != b.co_freevars for a, b in zip(*pair)): return []
    return [(a, b) for a, b in zip(*pair) if bare(a) != bare(b)]


def exchange(pairs, namespace):
    "Give all functions of a chapter that have the first code of a pair the second. (A decorator may have copied one.)"
    other = dict(pairs)
    for f in gc.get_referrers(namespace):
        if type(f) is types.FunctionType and f.__code__ in other: f.__code__ = other[f.__code__]


def meaning(code):
    "Of a piece of syntax without docstrings, in nested lists that neither its layout nor the version of Python changes."
    if isinstance(code, list): return [meaning(part) for part in code]
    if not isinstance(code, ast.AST): return repr(code)
    if isinstance(code, ast.Expr) and isinstance(code.value, ast.Constant): return []
    return [type(code).__name__, *[[name, meaning(part)] for name, part in ast.iter_fields(code) if part not in (None, [])]]


def fingerprint(chapter):
    "Of the code cells of a chapter and of its bugs."
    bugs = [["".join(text.split()) for text in bug] for bug in BUGS[chapter]]
    return hashlib.sha256(json.dumps([[meaning(ast.parse(source)) for source in cells(chapter)], bugs]).encode()).hexdigest()[:16]


CAUGHT = ROOT/"tests"/"caught.json"
caught = json.loads(CAUGHT.read_text(encoding="utf-8"))


@functools.cache
def changed(chapter):
    return caught.get(chapter) != fingerprint(chapter)


CHAPTERS, SHARE = 12, 8    # one chapter in so many, and of its bugs one in so many


@functools.cache
def taken(chapter, turn=TURN):
    "Numbers of the bugs that are planted: all of a chapter that has changed, some of another whose turn it is."
    every = range(len(BUGS[chapter]))
    if changed(chapter): return every
    turn, mine = divmod(turn + list(BUGS).index(chapter), CHAPTERS)
    return every[turn % min(SHARE, len(every))::SHARE] if mine == 0 else every[:0]


def plant(chapter, numbers, aside):
    "The fate of some of a chapter's bugs, in their order; a folder to keep files in."
    import matplotlib
    matplotlib.use("Agg")
    import torch
    torch.set_num_threads(1)
    sources, namespace = cells(chapter), {"__name__": "__main__"}
    bugs = [planted(sources, *BUGS[chapter][n]) for n in numbers]
    code = lambda i, source: compile(source, f"cell {i}", "exec")
    codes = [code(i, s) for i, s in enumerate(sources)]
    pairs = {(i, bad): altered(codes[i], code(i, bad)) for i, bad in bugs}
    inner = {bug: {a for a, _ in p if not any(f in functions(a) for f, _ in p)} for bug, p in pairs.items()}

    def rest(first, i, bad):
        "Fate of the cells from a first one to the chapter's end, on the files of then, with another source of the i-th."
        shutil.rmtree(tempfile.tempdir)
        shutil.copytree(aside/str(first), tempfile.tempdir)
        if first > i: exchange(pairs[i, bad], namespace)
        def work():
            for k in range(first, len(codes)): exec(code(i, bad) if k == i else codes[k], namespace)
        return fate(work)

    called, copies, first = set(), {}, {}
    def note(frame, event, _):
        if frame.f_code.co_filename.startswith("cell "): called.add(frame.f_code)

    for k, cell in enumerate(codes):
        if len(first) == len(bugs): break
        shutil.copytree(tempfile.tempdir, aside/str(k))
        copies[k] = snapshot(rest)
        called.clear()
        sys.settrace(note)
        exec(cell, namespace)
        sys.settrace(None)
        for i, bad in bugs:
            if i == k and not pairs[i, bad] or i <= k and called & inner[i, bad]: first.setdefault((i, bad), k)
        if k not in {i for i, _ in bugs} | set(first.values()):
            copies[k]()
            shutil.rmtree(aside/str(k))
    return [copies[k](k, i, bad) for i, bad in bugs for k in [first.get((i, bad), i)]]


@functools.cache
def fates(chapter, numbers):
    "{number of a bug: its fate}, by a process of their own."
    out = subprocess.run([sys.executable, __file__, "--one", chapter, *map(str, numbers)], capture_output=True, text=True, cwd=ROOT/"nbs",
                         env={**os.environ, "OMP_NUM_THREADS": "1"})
    return dict(zip(numbers, json.loads(out.stdout.splitlines()[-1]) if out.returncode == 0 else [out.stderr]*len(numbers)))


@pytest.mark.parametrize("chapter, n", [(chapter, n) for chapter in BUGS for n in taken(chapter)])
def test_caught(chapter, n):
    right, wrong = BUGS[chapter][n]
    result = fates(chapter, taken(chapter))[n]
    assert result.startswith("caught"), f"nbs/{chapter}.ipynb with\n  {wrong}\nfor\n  {right}\n{result}"


def test_every_bug_has_its_turn():
    "Also of chapters that have not changed, and few at a time."
    same = [chapter for chapter in BUGS if not changed(chapter)]
    rounds = [[(chapter, n) for chapter in same for n in taken(chapter, TURN + k)] for k in range(CHAPTERS*SHARE)]
    assert set().union(*rounds) == {(chapter, n) for chapter in same for n in range(len(BUGS[chapter]))}
    assert all(len({chapter for chapter, _ in some}) <= len(same)/CHAPTERS + 1 for some in rounds)


def record(chapters):
    "Plant all bugs of some chapters; say which are not caught, and keep the fingerprints of chapters without such."
    for chapter in chapters:
        print(f"{chapter}: {len(BUGS[chapter])} bugs", end=", ", flush=True)
        missed = [(bug, fate) for bug, fate in zip(BUGS[chapter], fates(chapter, range(len(BUGS[chapter]))).values()) if not fate.startswith("caught")]
        print("all caught" if not missed else f"{len(missed)} not caught")
        for (right, wrong), result in missed: print(f"  {wrong}\n    for {right}\n    {result[-600:]}")
        if missed: caught.pop(chapter, None)
        else: caught[chapter] = fingerprint(chapter)
        CAUGHT.write_text(json.dumps({c: caught[c] for c in BUGS if c in caught}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        with tempfile.TemporaryDirectory() as aside, tempfile.TemporaryDirectory() as tempfile.tempdir:
            print("\n" + json.dumps(plant(sys.argv[2], list(map(int, sys.argv[3:])), Path(aside))))
    else: record(sys.argv[1:] or [c for c in BUGS if changed(c)])
