"""The pages that look at the whole book: `{departure}` of the ledger, `{bugs}` of the gallery, `{chapter-map}` and `{route}` of the map.

What they show is taken from the chapters, and the build fails where page and chapters disagree.
"""
import re
import textwrap
from collections import Counter
from html import escape

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import docname_join
from sphinx.util.docutils import SphinxDirective

from d2cbook import fail, imports, reading_order

NOTES = {"Paper and code": "paper-and-code", "Spot the bug": "spot-the-bug"}
WORDS, EQUATIONS, LINES = 180, 1.5, 20     # read in a minute: of prose, of displayed equations, of visible code


# ---- notes of the chapters -----------------------------------------------------------------------

def title_of(node):
    return node[0].astext() if len(node) and isinstance(node[0], nodes.title) else ""


def notes_in(doctree, title):
    return [node for node in doctree.findall(lambda n: isinstance(n, (nodes.admonition, nodes.sidebar))) if title_of(node) == title]


def begin(app, env, docnames):
    "Every page is read on every build, so nothing is kept from the last one."
    env.d2c_notes, env.d2c_departures = {}, []


def name_notes(app, doctree):
    "Give each note of a chapter an anchor, and remember how many there are."
    for title, stem in NOTES.items():
        found = notes_in(doctree, title)
        for number, node in enumerate(found, 1):
            node["ids"].append(f"{stem}-{number}")
        app.env.d2c_notes[app.env.docname, title] = len(found)


def every_note_is_listed(app, env):
    listed = env.d2c_departures
    there = [(docname, n) for (docname, title), count in env.d2c_notes.items() if title == "Paper and code" for n in range(1, count + 1)]
    fail([f"{docname}: its note “Paper and code” number {n} is not on the ledger; add `{{departure}} {docname} {n}` to book/ledger.md"
          for docname, n in there if (docname, n) not in listed]
         + [f"book/ledger.md: `{{departure}} {docname} {n}` names a note that does not exist" for docname, n in listed if (docname, n) not in there]
         + [f"book/ledger.md: `{{departure}} {docname} {n}` stands there twice" for (docname, n), count in Counter(listed).items() if count > 1])


def copied(children, home, here):
    "Nodes of a chapter, as seen from another page."
    children = [child.deepcopy() for child in children]
    for ref in (ref for child in children for ref in child.findall(pending_xref)):
        if ref.get("reftype") == "doc": ref["reftarget"] = "/" + docname_join(home, ref["reftarget"])
        ref["refdoc"] = here
    for element in (element for child in children for element in child.findall(nodes.Element)): element["ids"] = []
    return children


def answer_to(note):
    "What is folded behind a box “Spot the bug”."
    after = note.next_node(descend=False, siblings=True)
    return [after] if after is not None and after.get("design_component") == "dropdown" else []


def shown_by(note):
    "The figure that an exhibit speaks of, or else the one right behind it: a picture of what the mistake does."
    labels = [ref["reftarget"] for node in [*speaks_before(note), note, *answer_to(note)] for ref in node.findall(pending_xref) if ref["reftarget"].startswith("fig-")]
    figures = {i: figure for figure in note.document.findall(nodes.figure) for i in figure["ids"]}
    return [figures[label] for label in dict.fromkeys(labels) if label in figures][:1]


def speaks_before(note):
    at = note.parent.index(note)
    return [node for node in note.parent[max(at - 1, 0):at] if isinstance(node, nodes.paragraph)]


class departure(nodes.General, nodes.Element):
    pass


class bugs(nodes.General, nodes.Element):
    pass


class Departure(SphinxDirective):
    "`{departure} nbs/chapter n`: the n-th note “Paper and code” of a chapter; the body says what was measured, and where."
    required_arguments, has_content = 2, True

    def run(self):
        if not self.content: raise self.error("Say in the body what was measured, or that nothing was.")
        key = self.arguments[0], int(self.arguments[1])
        self.env.d2c_departures.append(key)
        node = departure("", key=key)
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


