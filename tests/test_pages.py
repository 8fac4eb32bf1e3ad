"""Every page of the built site: links, texts in place of pictures, order, weight, what a browser shows, accessibility, search, and without a server."""
import re
import sys
from collections import defaultdict
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import yaml

from conftest import ROOT, SITE, watch

sys.path.insert(0, str(ROOT/"book"/"_ext"))
import symbols  # noqa: E402

PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts)
CHAPTERS = [name for name in PAGES if "/" in name]


class Elements(HTMLParser):
    "All ids of a page, and (tag, attributes) of all elements that point somewhere or show a picture."
    def __init__(self):
        super().__init__()
        self.ids, self.pointers = [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if "id" in attributes: self.ids.append(attributes["id"])
        if attributes.keys() & {"href", "src", "alt", "style"}: self.pointers.append((tag, attributes))


@pytest.fixture(scope="module")
def elements():
    if not PAGES: pytest.skip("The site is not built; run `make book` first.")
    found = {}
    for name in PAGES:
        found[name] = Elements()
        found[name].feed((SITE/name).read_text(encoding="utf-8"))
    return found


def target(name, address):
    "The file of the site that an address on a page leads to, and its fragment; None for another host or for data."
    parts = urlsplit(address)
    if parts.scheme or parts.netloc: return None
    path = (SITE/name).parent/unquote(parts.path) if parts.path else SITE/name
    return path.resolve(), unquote(parts.fragment)


def test_links_resolve(elements):
    ids = {(SITE/name).resolve(): set(page.ids) for name, page in elements.items()}
    broken = defaultdict(set)
    for name, page in elements.items():
        for tag, attributes in page.pointers:
            if not (found := target(name, attributes.get("href") or attributes.get("src") or "#")): continue
            path, fragment = found
            if not path.exists() or (fragment and path in ids and fragment not in ids[path]): broken[name].add(f"{tag}: {path.name}#{fragment}")
    assert not broken


def test_ids_are_unique(elements):
    twice = {name: {i for i in page.ids if page.ids.count(i) > 1} for name, page in elements.items()}
    assert not {name: found for name, found in twice.items() if found}


def alt_faults(elements):
    "Pictures whose alternative text is missing, or is not in words."
    for name, page in elements.items():
        for tag, attributes in page.pointers:
            if tag != "img" or "logo__image" in attributes.get("class", ""): continue
            alt = attributes.get("alt") or ""
            if len(alt.split()) < 3 or re.search(r"[$\\{}]|_\w|\^", alt): yield f"{name}: {alt or 'nothing'} ({attributes.get('src', '')[-16:]})"


def test_pictures_have_texts_in_words(elements):
    assert not list(alt_faults(elements))


def order(part):
    "Pages of the table of contents, in reading order."
    if isinstance(part, list): return [page for item in part for page in order(item)]
    return [part[key] for key in ("root", "file") if key in part] + [page for key in ("parts", "chapters", "sections") for page in order(part.get(key, []))]


def test_previous_and_next_follow_the_contents(elements):
    pages = [f"{page}.html" for page in order(yaml.safe_load((ROOT/"_toc.yml").read_text(encoding="utf-8")))]
    assert sorted(pages) == sorted(CHAPTERS)
    for before, name, after in zip([None, *pages], pages, [*pages[1:], None]):
        for way, expected in (("left-prev", before), ("right-next", after)):
            links = [attributes["href"] for tag, attributes in elements[name].pointers if tag == "a" and attributes.get("class") == way]
            assert [target(name, link)[0] for link in links] == ([(SITE/expected).resolve()] if expected else []), (name, way)


def addresses(css):
    return re.findall(r"""(?:url\(|@import )["']?(?!data:)([^"')?#]+)""", css)


def resources(name, page):
    "The page and the files that a browser asks for with it, those that stylesheets name included."
    todo = [SITE/name] + [target(name, attributes.get("src") or attributes["href"])[0] for tag, attributes in page.pointers
                          if (tag in ("img", "script") and attributes.get("src") or tag == "link" and attributes.get("rel") in ("stylesheet", "icon"))
                          and target(name, attributes.get("src") or attributes["href"])]
    todo += [(SITE/name).parent/url for _, attributes in page.pointers for url in addresses(attributes.get("style") or "")]    # the films
    found = set()
    while todo:
        if (path := todo.pop().resolve()) in found or not path.is_file(): continue
        found.add(path)
        if path.suffix == ".css": todo += [path.parent/url for url in addresses(path.read_text(encoding="utf-8"))]
    return found


def test_weight(elements):
    "A megabyte at most before a click, uncompressed."
    heavy = {}
    for name, page in elements.items():
        size = sum(path.stat().st_size for path in resources(name, page))
        if size > 1e6: heavy[name] = size
    assert not heavy


# ---- in a browser: every page is opened once, for all tests ----

@pytest.fixture(scope="module")
def window(browser):
    "One for all pages; it stands still, so that axe sees no colour in transition."
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(120_000)
    yield context
    context.close()


@pytest.fixture(scope="module", params=[name for name in PAGES if name != "index.html"])    # that one only leads to the first page
def visit(request, window, address):
    tab = watch(window.new_page(), address)
    tab.name = request.param
    tab.goto(address + tab.name)
    yield tab
    tab.close()


UNSET = "() => [...document.querySelectorAll('.math')].filter(e => !e.querySelector('math')?.getBoundingClientRect().width).map(e => e.textContent.slice(0, 80))"
TEX_ERRORS = "() => [...document.querySelectorAll('merror, .temml-error')].map(e => e.textContent.slice(0, 80))"
FONT = "async () => { await document.fonts.ready; return !document.querySelector('math') || document.fonts.check('16px \"d2c Mathematics\"', 'α'); }"
BROKEN_IMAGES = "() => [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
PROSE = """() => {
  const copy = (document.querySelector('article') || document.body).cloneNode(true);
  copy.querySelectorAll('pre, code, script, style, math').forEach(e => e.remove());
  return copy.textContent;
}"""
OFF_SCREEN = """() => {
  const scrolls = e => e && e.tagName != 'ARTICLE' && (['auto', 'scroll'].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  const name = e => e.tagName + '.' + (e.getAttribute('class') || '') + ' ' + e.textContent.trim().slice(0, 60);
  const wide = [...document.querySelectorAll('article *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e));
  const page = document.documentElement.scrollWidth;
  return wide.map(name).slice(0, 5).concat(page > innerWidth ? ['the page is ' + page + ' wide'] : []);
}"""

SCROLLS = "() => [...document.querySelectorAll('article .formula')].filter(e => e.scrollWidth > e.clientWidth + 2).map(e => e.textContent.slice(0, 60))"

LOOSE = """() => [...document.querySelectorAll('article span.math')].filter(e => {
  const text = e.nextSibling, range = document.createRange();
  if (!text || text.nodeType != 3 || !/^[,.;:?!)]/.test(text.data)) return false;
  range.setStart(text, 0); range.setEnd(text, 1);
  return range.getBoundingClientRect().top >= e.getBoundingClientRect().bottom;
}).map(e => e.textContent + e.nextSibling.data.slice(0, 20))"""


def test_front_page_leads_to_the_book(tab, address):
    tab.goto(address)
    tab.wait_for_url(address + "book/index.html")


def test_page(visit):
    assert not visit.evaluate(UNSET), "mathematics is not set"
    assert not visit.evaluate(TEX_ERRORS), "mathematics that is not understood"
    assert visit.evaluate(FONT), "the font of the mathematics does not load"
    assert not visit.evaluate(BROKEN_IMAGES), "images do not load"
    assert not re.findall(r"\$\$.*|\\\(.*|\\\[.*|\\begin\{.*|```.*|:::.*|\{(?:eq|numref|cite\S*|ref)\}.*", visit.evaluate(PROSE)), "raw markup shows"
    shown = visit.evaluate("() => document.body.textContent")
    assert "#|" not in shown, "a directive shows"
    assert not [line for line in hidden_lines(visit.name) if line in shown], "a hidden cell shows"
    assert not visit.evaluate(SCROLLS), "a formula is wider than its column"
    visit.set_viewport_size({"width": 390, "height": 844})
    assert not visit.evaluate(OFF_SCREEN), "runs off a phone's screen"
    assert not visit.evaluate(LOOSE), "a line begins with the comma after a formula"
    visit.wait_for_timeout(200)       # for late requests; "networkidle" now and then never comes
    assert not visit.foreign, f"asks other hosts: {visit.foreign}"
    assert not visit.errors


def hidden_lines(name):
    "Long lines of a chapter that stand in hidden cells only."
    from d2cbook import read_cells
    path = (ROOT / name).with_suffix(".ipynb")
    if not path.is_file():
        return []
    cells = list(read_cells(path.read_text(encoding="utf-8"), path.stem, name))
    visible = "\n".join(cell.code for cell in cells if "hide" not in cell.directives)
    return [line.strip() for cell in cells if "hide" in cell.directives for line in cell.code.splitlines()
            if len(line.strip()) > 25 and line.strip() not in visible]


IDENTIFIERS = """exceptions => {
  const all = [...document.querySelectorAll('math mi')].filter(e => /^[\\p{L}⌀]/u.test(e.textContent));
  return [all.length, all.filter(e => !e.closest('[data-s]') && !exceptions.includes(e.textContent)).map(e => e.textContent + ' in ' + e.closest('math').textContent.slice(0, 60))];
}"""


LEAST = {"nbs/elbo.html": 900, "nbs/ddim.html": 900, "book/notation.html": 1500}    # where there are many, they are seen


def test_every_identifier_has_a_card_or_is_excepted(visit):
    number, bare = visit.evaluate(IDENTIFIERS, sorted(symbols.EXCEPTIONS))
    assert not bare, bare[:5]
    assert number > LEAST.get(visit.name, -1)


AXE = (files("axe_playwright_python")/"axe.min.js").read_text(encoding="utf-8")
FAULTS = """rules => axe.run(document, {resultTypes: ['violations'], ...rules}).then(found => found.violations
  .filter(v => ['serious', 'critical'].includes(v.impact))
  .map(v => v.id + ', ' + v.nodes.length + ' times: ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 120) + ' ' + (n.any[0]?.message || '')).join(' | ')))"""
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
ALIKE = ".highlight pre, .sig-param, math"    # many thousand elements that look the same on every page
ENTRIES = {"dl.py": 20, ".indextable li": 60}    # of these the first so many
WHOLE = "nbs/saving.html"    # here they are looked at one by one; elsewhere their text alone counts


# A look is all that decides a contrast: the colour and size of a text, and what lies behind it. The first two elements of each are looked at.
LOOKS = """() => {
  const behind = new Map(), counts = {}, paint = ['backgroundColor', 'backgroundImage', 'opacity', 'filter', 'mixBlendMode', 'position'];
  const layers = e => {
    if (e && !behind.has(e)) { const s = getComputedStyle(e); behind.set(e, layers(e.parentElement) + '/' + paint.map(name => s[name])); }
    return e ? behind.get(e) : '';
  };
  for (const e of document.querySelectorAll('body *')) {
    e.removeAttribute('data-look');
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) && !e.matches('input, select, textarea, button')) continue;
    const s = getComputedStyle(e), look = [layers(e), s.color, s.fontSize, s.fontWeight, s.textShadow, s.display, s.visibility] + '';
    if ((counts[look] = (counts[look] ?? 0) + 1) <= 2) e.dataset.look = '';
  }
}"""


def look_through(tab):
    "Nothing serious or critical; no colour that is hard to read, by day or by night."
    tab.add_style_tag(content=STILL)
    if not tab.url.endswith(WHOLE): tab.evaluate("alike => document.querySelectorAll(alike).forEach(e => { e.textContent = e.textContent })", ALIKE)
    tab.evaluate("entries => Object.entries(entries).forEach(([kind, n]) => document.querySelectorAll(kind).forEach((e, i) => i < n || e.remove()))", ENTRIES)
    tab.evaluate(AXE)
    tab.evaluate("axe.configure({rules: [{id: 'color-contrast', selector: '[data-look]'}]})")
    for theme, rules in ("light", {"rules": {"region": {"enabled": False}}}), ("dark", {"runOnly": ["color-contrast"]}):    # region: never serious
        tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        tab.evaluate(LOOKS)
        assert not tab.evaluate(FAULTS, rules), theme


def test_accessible(visit):    # the last of a page's: it changes the page
    visit.set_viewport_size({"width": 1280, "height": 900})
    look_through(visit)


@pytest.mark.parametrize("name", ["book/index.html", "nbs/guidance.html"])
def test_accessible_on_a_phone(name, window, address):
    "Where menus fold and wide things scroll."
    tab = window.new_page()
    tab.set_viewport_size({"width": 390, "height": 900})
    tab.goto(address + name)
    look_through(tab)
    tab.close()


SEARCHES = {"alpha bar": "nbs/schedule.html#equation-eq-schedule-abar", "ᾱ_t": "nbs/schedule.html#equation-eq-schedule-abar",
            "posterior mean": "nbs/posterior.html#equation-eq-posterior-mean", "ddim_sigma": "nbs/ddim.html", "epsilon theta": "nbs/forward.html",
            "DDIM step": "nbs/ddim.html#equation-eq-ddim-step", "β̃": "nbs/posterior.html"}


def first_result(tab, root, query):
    tab.goto(f"{root}search.html?q={quote(query)}")
    return tab.locator("#search-results li a").first.get_attribute("href")


@pytest.mark.parametrize("query", SEARCHES)
def test_search_finds_formulas(query, tab, address):
    assert first_result(tab, address, query).startswith(SEARCHES[query])


def test_without_a_server(browser):
    "From the file system pages show, their pictures load, links lead on, the theme changes and the search works."
    tab = browser.new_page()
    errors, root = [], SITE.as_uri() + "/"
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("requestfailed", lambda request: errors.append(request.url) if request.failure != "net::ERR_ABORTED" else None)    # by the next page
    for name in ("index.html", "nbs/posterior.html", "nbs/ddim.html", "book/api.html"):
        tab.goto(root + name)
        if name == "index.html": tab.wait_for_url(root + "book/index.html")
        assert tab.evaluate("() => [...document.images].every(i => i.complete && i.naturalWidth)"), name
        assert tab.evaluate("getComputedStyle(document.querySelector('.bd-sidebar-primary')).display") == "flex", "no stylesheet"
    tab.goto(root + "nbs/posterior.html")
    tab.locator(".theme-switch-button").first.click()
    assert tab.evaluate("document.documentElement.dataset.mode") in ("light", "dark")
    tab.locator("a.right-next").click()
    tab.wait_for_url(root + "nbs/elbo.html")
    assert first_result(tab, root, "alpha bar").startswith("nbs/schedule.html")    # without the excerpts, which need a server
    tab.get_by_text("Search finished").wait_for()
    assert not errors
    tab.close()
