"""Every page of the built site in a headless browser."""
import re
import sys

import pytest

from conftest import ROOT, SITE

PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html")
               if "_static" not in path.parts and path != SITE / "index.html")  # that one only leads to the book's first page
sys.path.insert(0, str(ROOT / "book" / "_ext"))


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


def test_front_page_leads_to_the_book(tab, address):
    tab.goto(address)
    tab.wait_for_url(address + "book/index.html")


@pytest.mark.parametrize("name", PAGES or [""])
def test_page(name, tab, address):
    tab.goto(address + name)
    tab.wait_for_timeout(500)       # for late requests; "networkidle" now and then never comes
    assert not tab.foreign, f"asks other hosts: {tab.foreign}"
    assert not tab.errors
    assert not tab.evaluate(UNSET), "mathematics is not set"
    assert not tab.evaluate(TEX_ERRORS), "mathematics that is not understood"
    assert tab.evaluate(FONT), "the font of the mathematics does not load"
    assert not tab.evaluate(BROKEN_IMAGES), "images do not load"
    assert not re.findall(r"\$\$.*|\\\(.*|\\\[.*|\\begin\{.*|```.*|:::.*|\{(?:eq|numref|cite\S*|ref)\}.*", tab.evaluate(PROSE)), "raw markup shows"
    shown = tab.evaluate("() => document.body.textContent")
    assert "#|" not in shown, "a directive shows"
    assert not [line for line in hidden_lines(name) if line in shown], "a hidden cell shows"
    tab.set_viewport_size({"width": 390, "height": 844})
    assert not tab.evaluate(OFF_SCREEN), "runs off a phone's screen"


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
