"""Every symbol leads to its row of the notation page.

A row's formulas are patterns. An index made of the letters t, s, k, i, j and n stands for any index; all else is meant as it
stands, and the pattern that says most wins: x_0 before x_t before x. `\\cdot_\\theta` is a letter that is itself an index.
A row of the second table holds in its chapters only and comes first there. `mark` writes each symbol's row into a formula's
MathML; what has no row and is no exception is a fault.
"""
import re
from typing import NamedTuple

NAMES = """log ln exp sin cos tan arsinh arctan logit min max arg det round mod sup inf mean var diag clip in"""
NUMBERS = "e π ∞ i j l"       # and letters that only count
EXCEPTIONS = set(NAMES.split() + NUMBERS.split() + ["d", "simple", "ℝ"])    # d: of integrals and derivatives; simple: of L_simple
INDEX = re.compile(r"[tskijn1→−+,:]*[tskijn][tskijn1→−+,:]*")
SCRIPTED = ("msub", "msup", "msubsup", "munder", "munderover")


class Pattern(NamedTuple):
    row: str
    chapters: tuple     # empty: everywhere
    base: str
    sub: str
    sup: str


def text(element):
    return "".join(element.itertext()).replace("\u2061", "")


def key(element):
    "A letter with its accents, or None."
    if element.tag == "mi":
        return element.text
    if element.tag == "mover" and len(element) == 2 and element[1].tag == "mo" and (inner := key(element[0])):
        return inner + element[1].text
    if element.tag in ("mrow", "mpadded") and len(inner := [c for c in element if c.tag != "mspace" and c.text != "\u2061"]) == 1:
        return key(inner[0])
    if element.tag == "mo" and element.text in ("∇", "⋅"):
        return element.text
    return None


def parts(element):
    "(base, its index, its exponent) of a symbol, or None."
    if element.tag in SCRIPTED and (base := key(element[0])):
        sub = text(element[1]) if element.tag != "msup" else ""
        sup = text(element[-1]) if element.tag in ("msup", "msubsup") else ""
        return base, sub, sup
    return (base, "", "") if (base := key(element)) else None


def patterns(row, chapters, formulas):
    "The patterns of a row, from the MathML of its symbols; `L_0, L_T` are two."
    for tree in formulas:
        for element in first_of_lists(tree):
            if found := parts(element):
                yield Pattern(row, chapters, *found)


def first_of_lists(tree):
    "The symbols of `a, b, c`, and the function of `f(x)`."
    whole = list(tree[0]) if len(tree) == 1 and tree[0].tag == "mrow" else list(tree)
    start = True
    for element in whole:
        if start and parts(element): yield element
        start = element.tag == "mo" and (element.text or "") in ",∇"
        if element.tag == "mrow" and not parts(element): yield from first_of_lists([element]) if len(element) and element[0].tag != "mo" else []


def score(pattern, base, sub, sup):
    if pattern.base != base: return 0
    if pattern.sup and not pattern.sub and pattern.sup not in "2−1":
        return 6 if sup == pattern.sup else 5.5 if INDEX.fullmatch(pattern.sup) and re.fullmatch(r"[a-z1-9]|\(.*\)", sup or "-") and sup not in "2" else 0
    if pattern.sup and pattern.sup != sup: return 0
    more = .5 if pattern.sup else 0
    if pattern.sub == sub: return 5 + more
    if not pattern.sub: return 1
    if not INDEX.fullmatch(pattern.sub): return 0
    return (3 if sub else 2) + more


def find(table, chapter, base, sub, sup):
    "The pattern that a symbol belongs to, or None."
    best, chosen = (0, False), None
    for pattern in table:
        if not pattern.chapters or chapter in pattern.chapters:
            value = (score(pattern, base, sub, sup), bool(pattern.chapters))
            if value[0] and value > best: best, chosen = value, pattern
    return chosen


def mark(element, table, chapter, index=False):
    "Write rows into the tree as `data-s`; yields what has none."
    found = parts(element)
    if found and element.tag not in ("mrow", "mpadded"):
        base, sub, sup = found
        if pattern := index and find(table, chapter, "⋅", base, "") or find(table, chapter, base, sub, sup):
            power = element.tag == "msup" and not pattern.sup
            (element[0] if power else element).set("data-s", pattern.row)
        elif is_letter(base) and base not in EXCEPTIONS:
            yield base + (f"_{sub}" if sub else "")
        for script in list(element)[1:] if element.tag in SCRIPTED else []:
            yield from mark(script, table, chapter, True)
        return
    for child in element:
        yield from mark(child, table, chapter, index)


def is_letter(base):
    return base[0].isalpha() or base[0] == "⌀"


ROW = re.compile(r"^\|\s*(\$[^|]*?)\s*\|([^|]*)\|[^|]*\|[^|]*\|([^|]*)\|$", re.M)


def read(page, tree):
    "All patterns of the notation page; `tree` makes the MathML of a formula. Rows are numbered in their order."
    own = page.find("### Symbols of single chapters")
    table = []
    for number, row in enumerate(rows(page)):
        chapters = tuple(re.findall(r"\{doc\}`(?:[./\w]*/)?(\w+)`", row[3])) if row.start() > own >= 0 else ()
        table += patterns(f"{number}", chapters, [tree(tex) for tex in re.findall(r"\$([^$]+)\$", row[1])])
    return table


def rows(page):
    return list(ROW.finditer(page))
