"""The exercises of the chapters: their steps of hints, the line under each title, the page that lists them, and the notebooks to do them in.

An exercise stands in its chapter, gated by `exercise-start` and `exercise-end`: text, hints, a hidden cell
that makes its checker, and a cell with the function to write. Its solution follows. From these cells `files` makes
what ships in `d2c/workbooks`; run as a program this file writes it, and `tests/exported.py` sees that it is kept up.
"""
import ast
import functools
import json
import re
import symtable
import sys
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import nbformat
import yaml
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.errors import SphinxError
from sphinx.util.docutils import SphinxDirective
from sphinx_exercise.directive import ExerciseStartDirective

from d2cbook import NOT_PYTHON, PACKAGE, blocks, dotted, eq_ref, joined, nearest, parse, read_cells

FOLDER = Path(PACKAGE, "workbooks")
DIFFICULTIES = "easy", "moderate", "hard"
STEPS = 3    # of hints


class Exercise(NamedTuple):
    "What a chapter says of one of its exercises; texts are Markdown for a notebook, `source` is what makes the checker."
    name: str
    chapter: str
    part: str
    number: str
    title: str
    difficulty: str
    minutes: int
    function: str
    checker: str
    text: str
    hints: list
    equations: list
    stub: str
    solution: str
    source: str
    context: str


def fault(cell, what):
    return SphinxError(f"{cell.where}: {what}")


# ---- reading a chapter -----------------------------------------------------------------------------

START = re.compile(r"(?m)^`{3,}\{exercise-start\} *(.*)\n((?::[\w-]+:.*\n)*)`{3,}\n([\s\S]*)")
HINTS = re.compile(r"(?m)^`{3}\{hints\}\n([\s\S]*?)^`{3}\n?")
OPTIONS = {"label": (r"ex-[\w-]+", "its name, such as ex-ddim-step"), "difficulty": ("|".join(DIFFICULTIES), ", ".join(DIFFICULTIES)),
           "minutes": (r"\d+", "how many it takes"), "eq": (r".*", "")}


def options(cell, text):
    "The options of an `exercise-start`, all of them understood."
    found = dict(re.findall(r"(?m)^:([\w-]+): *(.*?) *$", text))
    for name in found.keys() - OPTIONS.keys():
        raise fault(cell, f"`:{name}:` is no option of an exercise{nearest(name, OPTIONS)}")
    for name, (pattern, wanted) in OPTIONS.items():
        if not re.fullmatch(pattern, found.get(name, "")):
            raise fault(cell, f"the exercise needs a line `:{name}: …` ({wanted})")
    return found


def steps(text):
    "The items of a numbered list."
    return [" ".join(item.split()) for item in re.split(r"(?m)^\d+\. +", text)[1:]]


def statements(cells):
    "Top-level statements of code cells: (what it binds, node, source, the cell)."
    for cell in cells:
        if cell.kind == "code" and (tree := parse(cell.code)):
            code = NOT_PYTHON.sub("", cell.code)
            yield from ((bound(node), node, ast.get_source_segment(code, node), cell) for node in tree.body)


def bound(node):
    "Names that a statement gives to the chapter."
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} if isinstance(node, ast.Assign) else set()


def free(source):
    "Names that Python code takes from around it."
    def walk(table):
        yield from (s.get_name() for s in table.get_symbols() if s.is_referenced() and (s.is_global() or table.get_type() == "module"))
        for child in table.get_children(): yield from walk(child)
    return set(walk(symtable.symtable(source, "cell", "exec")))


def needed(names, found, chapter):
    "Source of the statements, the last ones that bind these names and all that those need; the chapter's own library is imported."
    wanted, kept = set(names), []
    for binds, node, source, cell in reversed(found):
        if not (some := binds & wanted): continue
        wanted -= binds
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a for a in node.names if (a.asname or a.name.split(".")[0]) in some]
            source = ast.unparse(ast.Import(names) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, names, node.level))
        elif "export" in cell.directives:
            source = f"from {PACKAGE}.{chapter} import {', '.join(sorted(some))}"
        else: wanted |= free(source)
        kept.append(source)
    kept = list(dict.fromkeys(reversed(kept)))
    return "\n".join([s for s in kept if is_import(s)] + [s for s in kept if not is_import(s)])


