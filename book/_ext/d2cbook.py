"""Jupyter Book bridge: nbdev's directives, and the links equation - code - check.

Before any page is read, `survey` looks through every notebook and page, and stops the build
with a list of all faults. While pages are read, `rewrite` turns a notebook's `#|` directives
into the tags that MyST-NB knows. When pages are written, `AddLinks` puts the links under each
numbered equation and fills the page of equations.
"""
import ast
import functools
import hashlib
import inspect
import re
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import nbformat
from docutils import nodes
from markdown_it import MarkdownIt
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_role import myst_role_plugin
from sphinx.addnodes import pending_xref
from sphinx.errors import SphinxError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from chapters import Chapter, run_ahead

PACKAGE = "d2c"
DATA = {"d2c.data": "d2c/datasets", "d2c.pretrained": "d2c/weights", "d2c.measurements": "book/measured", "d2c.exercises": "d2c/workbooks", "d2c.openai": "tests/reference", "d2c.variance": "book/measured", "d2c.density": "book/measured", "d2c.edm": "book/measured", "d2c.flow": "book/measured", "d2c.composition": "book/measured", "d2c.inverse": "book/measured", "d2c.restoring": "book/measured"}  # module -> folder that it reads

SWITCH, TEXT, LABELS = r"(true|false)", r".+", r"[\w:-]+( +[\w:-]+)*"
KNOWN = {
    "default_exp": r"\w+", "export": "", "hide": "", "slow": "", "test": "",
    "echo": SWITCH, "output": SWITCH, "eval": SWITCH, "code-fold": SWITCH, "code-summary": TEXT,
    "label": r"fig-[\w-]+", "fig-cap": TEXT, "fig-alt": TEXT, "eq": LABELS, "eq-check": LABELS,
}
TAGS = {
    ("default_exp", None): "remove-cell", ("hide", None): "remove-cell",
    ("echo", "false"): "remove-input", ("output", "false"): "remove-output",
    ("eval", "false"): "skip-execution", ("test", None): "skip-execution", ("code-fold", "true"): "hide-input",
}
KINDS = {"eq": "code", "eq-check": "check"}


# ---- notebooks -------------------------------------------------------------------------------

class Cell(NamedTuple):
    "One code or Markdown cell; `number` counts all cells of its notebook from 1."
    docname: str
    file: str
    number: int
    kind: str
    directives: dict
    code: str

    @property
    def names(self):
        "The public functions and classes that an exported cell defines."
        return public_names(self.code) if "export" in self.directives else []

    @property
    def where(self):
        lines = [line for line in self.code.splitlines() if line.strip()]
        what = ", ".join(self.names) or (lines[0].strip()[:60] if lines else "")
        return f"{self.file}, cell {self.number}" + (f" (`{what}`)" if what and self.kind == "code" else "")

    @property
    def target(self):
        return f"cell-{self.number}"

    def labels(self, directive):
        return self.directives.get(directive, "").split()


# Magics, and the options at the top of a page's `code-cell`.
NOT_PYTHON = re.compile(r"\A---\n[\s\S]*?\n---\n|^\s*[%!][^\n]*|^:[\w-]+:[^\n]*", re.M)


@functools.cache
def parse(code):
    "Syntax tree of a cell, or None."
    try:
        return ast.parse(NOT_PYTHON.sub("", code))
    except SyntaxError:
        return None


@functools.cache
def public_names(code):
    tree = parse(code)
    found = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))] if tree else []
    return [qualified(n) for n in found if not n.name.startswith("_")]


def qualified(node):
    "A function's name, or Class.method where fastcore's `@patch` makes it a method."
    patched = any(isinstance(d, ast.Name) and d.id == "patch" for d in node.decorator_list)
    owner = node.args.args[0].annotation if patched else None
    return f"{owner.id}.{node.name}" if isinstance(owner, ast.Name) else node.name


DIRECTIVE = re.compile(r"#\s*\|\s*([\w-]+)\s*:?\s*(.*?)\s*$")


def split_directives(source):
    "Leading `#|` lines as a dictionary, and the rest."
    lines, directives = source.splitlines(True), {}
    while lines and (not lines[0].strip() or DIRECTIVE.match(lines[0])):
        if match := DIRECTIVE.match(lines.pop(0)):
            name, value = match[1], re.sub(r"^([\"'])(.*)\1$", r"\2", match[2])
            directives[name] = f"{directives[name]} {value}" if name in directives and name in KINDS else value
    return directives, "".join(lines)