class Bugs(SphinxDirective):
    "All boxes “Spot the bug” of the book, in reading order, with their answers and pictures."
    def run(self):
        return [bugs()]


# ---- what needs what, and how long it takes ----------------------------------------------------------

def chapters(env):
    "The numbered chapters in reading order."
    return [d for d in dict.fromkeys(reading_order(env, env.config.root_doc)) if d in env.toc_secnumbers and env.toc_secnumbers[d]]


def prerequisites(cells, known):
    "Chapters that one says it needs in its head, and those whose code it exports on."
    head = next(cell.code for cell in cells if cell.kind == "markdown")
    sentences = [s for s in re.split(r"(?<=[.!?])\s+|\n\n", head) if re.search(r"\bneeds?\b", s)]
    named = {f"nbs/{name}" for s in sentences for name in re.findall(r"(?:\(|`|<)(\w+)(?:\.ipynb\)|`|>`)", s)}
    used = {"nbs/" + name.split(".")[1] for cell in cells if "export" in cell.directives
            for name in imports(cell.code) if name.startswith("d2c.") and name.count(".") == 1}
    return (named | used) & set(known)


def needs(book, order):
    "{chapter: those right before it}: what a need itself needs is left out."
    direct, everything = {}, {}
    for i, docname in enumerate(order):
        direct[docname] = prerequisites(book.notebooks[docname], order[:i])
        everything[docname] = direct[docname].union(*(everything[d] for d in direct[docname]))
    return {docname: [d for d in order if d in own and not any(d in everything[other] for other in own)] for docname, own in direct.items()}


def minutes(cells):
    "Time to read a chapter: its prose, its displayed equations, and the code that is not folded away."
    text = "\n".join(cell.code for cell in cells if cell.kind == "markdown")
    equations = re.findall(r"\$\$[\s\S]*?\$\$", text)
    words = len(re.sub(r"\$\$[\s\S]*?\$\$|```\{?[\w-]*\}?|[|:#-]{3,}", " ", text).split())
    lines = sum(len(cell.code.splitlines()) for cell in cells
                if cell.kind == "code" and not {"hide", "default_exp"} & cell.directives.keys() and cell.directives.get("code-fold") != "true")
    return words/WORDS + len(equations)/EQUATIONS + lines/LINES


def clock(minutes):
    "A time as one says it."
    m = max(5, round(minutes/5)*5)
    return f"{m} min" if m < 60 else f"{m//60} h {m % 60:02} min" if m < 600 and m % 60 else f"{round(m/60)} h"


# ---- the picture ---------------------------------------------------------------------------------

WIDTH, HEIGHT, ROW, GAP, LANE = 122, 58, 40, 10, 10     # of a box, between boxes, and of a line that passes a row


def layers(needs):
    """Rows of boxes, by the length of the longest way to them, and the links from row to row.

    A line that passes a row has a place in it too, (where it comes from, row), which all lines from there share.
    """
    depth, links = {}, {}
    for docname, before in needs.items():
        depth[docname] = 1 + max((depth[d] for d in before), default=-1)
    rows = [[d for d in needs if depth[d] == level] for level in range(max(depth.values()) + 1)]
    for docname, before in needs.items():
        links[docname] = []
        for other in before:
            last = other
            for level in range(depth[other] + 1, depth[docname]):
                if (other, level) not in links:
                    rows[level].append((other, level))
                    links[other, level] = [last]
                last = other, level
            links[docname].append(last)
    return rows, links


def settle(rows, links):
    "Order each row by where its links lead, up and down by turns, and give every box its middle."
    back = {}
    for node, before in links.items():
        for other in before: back.setdefault(other, []).append(node)
    size = lambda node: LANE if isinstance(node, tuple) else WIDTH
    width = max(sum(map(size, row)) + GAP*(len(row) - 1) for row in rows)
    middle = {}

    def place(row):
        left = (width - sum(map(size, row)) - GAP*(len(row) - 1))/2
        for node in row:
            middle[node] = left + size(node)/2
            left += size(node) + GAP

    for row in rows: place(row)
    for turn in range(12):
        ends = links if turn % 2 == 0 else back
        for row in (rows if turn % 2 == 0 else rows[::-1]):
            row.sort(key=lambda n: sum(middle[e] for e in ends[n])/len(ends[n]) if ends.get(n) else middle[n])
            place(row)
    return width, middle