def is_import(line):
    return line.startswith(("import ", "from "))


def called_checker(source):
    "(checker, function) of the call `check_…(function)` in a solution."
    calls = (n for n in ast.walk(parse(source) or ast.Module([], [])) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name))
    return next(((n.func.id, n.args[0].id) for n in calls if n.func.id.startswith("check_")), (None, None))


def read_chapter(cells, chapter, part, number, plain):
    "The exercises of one chapter. Raises SphinxError, in a sentence, for one that is not whole."
    starts = [i for i, cell in enumerate(cells) if cell.kind == "markdown" and START.search(cell.code)]
    for k, (i, end) in enumerate(zip(starts, [*starts[1:], len(cells)]), 1):
        title, head, text = START.search(cells[i].code).groups()
        opts, hints = options(cells[i], head), HINTS.search(text)
        hints = steps(hints[1]) if hints else []
        if len(hints) != STEPS:
            raise fault(cells[i], f"`{opts['label']}` needs a `{{hints}}` block with {STEPS} steps, and has {len(hints)}")
        code = [cell for cell in cells[i:end] if cell.kind == "code" and "hide" not in cell.directives]
        checker, function = next(filter(lambda c: c[0], (called_checker(cell.code) for cell in code)), (None, None))
        defs = [source for binds, node, source, _ in statements(code) if binds == {function}]
        if not checker or len(defs) != 2:
            raise fault(cells[i], f"`{opts['label']}` needs a cell with the function to write, and a solution that writes it and calls its `check_…`")
        solution = defs[1]
        before = list(statements(cells[:cells.index(code[0])]))
        shown = [s for s in before if "hide" not in s[3].directives or isinstance(s[1], (ast.Import, ast.ImportFrom))]
        labels = opts.get("eq", "").split()
        say = lambda text: plain(cells[i], text, labels)
        yield Exercise(opts["label"].removeprefix("ex-"), chapter, part, f"{number}.{k}", title.strip(), opts["difficulty"], int(opts["minutes"]),
                       function, checker, say(HINTS.sub("", text).strip()), [say(h) for h in hints], labels,
                       unanswered(code[0].code), solution, needed({checker}, before, chapter), needed(free(solution), shown, chapter))


def unanswered(code):
    "The function to write as it stands in its cell, comments included, without the words that belong to the chapter's page."
    return re.sub(r",? *;? *(?:and )?then (?:run )?check_\w+\(\w+\)", "", NOT_PYTHON.sub("", code)).strip()


# ---- what the chapters' Markdown is in a notebook ----------------------------------------------------

ROLE = re.compile(r" ?\{([\w:]+)\}`([^`]+)`")


def plainly(equations, cite, address):
    "The function that makes plain Markdown of MyST: equations are numbered as they are asked for."
    def plain(cell, text, labels):
        def role(match):
            space, (name, target) = match[0][:match[0].startswith(" ")], match.groups()
            if name == "eq":
                if target not in equations: raise fault(cell, f"the exercise speaks of `{target}`, and no equation `$$ … $$ ({target})` stands in the book")
                if target not in labels: labels.append(target)
                return f"{space}({labels.index(target) + 1})"
            if name.startswith("cite"):
                who, year = cite(target)
                return f" ({who} {year})" if name == "cite:p" else f"{space}{who} ({year})"
            raise fault(cell, f"`{match[0].strip()}` leads nowhere in an exercise notebook; say it in words")
        for label in labels:
            if label not in equations: raise fault(cell, f"`:eq: {label}` names an equation that does not exist{nearest(label, equations)}")
        link = lambda m: f"[{m[1]}]({address}/nbs/{m[2]}.html)" if address else m[1]
        return re.sub(r"\[([^]]+)\]\((\w+)\.ipynb\)", link, ROLE.sub(role, text))
    return plain