def read_cells(text, docname, file):
    for number, cell in enumerate(nbformat.reads(text, as_version=4).cells, 1):
        directives, code = split_directives(cell.source) if cell.cell_type == "code" else ({}, cell.source)
        yield Cell(docname, file, number, cell.cell_type, directives, code)


def directive_faults(cell):
    d = cell.directives
    for name, value in d.items():
        if name not in KNOWN:
            yield f"{cell.where}: unknown directive `#| {name}`{nearest(name, KNOWN)}; known are {', '.join(KNOWN)}"
        elif not re.fullmatch(KNOWN[name], value):
            wanted = "no value" if not KNOWN[name] else "true or false" if KNOWN[name] == SWITCH else "a value"
            yield f"{cell.where}: `#| {name}: {value}` is not understood; it takes {wanted}"
    lines = cell.code.splitlines()
    if cell.kind == "code" and any(map(DIRECTIVE.match, lines)):
        yield f"{cell.where}: a `#|` line stands after code; move it to the top of the cell"
    if cell.kind == "markdown" and any(line.startswith("#|") for line in lines):
        yield f"{cell.where}: a `#|` line stands in a Markdown cell; make its code a cell of its own"
    if "eq" in d and not cell.names:
        yield f"{cell.where}: `#| eq: {d['eq']}` stands on a cell that exports no function; add `#| export` or move it to the cell that does"
    if "eq-check" in d and d.get("eval") == "false":
        yield f"{cell.where}: `#| eq-check: {d['eq-check']}` stands on a cell that never runs; remove `#| eval: false`"
    if "test" in d and "hide" not in d:
        yield f"{cell.where}: the book does not run a `#| test`, so no page may show it; add `#| hide`"
    if KINDS.keys() & d.keys() and "hide" in d:
        yield f"{cell.where}: the page links to this cell but it is hidden; remove `#| hide`"


# ---- what a chapter's cached run depends on ----------------------------------------------------

@functools.cache
def imports(code, package=PACKAGE):
    "Names that Python code may import from the library, relative imports seen from `package`."
    names = []
    for node in ast.walk(parse(code) or ast.Module([], [])):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names


