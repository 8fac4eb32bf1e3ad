"""Mathematics set when the book is built: every formula becomes MathML, which browsers lay out themselves.

TeX is translated by Temml (see temml/README.md), which runs in V8; no page loads a script for its formulas.
"""
import atexit
import functools
import json
import re
import xml.etree.ElementTree as ET
from copy import deepcopy
from pathlib import Path

from docutils import nodes
from py_mini_racer import MiniRacer
from sphinx.addnodes import pending_xref
from sphinx.errors import SphinxError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.math import get_node_equation_number

import panels
import symbols

TEMML = Path(__file__).parent / "temml"
TRANSLATE = """
function translate(tex, display) {
  try { return [temml.renderToString(tex, {displayMode: display, throwOnError: true}), ""]; }
  catch (error) { return ["", error.message]; }
}"""


class BadFormula(ValueError):
    pass


@functools.cache
def engine():
    context = MiniRacer()
    atexit.register(context.close)      # without it Python may wait for V8 for ever
    context.eval((TEMML / "temml.min.js").read_text(encoding="utf-8") + TRANSLATE)
    return context


@functools.cache
def characters():
    "What the font can draw, and signs that are not drawn at all."
    return set((TEMML / "characters.txt").read_text(encoding="utf-8")) | set("\u2061\u2062\u2063")


@functools.cache
def tree(tex, display=False):
    "The MathML of a formula; not to be changed."
    text, error = engine().call("translate", tex, display)
    if error:
        raise BadFormula(error.replace("\u0332", "").replace("ParseError:", "").strip().rstrip(":"))
    text = text.replace("\u203e", "\u00af").replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")   # the font's bar is the macron
    text = text.replace("ϵ", "ε")       # one shape in formulas and in words
    root = ET.fromstring(text)
    if missing := set("".join(root.itertext())) - characters():
        raise BadFormula(f"the font has no {' '.join(sorted(missing))}; add it to CHARACTERS in book/_ext/mathfont.py and make the font again")
    space(root)
    return root


class Setter:
    "Sets the formulas of a book: each symbol bears the number of its row on the notation page, if there is one."

    def __init__(self, notation=""):
        self.table, self.known, self.faults = symbols.read(notation, tree), {}, []

    def mathml(self, tex, display, chapter):
        "(MathML as text, symbols without a row)."
        if (tex, display, chapter) not in self.known:
            root = deepcopy(tree(tex, display))
            unknown = list(symbols.mark(root, self.table, chapter)) if self.table else []
            if not display and len(text_of(root)) > LONG:
                split(root)
            self.known[tex, display, chapter] = ET.tostring(root, encoding="unicode"), unknown
        return self.known[tex, display, chapter]


def text_of(element):
    return "".join(element.itertext())


# ---- what TeX does and Temml or the browsers leave undone ------------------------------------------

SCRIPTS = {"msub", "msup", "msubsup", "munder", "mover", "munderover"}
OPENING, CLOSING, RELATIONS = set("([{⌊⌈⟨"), set(")]}⌋⌉⟩"), set("=<>≤≥≠≈∼∝∈→←↦,;:")
BIG = {"1.2em": "big1", "1.8em": "big2", "2.4em": "big3"}
LONG, ROW = 24, 16      # characters; a longer formula may not fit a phone, and breaks inside its brackets too after a longer row


def space(element, script=False):
    "Brackets without space around them, dots with a thin one, and operators in indices with none."
    children = list(element)
    for i, child in enumerate(children):
        sign = child.text or ""
        if child.get("minsize") in BIG:
            fix_size(child, sign)
        elif child.tag == "mo" and not child.get("form"):
            if sign in ("−", "+", "±") and (i == 0 or opens(children[i - 1])):
                child.set("form", "prefix")
            elif script or child.get("fence"):
                child.set("lspace", "0"), child.set("rspace", "0")
            elif sign in "…⋯" and sign:
                before, after = (0 <= j < len(children) and children[j].tag != "mo" for j in (i - 1, i + 1))
                child.set("lspace", ".17em" if before else "0"), child.set("rspace", ".17em" if after else "0")
        if (child.tag, len(child) and child[0].tag) == ("mrow", "mi") and i and children[i - 1].text == "∇":
            child.insert(0, ET.Element("mspace", width=".17em"))      # ∇ log
        space(child, script or element.tag in SCRIPTS and i > 0)


def opens(before):
    "Whether a minus after this element is a sign and not a difference."
    return before.tag == "mo" and not (before.text or "") in CLOSING | set("‖|!′")


def fix_size(bracket, sign):
    r"The font's own bracket for \big, \Big and \bigg, which needs no stretching."
    between = ".28em" if bracket.get("fence") == "false" and sign in "|‖" else "0"
    bracket.attrib = {"stretchy": "false", "lspace": between, "rspace": between, "class": BIG[bracket.get("minsize")]}


def split(tree):
    "Let a long formula break after its relations: what stays together is a row of `math`."
    whole = tree[0] if len(tree) == 1 and tree[0].tag == "mrow" else tree
    rows, depth = [[]], 0
    for child in list(whole):
        rows[-1].append(child)
        sign = child.text if child.tag == "mo" else ""
        depth += (sign in OPENING) - (sign in CLOSING) if sign else 0
        if sign and (depth == 0 and sign in RELATIONS or sign in RELATIONS | set("+−") and sum(len(text_of(c)) for c in rows[-1]) > ROW):
            rows.append([])
    tree[:] = []
    for row in filter(None, rows):
        ET.SubElement(tree, "mrow").extend(row)
    tree.set("class", "long")