@functools.cache
def citations(path):
    "{key: (authors, year)} of a bibliography."
    from pybtex.database import parse_file
    out = {}
    for key, entry in parse_file(str(path), "bibtex").entries.items():
        names = [" ".join(p.last_names).strip("{}") for p in entry.persons.get("author", [])]
        who = names[0] + " et al." if len(names) > 2 or names[-1] == "others" else " and ".join(names)
        out[key] = who, entry.fields["year"]
    return out


def numbered_equations(root, docnames):
    "{label: TeX} of the equations in chapters and pages."
    texts = [cell.code for d in docnames for cell in read_cells((root/f"{d}.ipynb").read_text(encoding="utf-8"), d, d)
             if cell.kind == "markdown" and "(eq-" in cell.code]
    return {token.info: token.content.strip() for text in texts for token in blocks(text) if token.type == "math_block_label"}


# ---- the whole book ----------------------------------------------------------------------------------

def contents(root):
    "(part, chapter's document, its number) of the chapters in reading order, as `_toc.yml` has them."
    n = 0
    for part in yaml.safe_load((root/"_toc.yml").read_text(encoding="utf-8"))["parts"]:
        for docname in (chapter["file"] for chapter in part["chapters"]):
            n += bool(part.get("numbered"))
            if docname.startswith("nbs/"): yield part["caption"], docname, n if part.get("numbered") else 0


def settings(root):
    "The project's addresses: of its site, and of its repository; both may be empty."
    config = yaml.safe_load((root/"_config.yml").read_text(encoding="utf-8"))
    return (config.get("html", {}).get("baseurl") or "").rstrip("/"), (config.get("repository", {}).get("url") or "").rstrip("/")


class Workbook(NamedTuple):
    "The exercises of a chapter, what it is called, and the equations they are about."
    chapter: str
    title: str
    exercises: list
    equations: dict


def read_book(root):
    "A workbook of each chapter that has exercises, in reading order."
    chapters = list(contents(root))
    equations = numbered_equations(root, [docname for _, docname, _ in chapters])
    plain = plainly(equations, lambda key: citations(root/"book"/"references.bib")[key], settings(root)[0])
    for part, docname, number in chapters:
        path = root/f"{docname}.ipynb"
        cells = list(read_cells(path.read_text(encoding="utf-8"), docname, f"{docname}.ipynb"))
        if exercises := list(read_chapter(cells, path.stem, part, number, plain)):
            title = next((cell.code for cell in cells if cell.code.startswith("# ")), f"# {path.stem}").partition("\n")[0]
            yield Workbook(path.stem, title[2:].strip(), exercises, equations)


# ---- an exercise notebook ------------------------------------------------------------------------------

INSTALL = """\
# Installs the book's library where it is missing.
import importlib.util
if not importlib.util.find_spec("{package}"):
    {install}"""
NO_ADDRESS = ('raise ImportError("The library {0} is not installed: run `pip install .` in a clone of the book, '
              'or `pip install` its wheel, and then this cell again.")').format(PACKAGE)


def notebook(book, repository):
    "The exercise notebook of a chapter, as text."
    md, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    install = f'%pip install --quiet "{PACKAGE} @ git+{repository}"' if repository else NO_ADDRESS
    cells = [md(opening(book)), code(INSTALL.format(package=PACKAGE, install=install)), code(preparation(book))]
    for e in book.exercises:
        cells += [md(question(e, book.equations)), code(e.stub), code(f"{e.checker}({e.function})")]
    cells += [md("## What is solved\n\nWhat passed its check is remembered, in this notebook and in the others."), code(f'progress("{book.chapter}")')]
    for n, cell in enumerate(cells): cell.id = f"{book.chapter}-{n}".replace("_", "-")
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata=metadata)) + "\n"