def module_file(root, name):
    path = root.joinpath(*name.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


def closure(root, codes):
    "{module: file} of every library module that the cells import, directly or not."
    found, seen, todo = {}, set(), [name for code in codes for name in imports(code)]
    while todo:
        name = todo.pop()
        if name.split(".")[0] != PACKAGE or name in seen:
            continue
        seen.add(name)
        todo.append(name.rpartition(".")[0])
        if file := module_file(root, name):
            found[name] = file
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            todo += imports(file.read_text(encoding="utf-8"), package)
    return found


@functools.cache
def fingerprint(path, changed):
    return hashlib.sha256(path.read_bytes()).digest()


def cache_key(root, codes):
    "Hash of the library modules that these cells depend on, and of the data those modules read."
    digest = hashlib.sha256()
    for name, file in sorted(closure(root, codes).items()):
        digest.update(f"{name}\n".encode() + file.read_bytes())
        for path in sorted((root / DATA[name]).rglob("*")) if name in DATA else []:
            if path.is_file(): digest.update(path.name.encode() + fingerprint(path, path.stat().st_mtime_ns))
    return digest.hexdigest()[:16]


# ---- the notebook that MyST-NB sees --------------------------------------------------------------

def rewrite(app, docname, source):
    "What MyST-NB reads instead of the file: directives turned into tags, and the cache key in a hidden cell."
    root, text = app.d2c.root, source[0]
    if docname in app.d2c.notebooks:
        source[0] = app.d2c.rendered[docname]
    elif codes := [t.content for t in MARKDOWN.parse(text) if t.info.startswith("{code-cell}")]:
        source[0] = f"{text}\n\n```{{code-cell}}\n:tags: [remove-cell]\n{key_line(root, codes)}\n```\n"


def key_line(root, codes):
    return f"# {PACKAGE} {cache_key(root, codes)}"


def render(text, cells, root):
    "The notebook with tags instead of directives, margin notes and the cache key; in memory only."
    notebook, out = nbformat.reads(text, as_version=4), []
    for raw, cell in zip(notebook.cells, cells):
        if cell.kind == "code":
            raw.source = cell.code
            raw.metadata = cell_metadata(cell)
            if margin := margin_note(cell):
                out.append(nbformat.v4.new_markdown_cell(margin))
        out.append(raw)
    key = key_line(root, [cell.code for cell in cells if cell.kind == "code"])
    out.append(nbformat.v4.new_code_cell(key, metadata={"tags": ["remove-cell"]}))
    notebook.cells = out
    return nbformat.writes(notebook)


def cell_metadata(cell):
    d = cell.directives
    tags = [tag for (name, value), tag in TAGS.items() if name in d and value in (None, d[name])]
    if "nbdev_export(" in cell.code or re.fullmatch(r"show_doc\(.*\);?", cell.code.strip()):
        tags += ["remove-cell", "skip-execution"]
    mystnb = {}
    if "code-summary" in d:
        mystnb["code_prompt_show"] = mystnb["code_prompt_hide"] = d["code-summary"]
    if "fig-cap" in d:
        mystnb["figure"] = {"caption": d["fig-cap"], **({"name": d["label"]} if "label" in d else {})}
    if alt := d.get("fig-alt", d.get("fig-cap")):
        mystnb["image"] = {"alt": alt}
    return {"tags": tags, **({"mystnb": mystnb} if mystnb else {})}


def margin_note(cell):
    lines = [f"{verb} " + ", ".join(f"{{eq}}`{label}`" for label in cell.labels(name))
             for name, verb in (("eq", "Implements"), ("eq-check", "Checks")) if name in cell.directives]
    return f":::{{eq-margin}} {cell.target}\n" + "\n\n".join(lines) + "\n:::" if lines else ""


# ---- equations: where they stand, and who implements and checks them -------------------------------

MARKDOWN = MarkdownIt("commonmark").use(dollarmath_plugin).use(colon_fence_plugin).use(myst_role_plugin)
FENCE = re.compile(r"\{([\w-]+)\}\s*(.*)")


def blocks(text):
    "Every Markdown token of a page, those inside directives included."
    for token in MARKDOWN.parse(text):
        yield token
        yield from token.children or []
        if token.type in ("fence", "colon_fence") and token.info.lstrip().startswith("{"):
            yield from blocks(token.content)


class Book:
    "What the survey knows of notebooks, pages, equations and their links."

    def __init__(self, root):
        self.root, self.notebooks, self.rendered, self.faults = Path(root), {}, {}, []
        self.equations, self.references, self.reasons, self.prose = {}, [], {}, []
        self.links = {"code": {}, "check": {}}  # kind -> label -> cells
        self.formulas, self.reason_nodes = {}, {}

    def add_page(self, docname, path):
        file, text = path.relative_to(self.root).as_posix(), path.read_text(encoding="utf-8")
        if path.suffix != ".ipynb":
            return self.add_markdown(file, text)
        self.notebooks[docname] = list(read_cells(text, docname, file))
        for cell in self.notebooks[docname]:
            if cell.kind == "markdown":
                self.add_markdown(cell.where, cell.code)
            self.faults += directive_faults(cell)
            for name, kind in KINDS.items():
                for label in cell.labels(name):
                    self.links[kind].setdefault(label, []).append(cell)

    def add_markdown(self, where, text):
        for token in blocks(text):
            fence = FENCE.match(token.info.strip()) if token.type in ("fence", "colon_fence") else None
            name, argument = fence.groups() if fence else (None, "")
            if token.type == "math_block_label":
                self.equations.setdefault(token.info, where)
            elif token.type == "myst_role" and token.meta["name"] == "eq":
                self.references.append((token.content, where))
            elif name == "math" and (match := re.search(r"(?m)^:label: *(\S+)", token.content)):
                self.equations.setdefault(match[1], where)
            elif name == "eq-prose":
                self.add_prose(where, argument.split(), token.content.strip())

    def add_prose(self, where, labels, reason):
        for label in labels or [""]:
            self.prose.append((label, where))
            self.reasons[label] = reason
        if not reason:
            self.faults.append(f"{where}: `{{eq-prose}} {' '.join(labels)}` gives no reason; write one sentence in its body")

    def check(self):
        "All faults of the book's sources, in the order they are read."
        yield from self.faults
        for kind, directive in (("code", "eq"), ("check", "eq-check")):
            for label, cells in self.links[kind].items():
                if label not in self.equations:
                    for cell in cells:
                        yield self.unknown(cell.where, f"`#| {directive}: {label}`", label)
        for label, where in self.prose:
            if label not in self.equations:
                yield self.unknown(where, f"`{{eq-prose}} {label}`", label)
            elif all(label in links for links in self.links.values()):
                yield f"{where}: `{label}` has code and a check; remove it from `{{eq-prose}}`"
        for label, where in self.references:
            if label not in self.equations:
                yield self.unknown(where, f"{{eq}}`{label}`", label)
        for label, where in self.equations.items():
            missing = [kind for kind, links in self.links.items() if label not in links]
            if missing and label not in self.reasons:
                write = " and ".join({"code": f"`#| eq: {label}` at the top of the cell that exports its function",
                                      "check": f"`#| eq-check: {label}` at the top of a cell that checks it"}[m] for m in missing)
                yield f"{where}: equation `{label}` has no {' and no '.join(missing)}; write {write}, or list it in `{{eq-prose}}` with a reason"

    def unknown(self, where, what, label):
        return f"{where}: {what} names an equation that does not exist{nearest(label, self.equations)}"


def nearest(word, words):
    close = get_close_matches(word, words, 1)
    return f"; did you mean `{close[0]}`?" if close else ""


def fail(faults):
    if faults := list(faults):
        raise SphinxError(f"the book has {len(faults)} fault{'s' * (len(faults) > 1)}:\n"
                          + "\n".join(f"  {fault}" for fault in faults))


def survey(app, env, docnames):
    app.d2c = Book(app.srcdir)
    for docname in sorted(env.found_docs):
        app.d2c.add_page(docname, Path(env.doc2path(docname)))
    fail(app.d2c.check())
    paths = {docname: Path(env.doc2path(docname)) for docname in app.d2c.notebooks}
    app.d2c.rendered = {docname: render(path.read_text(encoding="utf-8"), app.d2c.notebooks[docname], app.d2c.root) for docname, path in paths.items()}
    chapters = [Chapter(path, app.d2c.notebooks[docname], app.d2c.rendered[docname]) for docname, path in paths.items()]
    left_out = app.config.nb_execution_excludepatterns
    run_ahead([c for c in chapters if not any(c.path.match(pattern) for pattern in left_out)], app.config.nb_execution_cache_path)


def collect_formulas(app, doctree):
    for node in doctree.findall(nodes.math_block):
        if node.get("label"):
            app.d2c.formulas[node["label"]] = node
        elif "amsmath" in node["classes"]:
            fail([f"{app.env.doc2path(app.env.docname, False)}: write `{node.astext().split('}')[0]}}}` as $$ … $$ with `aligned` inside"])


def compare(app, env):
    "The survey reads Markdown by itself; what Sphinx numbered must be the same."
    numbered = env.get_domain("math").equations
    fail([f"{env.doc2path(numbered[label][0], False)}: equation `{label}` was numbered but not surveyed; write it as $$ … $$ ({label})"
          for label in numbered if label not in app.d2c.equations])


# ---- directives of the pages ---------------------------------------------------------------------

class EqMargin(SphinxDirective):
    "The margin note beside a code cell, made by `margin_note`; its argument is the cell's target."
    required_arguments, has_content = 1, True

    def run(self):
        aside = nodes.sidebar("", classes=["margin", "eq-margin"], ids=self.arguments)
        self.state.nested_parse(self.content, self.content_offset, aside)
        return [aside]


class EqProse(SphinxDirective):
    "`{eq-prose} label…`: these equations need no code; the body says why, and shows on the index page."
    required_arguments, final_argument_whitespace, has_content = 1, True, True

    def run(self):
        box = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, box)
        words = [child for paragraph in box.findall(nodes.paragraph) for child in paragraph.children]
        for formula in box.findall(nodes.math): formula["chapter"] = Path(self.env.docname).name
        for label in self.arguments[0].split():
            self.env.app.d2c.reason_nodes[label] = words
        return []


