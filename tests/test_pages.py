"""Every page of the built site: links, texts in place of pictures, order, weight, accessibility, search, and without a server."""
import re
import sys
from collections import defaultdict
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import yaml

from conftest import ROOT, SITE

sys.path.insert(0, str(ROOT/"book"/"_ext"))
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


@pytest.fixture(scope="module")
def shared(browser):
    "One window for all pages; it stands still, so that axe sees no colour in transition."
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(120_000)
    yield context
    context.close()


AXE = (files("axe_playwright_python")/"axe.min.js").read_text(encoding="utf-8")
FAULTS = """rules => axe.run(document, {resultTypes: ['violations'], ...rules}).then(found => found.violations
  .filter(v => ['serious', 'critical'].includes(v.impact))
  .map(v => v.id + ', ' + v.nodes.length + ' times: ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 120) + ' ' + (n.any[0]?.message || '')).join(' | ')))"""
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
ALIKE = ".highlight pre, .sig-param, math"    # many thousand elements that look the same on every page
ENTRIES = {"dl.py": 20, ".indextable li": 60}    # of these the first so many
WHOLE = "nbs/saving.html"    # here they are looked at one by one; elsewhere their text alone counts


ON_A_PHONE = ["book/index.html", "nbs/guidance.html"]    # where menus fold and wide things scroll


@pytest.mark.parametrize("name, width", [(page, 1280) for page in PAGES if page != "index.html"] + [(page, 390) for page in ON_A_PHONE])    # that one only leads to the first page
def test_accessible(name, width, shared, address):
    "Nothing serious or critical; no colour that is hard to read, by day or by night."
    tab = shared.new_page()
    tab.set_viewport_size({"width": width, "height": 900})
    try:
        tab.goto(address + name, wait_until="load")
        tab.add_style_tag(content=STILL)
        if name != WHOLE: tab.evaluate("alike => document.querySelectorAll(alike).forEach(e => { e.textContent = e.textContent })", ALIKE)
        tab.evaluate("entries => Object.entries(entries).forEach(([kind, n]) => document.querySelectorAll(kind).forEach((e, i) => i < n || e.remove()))", ENTRIES)
        tab.evaluate(AXE)
        for theme, rules in ("light", {}), ("dark", {"runOnly": ["color-contrast"]}):
            tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            assert not tab.evaluate(FAULTS, rules), theme
    finally: tab.close()


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