def opening(book):
    n, minutes = len(book.exercises), sum(e.minutes for e in book.exercises)
    number, part = book.exercises[0].number.partition(".")[0], book.exercises[0].part
    return (f"# Exercises: {book.title}\n\n"
            f"{n} exercise{'s'*(n > 1)} from chapter {number} of *Diffusion models, theory to code*, in the part “{part}”; "
            f"allow about {minutes} minutes.\n\n"
            "Write your answer in the place of the three dots, run the cell, and then run the check below it. "
            "The check says that your function is right, or what is wrong with it. "
            "The hints unfold one by one; the solutions are in the chapter.")


def preparation(book):
    "The cell that imports what the answers may use, and the checkers."
    lines = [line for e in book.exercises for line in e.context.splitlines()]
    imports = dict.fromkeys(["import math", "import torch", *filter(is_import, lines), f"from {PACKAGE}.exercises import checkers, hint, progress"])
    rest = list(dict.fromkeys(line for line in lines if not is_import(line)))
    names = ", ".join(e.checker for e in book.exercises)
    names = "(" + names.replace(", ", ",\n ") + ")" if len(names) > 60 else names + ","*(len(book.exercises) == 1)
    return "\n".join([*imports, "", *rest, f'{names} = checkers("{book.chapter}")'])


def question(e, equations):
    formula = lambda label: re.sub(r"\s*[.,]$", "", equations[label])
    shown = [f"$$\n{formula(label)} \\tag{{{n}}}\n$$" for n, label in enumerate(e.equations, 1)]
    hints = ""
    for n, hint in reversed(list(enumerate(e.hints, 1))):
        hints = f"<details>\n<summary>Hint {n}</summary>\n\n{hint}\n\n{hints}</details>\n" + "\n"*(n > 1)
    return "\n\n".join([f"## Exercise {e.number}: {e.title}", f"*{about(e)}*", *shown, e.text, hints.strip()])


def about(e):
    return f"{e.difficulty.capitalize()}, about {e.minutes} minutes"


# ---- what ships -----------------------------------------------------------------------------------------

SHIPPED = "name", "chapter", "part", "number", "title", "difficulty", "minutes", "function", "checker", "hints", "source"


def files(root):
    "{name: text} of all that ships in `d2c/workbooks`."
    books, repository = list(read_book(root)), settings(root)[1]
    told = [{name: getattr(e, name) for name in SHIPPED} for book in books for e in book.exercises]
    return {"exercises.json": json.dumps(told, indent=1, ensure_ascii=False) + "\n",
            **{f"{book.chapter}_exercises.ipynb": notebook(book, repository) for book in books}}


def write(root):
    folder, made = root/FOLDER, files(root)
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*"):
        if path.name not in made: path.unlink()
    for name, text in made.items(): (folder/name).write_text(text, encoding="utf-8", newline="\n")


# ---- the pages ------------------------------------------------------------------------------------------

class ExerciseStart(ExerciseStartDirective):
    "An exercise that says how hard it is, how long it takes, and which equations it is about."
    option_spec = {**ExerciseStartDirective.option_spec, "difficulty": directives.unchanged, "minutes": directives.unchanged, "eq": directives.unchanged}

    def run(self):
        made, here = super().run(), self.env.docname
        parts = [[nodes.Text(f"{self.options['difficulty'].capitalize()}, about {self.options['minutes']} minutes")]]
        if labels := self.options.get("eq", "").split():
            parts.append([nodes.Text("equation" + "s"*(len(labels) > 1) + " "), *joined([[eq_ref(label, here)] for label in labels])])
        parts.append([notebook_link(here, here, "exercise notebook")])
        for node in made[:1]: node[1] += nodes.paragraph("", "", *dotted(parts), classes=["exercise-about"])
        return made


class Hints(SphinxDirective):
    "A numbered list of hints, each folded into the one before."
    has_content = True

    def run(self):
        text = ""
        for n, hint in reversed(list(enumerate(steps("\n".join(self.content)), 1))):
            fence = ":"*(3 + STEPS - n)
            text = f"{fence}{{dropdown}} Hint {n}\n{hint}\n\n{text}{fence}\n"
        box = nodes.Element()
        self.state.nested_parse(StringList(text.splitlines(), self.env.docname), self.content_offset, box)
        return box.children