def formulas(doctree):
    return doctree.findall(lambda n: isinstance(n, (nodes.math, nodes.math_block)))


def start(app, env, docnames):
    notation = Path(app.srcdir, NOTATION + ".md")
    app.setter = Setter(notation.read_text(encoding="utf-8") if notation.is_file() else "")


def check_formulas(app, doctree):
    "Note every formula that cannot be set and every symbol without a meaning, with the place."
    where, chapter = app.env.doc2path(app.env.docname, False), Path(app.env.docname).name
    for node in formulas(doctree):
        node["chapter"] = chapter_of_row(node) or chapter
        formula = f"${' '.join(node.astext().split())}$"
        try:
            unknown = app.setter.mathml(node.astext(), isinstance(node, nodes.math_block), node["chapter"])[1]
        except BadFormula as error:
            app.setter.faults.append(f"{where}: {formula} is not understood: {error}")
        else:
            app.setter.faults += [f"{where}: the notation does not know {name} of {formula}; give it a row in {NOTATION}.md, in the second table if "
                                  "it means this in this chapter only, or list it in EXCEPTIONS in book/_ext/symbols.py" for name in dict.fromkeys(unknown)]


def chapter_of_row(node):
    "On the notation page, the chapter that a row names: its symbols mean what they mean there."
    while node and not isinstance(node, nodes.row): node = node.parent
    names = [Path(ref["reftarget"]).name for ref in node.findall(pending_xref) if ref.get("refdoc") == NOTATION and ref.get("reftype") == "doc"] if node else []
    return names[0] if names else None


def report(app, env):
    if faults := app.setter.faults:
        raise SphinxError(f"the book's mathematics has {len(faults)} fault{'s' * (len(faults) > 1)}:\n" + "\n".join(f"  {fault}" for fault in faults))


# ---- writing pages -------------------------------------------------------------------------------

class Unbroken(SphinxPostTransform):
    "A formula, the bracket before it and the comma after it stay on one line."
    default_priority, formats = 900, ("html",)

    def run(self):
        for node in list(self.document.findall(nodes.math)):
            i = node.parent.index(node)
            around = [node.parent[k] if 0 <= k < len(node.parent) and isinstance(node.parent[k], nodes.Text) else None for k in (i - 1, i + 1)]
            head, tail = (re.search(pattern, n.astext() if n else "")[0] for pattern, n in zip((r"[(\[“]*$", r"^[,.;:?!)\]”’-]*"), around))
            if not head + tail: continue
            whole = nodes.inline("", "", nodes.Text(head), node.deepcopy(), nodes.Text(tail), classes=["unbroken"])
            for n, rest in zip(around, (lambda text: text[:len(text) - len(head)], lambda text: text[len(tail):])):
                if n: node.parent.replace(n, nodes.Text(rest(n.astext())))
            node.parent.replace(node, whole)


def set_formula(self, node):
    chapter = node.get("chapter", Path(self.builder.current_docname).name)
    return self.builder.app.setter.mathml(node.astext(), isinstance(node, nodes.math_block), chapter)[0]


def inline(self, node):
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate") + set_formula(self, node) + "</span>")
    raise nodes.SkipNode


def display(self, node):
    self.body.append(self.starttag(node, "div", "", CLASS="math notranslate"))
    self.body.append(f'<div class="formula">{set_formula(self, node)}</div>')
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


# ---- cards -----------------------------------------------------------------------------------------

def collect_cards(app, pagename, templatename, context, doctree):
    "The cells of the notation page's rows, as the page shows them, links seen from any chapter."
    if pagename == NOTATION:
        found = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", context["body"], re.S) if "<td" in row]
        wanted = len(symbols.rows(Path(app.srcdir, NOTATION + ".md").read_text(encoding="utf-8")))
        if len(found) != wanted:
            raise SphinxError(f"{NOTATION}.md: {wanted} rows of symbols were read and {len(found)} are on the page; a row is | $symbol$ | code | meaning | shape | where |")
        app.cards = [[re.sub(r' (?:data-s|id)="[^"]*"|</?p>', "", from_chapters(cell)).strip() for cell in row] for row in found]
        entries = app.env.get_domain("py").objects
        for row in app.cards:
            row[1] = panels.link_names(row[1], row[4], entries, lambda name: f"../{entries[name].docname}.html#{entries[name].node_id}")


def from_chapters(html):
    folder, _, page = NOTATION.partition("/")
    return re.sub(r'href="(?!\.\./|https?:)(#?)', lambda m: f'href="../{folder}/{page}.html#' if m[1] else f'href="../{folder}/', html)


def write_cards(app, exception):
    if not exception and getattr(app, "cards", None):
        Path(app.outdir, "_static", "cards.js").write_text(f"var CARDS = {json.dumps(app.cards, ensure_ascii=False)};\n", encoding="utf-8")


NOTATION = "book/notation"


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    for event, handler in {"env-before-read-docs": start, "doctree-read": check_formulas, "env-check-consistency": report,
                           "html-page-context": collect_cards, "build-finished": write_cards}.items():
        app.connect(event, handler)
    app.add_post_transform(Unbroken)
    app.add_css_file("mathematics.css")
    app.add_js_file("symbols.js", loading_method="defer")
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
