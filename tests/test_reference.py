"""The pages that look at the whole book: ledger, glossary, what to read next, and the map of the chapters."""
import json
import re
import sys
from types import SimpleNamespace

import pytest
import yaml
from conftest import ROOT, SITE
from docutils import nodes

sys.path.insert(0, str(ROOT/"book"/"_ext"))
from citations import shorten
from d2cbook import Book
from reference import clock, every_note_is_listed, layers, minutes, needs, picture, prerequisites
from sphinx.errors import SphinxError

TOC = yaml.safe_load((ROOT/"_toc.yml").read_text(encoding="utf-8"))
ORDER = [chapter["file"] for part in TOC["parts"] if part.get("numbered") for chapter in part["chapters"] if chapter["file"].startswith("nbs/")]


@pytest.fixture(scope="module")
def book():
    book = Book(ROOT)
    for docname in ORDER: book.add_page(docname, ROOT/f"{docname}.ipynb")
    return book


def page(name):
    if not (path := SITE/"book"/f"{name}.html").is_file(): pytest.skip("The site is not built; run `make book` first.")
    text = path.read_text(encoding="utf-8")
    return text[text.index("<article"):text.index("</article")]


def plain(html):
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


# ---- ledger ----

def test_a_note_that_is_not_listed_stops_the_build():
    env = SimpleNamespace(d2c_notes={("nbs/a", "Paper and code"): 2, ("nbs/a", "Spot the bug"): 1}, d2c_departures=[("nbs/a", 1), ("nbs/a", 2)])
    every_note_is_listed(None, env)
    for listed, words in (([("nbs/a", 1)], "number 2 is not on the ledger"), ([("nbs/a", 1), ("nbs/a", 2), ("nbs/b", 1)], "does not exist"),
                          ([("nbs/a", 1), ("nbs/a", 2), ("nbs/a", 2)], "stands there twice")):
        env.d2c_departures = listed
        with pytest.raises(SphinxError, match=words): every_note_is_listed(None, env)


def test_every_note_of_the_chapters_stands_on_the_ledger_or_in_the_gallery():
    places = {"Paper and code": page("ledger"), "Spot the bug": page("gallery")}
    for chapter in ORDER:
        source = json.loads((ROOT/f"{chapter}.ipynb").read_text(encoding="utf-8"))
        text = "\n".join("".join(cell["source"]) for cell in source["cells"] if cell["cell_type"] == "markdown")
        for title, stem in (("Paper and code", "paper-and-code"), ("Spot the bug", "spot-the-bug")):
            n = len(re.findall(rf"(?m)^(?:```|:::)+\{{(?:admonition|margin)\}} {title}$", text))
            links = set(re.findall(rf'href="\.\./{chapter}\.html#({stem}-\d+)"', places[title]))
            assert links == {f"{stem}-{k}" for k in range(1, n + 1)}, chapter
            html = (SITE/f"{chapter}.html").read_text(encoding="utf-8")
            assert all(f'id="{anchor}"' in html for anchor in links)


def test_each_departure_says_what_was_measured():
    entries = re.split(r'<div class="departure ', page("ledger"))[1:]
    assert len(entries) >= 9 and all("<strong>Measured.</strong>" in entry for entry in entries)


def test_each_exhibit_has_its_answer_and_where_there_is_one_its_picture():
    exhibits = re.split(r'<div class="exhibit ', page("gallery"))[1:]
    assert len(exhibits) >= 11 and all("<details" in exhibit for exhibit in exhibits)
    assert sum("<img" in exhibit or "<svg" in exhibit for exhibit in exhibits) >= 7


# ---- map ----

def test_needs_come_from_the_chapters(book):
    found = needs(book, ORDER)
    assert list(found) == ORDER
    assert all(ORDER.index(other) < ORDER.index(chapter) for chapter, before in found.items() for other in before)
    assert found["nbs/posterior"] == ["nbs/forward"] and found["nbs/schedule"] == []
    assert "nbs/ddpm" in found["nbs/ddim"] and "nbs/ddim" in found["nbs/guidance"]

    def all_of(chapter): return set(found[chapter]).union(*map(all_of, found[chapter]))
    for chapter in ORDER:      # nothing is lost by leaving out what a need itself needs
        direct = prerequisites(book.notebooks[chapter], ORDER[:ORDER.index(chapter)])
        assert direct <= all_of(chapter) and set(found[chapter]) <= direct


def test_no_line_of_the_map_skips_a_row(book):
    rows, links = layers(needs(book, ORDER))
    row = {node: k for k, nodes in enumerate(rows) for node in nodes}
    assert all(row[other] == row[node] - 1 for node, before in links.items() for other in before)
    assert sorted(n for n in row if isinstance(n, str)) == sorted(ORDER)