def picture(needs, label, part, link):
    "The map as SVG: a box for each chapter, which is a link, and a line from what it needs."
    rows, links = layers(needs)
    width, middle = settle(rows, links)
    top = {node: 2 + k*(HEIGHT + ROW) for k, row in enumerate(rows) for node in row}
    lines, boxes = [], []
    for node, before in links.items():
        x, y = middle[node], top[node]
        for other in before:
            u, v = middle[other], top[other] + HEIGHT
            lines.append(f'<path d="M{u:.0f} {v} C{u:.0f} {v + ROW*.6:.0f} {x:.0f} {y - ROW*.6:.0f} {x:.0f} {y}"/>')
        if isinstance(node, tuple):
            lines.append(f'<path d="M{x:.0f} {y} V{y + HEIGHT}"/>')
            continue
        words, time = label(node)
        texts = textwrap.wrap(words, 17)[:2]
        spans = "".join(f'<tspan x="{x:.0f}" y="{y + 18 + 15*i + 8*(2 - len(texts)):.0f}">{escape(text)}</tspan>' for i, text in enumerate(texts))
        boxes.append(f'<a href="{link(node)}" class="part-{part(node)}"><title>{escape(words)}, {time}</title>'
                     f'<rect x="{x - WIDTH/2:.0f}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
                     f'<text>{spans}<tspan class="time" x="{x:.0f}" y="{y + HEIGHT - 8}">{time}</tspan></text></a>')
    height = len(rows)*(HEIGHT + ROW) - ROW + 4
    return (f'<div class="chapter-map"><svg viewBox="-2 0 {width + 4:.0f} {height}" width="{width + 4:.0f}" role="group" aria-label="Map of the chapters: each box is a link '
            f'to a chapter, and lines come from the chapters that it needs. The table below says the same.">{"".join(lines)}{"".join(boxes)}</svg></div>')


class chapter_map(nodes.General, nodes.Element):
    pass


class route(nodes.General, nodes.Element):
    pass


class ChapterMap(SphinxDirective):
    def run(self):
        return [chapter_map()]


class Route(SphinxDirective):
    "`{route} chapter…` or `{route} all`: a list of chapters with links, and the time that they take."
    required_arguments, final_argument_whitespace = 1, True

    def run(self):
        return [route("", names=self.arguments[0].split())]


