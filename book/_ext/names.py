"""Names of formulas in the site's search and in its index: labels, functions and symbols.

A search for "posterior mean", "ddim_sigma", "alpha bar" or "ᾱ_t" then leads to the equation or the function itself.
Symbols and their places are read from the tables of the notation page.
"""
import functools
import posixpath
import re
from collections import defaultdict
from unicodedata import lookup, normalize

from sphinx.addnodes import index
from sphinx.transforms import SphinxTransform

from symbols import rows

NOTATION = "book/notation"
ACCENTS = {"bar": "\u0304", "hat": "\u0302", "tilde": "\u0303"}
LETTERS = {"varsigma": "ς"} | {name: lookup(f"GREEK SMALL LETTER {name.upper()}") for name in
           "alpha beta gamma delta epsilon eta theta kappa mu nu xi pi rho sigma tau phi chi psi omega".split()} | {"lambda": "λ", "nabla": "∇"}
SYMBOL = re.compile(r"^\s*(?:\\(bar|hat|tilde)\s*\{?)?(?:\\(?:mathrm|mathcal|mathbb|operatorname)\s*\{?(\w+)|\\?([A-Za-z]+?)(?![a-z]))\}?(?:_(?:\{?(?:\\text\{)?\\?(\w+)))?")


def spoken(tex):
    "Ways to type a symbol: `\\\\bar\\\\alpha_t` gives alpha bar, alpha bar t, ᾱ, ᾱ_t."
    match = SYMBOL.match(tex)
    if not match: return set()
    accent, roman, letter, index = match.groups()
    word, sign = roman or letter, roman or LETTERS.get(letter, letter)
    if accent: word, sign = f"{word} {accent}", sign + ACCENTS[accent]
    names = {word, sign, normalize("NFC", sign)}
    if index: names |= {f"{word} {index}", *(f"{s}_{LETTERS.get(index, index)}" for s in (sign, normalize("NFC", sign)))}
    return names


PLACE = re.compile(r"\{(eq|doc)\}`([^`]+)`")


def symbols(text):
    "{name: (kind, target)} of the notation page's tables: where each symbol is introduced, by its names in words, in signs and in code."
    found = {}
    for symbol, code, where in (row.groups() for row in rows(text)):
        if not (place := PLACE.search(where)): continue
        names = set().union(*map(spoken, re.findall(r"\$(.+?)\$", symbol)))
        names |= {name for quoted in re.findall(r"`(.+?)`", code) for name in re.findall(r"[A-Za-z_]\w+", quoted)} - {"sched", "step", "at", "of"}
        for name in names: found.setdefault(name, place.groups())
    return found


def words(name):
    return name.replace("_", " ").replace("-", " ")


@functools.cache
def entries(book, notation):
    "All names: {page: [(name, anchor)]}."
    found = defaultdict(list)
    pages = {label: page for page, file in ((p, c[0].file) for p, c in book.notebooks.items() if c)
             for label, where in book.equations.items() if where.split(",")[0] == file}
    for label, page in pages.items():
        found[page].append((words(label.removeprefix("eq-")), f"equation-{label}"))
    for page, cells in book.notebooks.items():
        for cell in cells:
            linked = "eq" in cell.directives or "eq-check" in cell.directives
            for name in cell.names:
                found[page] += [(way, cell.target if linked else "") for way in {name, words(name)}]
    for name, (kind, target) in symbols(notation).items():
        if kind == "doc": found[posixpath.normpath(posixpath.join(posixpath.dirname(NOTATION), target))].append((name, ""))
        elif target in pages: found[pages[target]].append((name, f"equation-{target}"))
    return found


class AddNames(SphinxTransform):
    "Puts a page's names into its document, from where Sphinx takes them for the search and for the index."
    default_priority = 800    # before the domains look at the document

    def apply(self, **kwargs):
        book = self.app.d2c
        notation = book.root/f"{NOTATION}.md"
        names = entries(book, notation.read_text(encoding="utf-8") if notation.is_file() else "")
        found = [("single", name, anchor, "main", None) for name, anchor in names.get(self.env.docname, [])]
        if found: self.document += index(entries=found)


def setup(app):
    app.add_transform(AddNames)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