class eq_index(nodes.General, nodes.Element):
    pass


class EqIndex(SphinxDirective):
    def run(self):
        return [eq_index()]


# ---- links, added while pages are written ----------------------------------------------------------

def reading_order(env, docname):
    return [docname] + [d for child in env.toctree_includes.get(docname, []) for d in reading_order(env, child)]


def eq_ref(label, docname):
    return pending_xref("", nodes.literal("", label), refdomain="math", reftype="eq", reftarget=label,
                        refdoc=docname, refexplicit=False, refwarn=True)


def joined(groups, mark=", "):
    return [node for i, group in enumerate(groups) for node in ([nodes.Text(mark)] if i else []) + group]


def dotted(groups):
    return joined(groups, " · ")


class AddLinks(SphinxPostTransform):
    default_priority = 5

    def run(self, **kwargs):
        self.book, self.here = self.app.d2c, self.env.docname
        for node in list(self.document.findall(nodes.math_block)):
            if line := self.link_line(node.get("label")):
                node.parent.insert(node.parent.index(node) + 1, line)
        for node in list(self.document.findall(eq_index)):
            node.replace_self(self.equation_lists())

    def link(self, docname, target, *content):
        uri = "" if docname == self.here else self.app.builder.get_relative_uri(self.here, docname)
        return nodes.reference("", "", *content, internal=True, refuri=f"{uri}#{target}" if target else uri)

    def code_links(self, label):
        return joined([[self.link(cell.docname, cell.target, nodes.literal("", self.call(cell, name)))]
                       for cell in self.book.links["code"].get(label, []) for name in cell.names])

    def call(self, cell, name):
        return name if re.search(rf"(?m)^class {name}\b", cell.code) else f"{name}()"

    def check_links(self, label):
        cells = self.book.links["check"].get(label, [])
        return joined([[self.link(cell.docname, cell.target, nodes.Text(self.check_text(cell, cells, label)))] for cell in cells])

    def check_text(self, cell, cells, label):
        "Names the check's chapter only where it is not the equation's own."
        same = [c for c in cells if c.docname == cell.docname]
        number = f" {same.index(cell) + 1}" if len(same) > 1 else ""
        home = self.env.get_domain("math").equations[label][0]
        return f"cell{number}" + ("" if cell.docname == home else f" in {self.env.titles[cell.docname].astext()}")

    def link_parts(self, label):
        found = (("Code: ", self.code_links(label)), ("Check: ", self.check_links(label)))
        return [[nodes.Text(text), *links] for text, links in found if links]

    def link_line(self, label):
        parts = self.link_parts(label)
        return nodes.paragraph("", "", *dotted(parts), classes=["eq-links"]) if parts else None

    def chapters(self, items):
        "(docname, items) in reading order; `items` is a list of (docname, item)."
        for docname in dict.fromkeys(reading_order(self.env, self.config.root_doc)):
            if own := [item for d, item in items if d == docname]:
                yield docname, own

    def equation_lists(self):
        numbered = self.env.get_domain("math").equations
        items = [(docname, (number, label)) for label, (docname, number) in numbered.items()]
        out = []
        for docname, own in self.chapters(items):
            out.append(nodes.rubric("", "", self.link(docname, "", nodes.Text(self.title(docname)))))
            out += [self.equation_entry(label) for _, label in sorted(own)]
        return out

    def title(self, docname):
        number = self.env.toc_secnumbers.get(docname, {}).get("")
        return (".".join(map(str, number)) + ". " if number else "") + self.env.titles[docname].astext()

    def equation_entry(self, label):
        reason = self.moved(self.book.reason_nodes.get(label, []))
        parts = [[eq_ref(label, self.here)], *self.link_parts(label), *([reason] if reason else [])]
        origin = self.book.formulas[label]
        formula = nodes.math_block("", origin.astext(), number=None, nowrap=False, chapter=origin.get("chapter"))
        return nodes.container("", nodes.paragraph("", "", *dotted(parts)), formula, classes=["eq-entry"])

    def moved(self, content):
        "Copies of nodes, their references seen from this page."
        copies = [node.deepcopy() for node in content]
        for copy in copies:
            for ref in copy.findall(pending_xref):
                ref["refdoc"] = self.here
        return copies