class Fill(SphinxPostTransform):
    default_priority = 4      # before d2cbook's links and Sphinx's references

    def run(self, **kwargs):
        self.book, self.here = self.app.d2c, self.env.docname
        for kind, content in ((departure, self.departure), (bugs, self.bugs), (chapter_map, self.chapter_map), (route, self.route)):
            for node in list(self.document.findall(kind)):
                node.replace_self(content(node))

    def uri(self, docname, target=""):
        return self.app.builder.get_relative_uri(self.here, docname) + (f"#{target}" if target else "")

    def link(self, docname, text, target=""):
        return nodes.reference("", text, internal=True, refuri=self.uri(docname, target))

    def title(self, docname):
        number = self.env.toc_secnumbers.get(docname, {}).get("")
        return (".".join(map(str, number)) + ". " if number else "") + self.env.titles[docname].astext()

    def notes(self, docname, title):
        return notes_in(self.env.get_doctree(docname), title)

    def departure(self, node):
        docname, n = node["key"]
        note = self.notes(docname, "Paper and code")[n - 1]
        where = nodes.paragraph("", "", nodes.strong("", "", self.link(docname, self.title(docname), f"{NOTES['Paper and code']}-{n}")))
        return nodes.container("", where, *copied(note.children[1:], docname, self.here), nodes.container("", *node.children, classes=["measured"]), classes=["departure"])

    def bugs(self, node):
        return [self.exhibit(docname, n, note) for docname in chapters(self.env) if docname in self.book.notebooks
                for n, note in enumerate(self.notes(docname, "Spot the bug"), 1)]

    def exhibit(self, docname, n, note):
        "A box “Spot the bug”, what is folded behind it, and the picture of what it does."
        where = nodes.paragraph("", "", nodes.strong("", "", self.link(docname, self.title(docname), f"{NOTES['Spot the bug']}-{n}")))
        pictures = [copied([part], docname, self.here)[0] for figure in shown_by(note) for part in [*list(figure.findall(nodes.image))[:1], *figure.findall(nodes.caption)]]
        pictures = [nodes.paragraph("", "", *part.children, classes=["caption"]) if isinstance(part, nodes.caption) else part for part in pictures]
        box = nodes.container("", *copied(note.children[1:], docname, self.here), classes=["exhibit-box"])
        return nodes.container("", where, box, *copied(answer_to(note), docname, self.here), *([nodes.container("", *pictures, classes=["picture"])] if pictures else []), classes=["exhibit"])

    def label(self, docname):
        return re.split("[:,]", self.env.titles[docname].astext())[0], clock(minutes(self.book.notebooks[docname]))

    def chapter_map(self, node):
        order = [d for d in chapters(self.env) if d in self.book.notebooks]
        before = needs(self.book, order)
        parts = self.parts(order)
        svg = picture(before, self.label, lambda d: parts[d], self.uri)
        rows = [nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *content)) for content in (
            [self.link(d, self.title(d))],
            [n for i, b in enumerate(before[d]) for n in ([nodes.Text(", ")] if i else []) + [self.link(b, self.label(b)[0])]] or [nodes.Text("nothing")],
            [nodes.Text(self.label(d)[1])]))) for d in order]
        head = nodes.row("", *(nodes.entry("", nodes.paragraph("", text)) for text in ("chapter", "needs", "reading time")))
        group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (45, 40, 15)), nodes.thead("", head), nodes.tbody("", *rows), cols=3)
        return [nodes.raw("", svg, format="html"), nodes.table("", group)]

    def parts(self, order):
        "{chapter: number of its part}, by the captions of the table of contents."
        groups = [tree["entries"] for tree in self.env.get_doctree(self.config.root_doc).findall(lambda n: n.tagname == "toctree")]
        return {d: k for k, entries in enumerate(groups) for _, d in entries if d in order}

    def route(self, node):
        order = [d for d in chapters(self.env) if d in self.book.notebooks]
        names = order if node["names"] == ["all"] else [f"nbs/{name}" for name in node["names"]]
        fail(f"{self.here}: a route goes through {name}, which is no numbered chapter" for name in names if name not in order)
        fail([f"{self.here}: a route is not in the order of the book: {' '.join(node['names'])}"] if names != sorted(names, key=order.index) else [])
        total = nodes.paragraph("", "", nodes.strong("", clock(sum(minutes(self.book.notebooks[d]) for d in names))), nodes.Text(" of reading."))
        items = [nodes.list_item("", nodes.paragraph("", "", self.link(d, self.title(d)), nodes.Text(f", {self.label(d)[1]}"))) for d in names]
        return [total] if node["names"] == ["all"] else [total, nodes.bullet_list("", *items)]


def setup(app):
    for directive, node, run in (("departure", departure, Departure), ("bugs", bugs, Bugs), ("chapter-map", chapter_map, ChapterMap), ("route", route, Route)):
        app.add_node(node)
        app.add_directive(directive, run)
    app.add_post_transform(Fill)
    app.connect("env-before-read-docs", begin)
    app.connect("doctree-read", name_notes)
    app.connect("env-check-consistency", every_note_is_listed)
    app.add_css_file("reference.css")
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