def notebook_name(docname):
    return f"exercises/{PurePosixPath(docname).name}_exercises.ipynb"


def notebook_link(here, docname, text):
    uri = "../"*here.count("/") + notebook_name(docname)
    return nodes.reference("", "", nodes.Text(text), internal=True, refuri=uri, classes=["exercise-notebook"])


class ExerciseIndex(SphinxDirective):
    "All exercises: a section for each part, in it the chapters, and a table for each."

    def run(self):
        self.app, sections = self.env.app, {}
        for book in self.app.d2c_workbooks:
            part, docname = book.exercises[0].part, f"nbs/{book.chapter}"
            if part not in sections:
                sections[part] = nodes.section("", nodes.title("", part), ids=[nodes.make_id(f"exercises {part}")], names=[])
            chapter = self.link(docname, "", f"{book.exercises[0].number.partition('.')[0]}. {book.title}")
            parts = [[nodes.strong("", "", chapter)], [notebook_link(self.env.docname, docname, f"{book.chapter}_exercises.ipynb")],
                     *([[colab]] if (colab := self.colab(book.chapter)) else [])]
            sections[part] += [nodes.paragraph("", "", *dotted(parts)), self.table(docname, book.exercises)]
        return list(sections.values())

    def link(self, docname, target, text):
        uri = self.app.builder.get_relative_uri(self.env.docname, docname)
        return nodes.reference("", text, internal=True, refuri=f"{uri}#{target}" if target else uri)

    def colab(self, chapter):
        "A link that opens the notebook there, if the repository has an address."
        repository = settings(self.app.d2c_root)[1]
        path = repository.removeprefix("https://github.com/")
        if path == repository: return None
        branch = self.config.html_theme_options.get("repository_branch") or "main"
        uri = f"https://colab.research.google.com/github/{path}/blob/{branch}/{(FOLDER/f'{chapter}_exercises.ipynb').as_posix()}"
        return nodes.reference("", "open in Colab", internal=False, refuri=uri)

    def table(self, docname, exercises):
        rows = [[self.link(docname, f"ex-{e.name}", f"{e.number} {e.title}"), nodes.Text(e.difficulty), nodes.Text(str(e.minutes)),
                 nodes.literal("", e.checker)] for e in exercises]
        row = lambda entries: nodes.row("", *[nodes.entry("", nodes.paragraph("", "", entry)) for entry in entries])
        head = row(map(nodes.Text, ("exercise", "difficulty", "minutes", "checker")))
        group = nodes.tgroup("", *[nodes.colspec(colwidth=w) for w in (50, 15, 10, 25)], nodes.thead("", head), nodes.tbody("", *map(row, rows)), cols=4)
        return nodes.table("", group, classes=["exercise-table"])


def survey(app, env, docnames):
    app.d2c_root = Path(app.srcdir)
    app.d2c_workbooks = list(read_book(app.d2c_root))


def place_notebooks(app, exception):
    "The exercise notebooks, made from the chapters as they are, beside the pages."
    if exception or app.builder.format != "html": return
    for book in app.d2c_workbooks:
        path = Path(app.outdir)/notebook_name(book.chapter)
        path.parent.mkdir(exist_ok=True)
        path.write_text(notebook(book, settings(app.d2c_root)[1]), encoding="utf-8", newline="\n")


def setup(app):
    app.add_directive("exercise-start", ExerciseStart, override=True)
    app.add_directive("hints", Hints)
    app.add_directive("exercise-index", ExerciseIndex)
    app.add_css_file("workbooks.css")
    app.connect("env-before-read-docs", survey)
    app.connect("build-finished", place_notebooks)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}


if __name__ == "__main__":
    try: write(Path(__file__).resolve().parents[2])
    except SphinxError as error: sys.exit(str(error))