# ---- names in code lead to their API entry -----------------------------------------------------------

NAME = re.compile(r"""(?<!<span class="o">\.</span>)<span class="n[cf]?">(\w+)</span>(?!<span class="o">=</span>)""")


def library_names(cells):
    "{name: full name} of what a chapter's code imports from the library or exports, unless it is a variable too."
    trees = [tree for cell in cells if cell.kind == "code" and (tree := parse(cell.code))]
    found = {name: f"{PACKAGE}.{Path(cell.docname).name}.{name}" for cell in cells for name in cell.names}
    variables = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            variables.add(node.id)
        elif isinstance(node, ast.arg):
            variables.add(node.arg)
    return {name: full for name, full in found.items() if name not in variables}


def link_code(app, pagename, templatename, context, doctree):
    if pagename not in app.d2c.notebooks:
        return
    entries, names = app.env.get_domain("py").objects, library_names(app.d2c.notebooks[pagename])

    def link(match):
        entry = entries.get(names.get(match[1]))
        if not entry:
            return match[0]
        uri = f"{app.builder.get_relative_uri(pagename, entry.docname)}#{entry.node_id}"
        return f'<a class="code-link" href="{uri}">{match[0]}</a>'

    context["body"] = NAME.sub(link, context["body"])


# ---- API page ----------------------------------------------------------------------------------