def test_every_box_of_the_map_is_a_link(book):
    svg = picture(needs(book, ORDER), lambda d: (d, "5 min"), lambda d: 1, lambda d: f"#{d}")
    assert re.findall(r'<a href="#([^"]*)"', svg) and set(re.findall(r'<a href="#([^"]*)"', svg)) == set(ORDER)
    html = page("map")
    svg, rest = html.split("</svg>")[0], html.split("</svg>")[1]
    boxes = re.findall(r'<a href="\.\./(nbs/\w+)\.html"', svg)
    assert sorted(boxes) == sorted(ORDER)
    assert [re.search(r"\.\./(nbs/\w+)\.html", row)[1] for row in re.findall(r"<tr[\s\S]*?</tr>", rest)[1:]] == ORDER


def test_times_are_read_off_the_chapters(book):
    for chapter, cells in book.notebooks.items():
        assert 3 < minutes(cells) < 90, chapter
    cells = book.notebooks["nbs/forward"]
    longer = [cell._replace(code=cell.code + " word"*1800) if cell.kind == "markdown" and not k else cell for k, cell in enumerate(cells)]
    assert abs(minutes(longer) - minutes(cells) - 10) < 1e-9
    assert [clock(m) for m in (2, 44, 60, 93, 700)] == ["5 min", "45 min", "1 h", "1 h 35 min", "12 h"]


def test_routes(book):
    totals = [m for m in re.findall(r"<strong>([^<]*)</strong> of reading", page("map"))]
    text = (ROOT/"book"/"map.md").read_text(encoding="utf-8")
    routes = [r.split() for r in re.findall(r"\{route\} (.*)", text)]
    assert len(totals) == len(routes) == 3 and routes[-1] == ["all"]
    for total, names in zip(totals, routes):
        chapters = ORDER if names == ["all"] else [f"nbs/{name}" for name in names]
        assert total == clock(sum(minutes(book.notebooks[chapter]) for chapter in chapters))
    evening, week = (sum(minutes(book.notebooks[f"nbs/{name}"]) for name in names) for names in routes[:2])
    assert evening < 180 < week < 600


def test_the_map_is_linked_where_readers_begin():
    for name in ("index", "reading"): assert 'href="map.html"' in page(name)


# ---- glossary and reading list ----

def test_glossary():
    entries = re.findall(r'<dt id="term-[^"]*">(.*?)<a class="headerlink"[\s\S]*?</dt><dd>([\s\S]*?)</dd>', page("glossary"))
    assert 60 <= len(entries) <= 90
    terms = [plain(term) for term, _ in entries]
    assert terms == sorted(terms, key=str.lower)
    for term, meaning in entries:
        assert "href=" in meaning or term == "nat", f"{term} leads nowhere"
        assert len(plain(meaning).split()) < 60, f"{term} is too long"


def test_glossary_terms_are_used_in_the_book():
    files = [*ROOT.glob("nbs/*.ipynb"), *(path for path in ROOT.glob("book/*.md") if path.name != "glossary.md")]
    text = " ".join(path.read_text(encoding="utf-8") for path in files).lower().replace("-", " ")
    terms = re.findall(r"(?m)^(\w.*)\n  ", (ROOT/"book"/"glossary.md").read_text(encoding="utf-8"))
    assert len(terms) >= 60
    for term in terms:
        assert all(word[:6] in text for word in term.lower().replace("-", " ").split()), f"“{term}” is used nowhere else"


def test_each_entry_of_the_reading_list_says_why_and_after_what():
    rows = re.findall(r"(?m)^\| (.*) \| (.*) \| (.*) \|$", (ROOT/"book"/"next.md").read_text(encoding="utf-8"))
    rows = [row for row in rows if row[0] != "read"]
    assert len(rows) > 40
    for work, after, why in rows:
        assert re.fullmatch(r"(● )?\{cite:t\}`\w+`", work), work
        assert re.fullmatch(r"\{(doc|cite:t)\}`[^`]+`", after) and len(why.split()) > 3, work


def test_bibliography_has_no_key_and_no_paper_twice():
    text = (ROOT/"book"/"references.bib").read_text(encoding="utf-8")
    for what in (r"(?m)^@\w+\{(\w+),", r"eprint = \{([\d.]+)\}"):
        found = re.findall(what, text)
        assert len(found) == len(set(found)), [key for key in found if found.count(key) > 1]


def test_and_others_is_shortened_where_works_are_cited_only():
    cited, said = nodes.reference("", "Saharia and others, 2022"), nodes.paragraph("", "the first and others")
    listed = nodes.citation("", nodes.paragraph("", "Joseph L. Watson, David Juergens, and others. De novo design"))
    shorten(None, nodes.section("", nodes.paragraph("", "", cited), said, listed), "nbs/a")
    assert [n.astext() for n in (cited, said, listed)] == ["Saharia et al., 2022", "the first and others", "Joseph L. Watson, David Juergens et al. De novo design"]


def test_the_bibliography_names_no_preprint_twice():
    works = [plain(work) for work in page("bibliography").split('<div class="citation"')[1:]]
    assert len(works) > 90
    for work in works:
        assert "and others" not in work and len(re.findall("arXiv:", work)) < 2, work