def rst(text):
    "Plain text with `code` in single backticks, as reStructuredText."
    parts = re.split(r"(:[\w:]+:`[^`]+`|``[^`]+``|`[^`]+`)", text)
    for i, part in enumerate(parts):
        if i % 2 == 0:
            parts[i] = re.sub(r"([*|\\`]|_(?=\W|$))", r"\\\1", part)
        elif re.match(r"`[^`]", part):
            parts[i] = f"`{part}`"
    return "".join(parts)


def docstring(app, what, name, obj, options, lines):
    "Add the parameters' comments and the equations that the object implements."
    lines[:] = [rst(line) for line in lines] + [""]
    if what not in ("function", "method", "class", "exception"):
        return
    if labels := implemented(app.d2c, name):
        lines += ["Implements " + ", ".join(f":eq:`{label}`" for label in labels) + ".", ""]
    lines += parameters(obj)
    app.env.temp_data.get("annotations", {}).get(name, {}).pop("self", None)  # of patched methods


def parameters(obj):
    "Field list of the comments beside an object's parameters."
    from fastcore.docments import docments
    try:
        found = {name: info["docment"] for name, info in docments(obj, full=True).items()} | tuple_fields(obj)
    except (TypeError, ValueError, OSError, AttributeError):
        return []
    field = lambda name: "returns" if name == "return" else f"param {name}"
    return [f":{field(name)}: {rst(' '.join(comment.split()))}" for name, comment in found.items() if comment]


def tuple_fields(obj):
    "Comments beside the fields of a NamedTuple, of which docments knows nothing."
    fields = getattr(obj, "_fields", ())
    return dict(re.findall(rf"(?m)^ +({'|'.join(fields)})\b.*?# *(.*)$", inspect.getsource(obj))) if fields else {}


def skip_member(app, what, name, obj, skip, options):
    "A NamedTuple's fields stand among its parameters already."
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def implemented(book, name):
    return [label for label, cells in book.links["code"].items() for cell in cells
            if name in [f"{PACKAGE}.{Path(cell.docname).name}.{own}" for own in cell.names]]


def all_pages(app, env, added, changed, removed):
    "Read every page on every build, so that no warning is lost; executed notebooks stay cached."
    return env.found_docs


def setup(app):
    for name, directive in {"eq-margin": EqMargin, "eq-prose": EqProse, "eq-index": EqIndex}.items():
        app.add_directive(name, directive)
    app.add_node(eq_index)
    app.add_post_transform(AddLinks)
    app.setup_extension("workbooks")
    for event, handler in {"env-get-outdated": all_pages, "env-before-read-docs": survey, "source-read": rewrite,
                           "doctree-read": collect_formulas, "env-check-consistency": compare, "html-page-context": link_code,
                           "autodoc-process-docstring": docstring, "autodoc-skip-member": skip_member}.items():
        app.connect(event, handler)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
