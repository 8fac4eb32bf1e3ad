"""Formulas are set and every symbol leads to its meaning: the matcher on formulas, then the built site, by pointer, finger and keyboard."""
import json
import re
import sys

import pytest

from conftest import ROOT, SITE

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import mathematics  # noqa: E402
import symbols  # noqa: E402

NOTATION = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def setter():
    return mathematics.Setter(NOTATION)


def row_of(sign, chapter=False):
    "The number of the row that begins with this symbol, in the first table or in a chapter's."
    found = [i for i, row in enumerate(symbols.rows(NOTATION)) if f"${sign}$" in row[1] and (not chapter or f"/{chapter}`" in row[3])]
    return str(found[0])


def marked(setter, tex, chapter="ddim"):
    "{text of a symbol: its row} of a formula."
    root = mathematics.ET.fromstring(setter.mathml(tex, True, chapter)[0])
    return {symbols.text(e): e.get("data-s") for e in root.iter() if e.get("data-s")}


@pytest.mark.parametrize("tex, text, sign", [
    (r"\bar\alpha_{t-1}", "α¯t−1", r"\bar\alpha_t"), (r"\bar\alpha_s", "α¯s", r"\bar\alpha_t"), (r"\bar\alpha", "α¯", r"\bar\alpha_t"),
    (r"\alpha_t", "αt", r"\alpha_t"), (r"x_0", "x0", "x_0"), (r"x_t", "xt", "x_t"), (r"x_s", "xs", "x_s"), (r"\hat x_0", "xˆ0", r"\hat x_0"),
    (r"\epsilon", "ε", r"\epsilon"), (r"\epsilon_\theta(x_t, t)", "εθ", r"\epsilon_\theta(x_t, t)"), (r"\sigma^2_{t \to s}", "σt→s2", r"\sigma^2_{t \to s}"), (r"\tilde\beta_{t\to s}", "β~t→s", r"\tilde\beta_{t \to s}"), (r"\sigma_{t \to s}(\eta)", "σt→s", r"\sigma_{t \to s}(\eta)"),
    (r"\sqrt{1 - \bar\alpha_t}", "α¯t", r"\bar\alpha_t"), (r"\frac{\beta_t}{2}", "βt", r"\beta_t"), (r"\eta^2", "η", r"\eta")])
def test_symbols_are_found(setter, tex, text, sign):
    assert marked(setter, tex)[text] == row_of(sign)


def test_alpha_is_not_alpha_bar(setter):
    assert marked(setter, r"\alpha_t")["αt"] != marked(setter, r"\bar\alpha_t")["α¯t"]


@pytest.mark.parametrize("sign, chapter", [("s", "schedule"), ("k", "ddim"), ("w", "training"), ("d", "faces"), (r"\tau", "own")])
def test_a_chapter_has_meanings_of_its_own(setter, sign, chapter):
    assert marked(setter, sign, chapter)[symbols.text(mathematics.tree(sign))] == row_of(sign, chapter)


def test_index_is_a_symbol_too(setter):
    assert marked(setter, "x_t")["t"] == row_of("t")


@pytest.mark.parametrize("tex, sign, chapter, row", [
    (r"\sin\theta", "θ", "ddim", r"\theta"), (r"\epsilon_\theta", "θ", "ddim", r"\cdot_\theta"), (r"p_{\theta}(x_0)", "θ", "ddim", r"\cdot_\theta"),
    ("v^*", "v∗", "training", "v^*"), (r"\epsilon^*", "ε∗", "training", r"\epsilon^*"), (r"\epsilon^*(x)", "ε∗", "oracle", r"\epsilon^*")])
def test_a_meaning_of_its_own_as_an_index_and_with_a_star(setter, tex, sign, chapter, row):
    assert marked(setter, tex, chapter)[sign] == row_of(row, chapter)


class Page:
    "As much of Sphinx as the check of a page needs."
    def __init__(self, setter):
        self.setter, self.env = setter, self
        self.docname, self.doc2path = "nbs/ddim", lambda name, base: f"{name}.ipynb"


@pytest.mark.parametrize("tex, words", [
    (r"\xi + x_0", ["nbs/ddim.ipynb", r"does not know ξ of $\xi + x_0$", "give it a row in book/notation.md", "EXCEPTIONS"]),
    (r"\foo x_0", ["nbs/ddim.ipynb", r"$\foo x_0$ is not understood", r"\foo"]), (r"\frac{1", ["nbs/ddim.ipynb", "is not understood"])])
def test_build_fails_on_what_is_not_known(tex, words):
    from docutils import nodes
    from docutils.utils import new_document
    app, document = Page(mathematics.Setter(NOTATION)), new_document("page")
    document += nodes.math_block("", tex)
    mathematics.check_formulas(app, document)
    with pytest.raises(mathematics.SphinxError) as error:
        mathematics.report(app, app)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_all_sizes_of_brackets_are_in_the_font_file():
    assert (ROOT / "book/_static/fonts/mathematics.woff2").stat().st_size < 85_000
    assert all(f'class="{name}"' in mathematics.ET.tostring(mathematics.tree(tex), encoding="unicode") for tex, name in
               ((r"\bigl(", "big1"), (r"\Bigl(", "big2"), (r"\biggl(", "big3")))


def test_the_font_has_the_italic_of_every_letter():
    "A browser draws the letter of an `mi` as its italic, which has a code of its own."
    italic = [chr(0x1D434 + i) for i in range(52) if i != 33] + ["ℎ"] + [chr(0x1D6E2 + i) for i in range(58)]
    assert not set(italic) - mathematics.characters()


# ---- the built site ----

def test_cards_are_one_for_each_row(browser):
    cards = json.loads((SITE / "_static" / "cards.js").read_text(encoding="utf-8").removeprefix("var CARDS = ").rstrip().removesuffix(";"))
    assert len(cards) == len(symbols.rows(NOTATION))
    for sign, code, meaning, shape, where in cards:
        assert "<math" in sign and meaning and all((SITE / "nbs" / link.partition("#")[0]).is_file() for link in re.findall(r'href="(\.\./[^"]*)"', where))


def card(tab):
    tab.wait_for_selector(".symbol-card:not([hidden])")
    return tab.inner_text(".symbol-card")


SPOTS = [("nbs/schedule.html", "eq-schedule-abar", "βi", "variance of the noise of one step"), ("nbs/forward.html", "eq-forward-marginal", "ε", "standard normal noise"),
         ("nbs/forward.html", "eq-forward-x0-eps", "xˆ0", "clean data that a prediction implies"), ("nbs/posterior.html", "eq-posterior-mean", "μ~t→s", "mean of"),
         ("nbs/elbo.html", "eq-elbo-snr", "SNR", "signal-to-noise ratio"), ("nbs/ddim.html", "eq-ddim-sigma", "η", "share of DDPM’s noise"),
         ("nbs/ddim.html", "eq-ddim-step", "z", "drawn afresh"), ("nbs/guidance.html", "eq-guidance-free", "γ", "weight of guidance"),
         ("nbs/oracle.html", "eq-oracle-density", "mk", "mean and covariance of component"), ("nbs/unet.html", "eq-unet-embedding", "ω0", "frequencies"),
         ("nbs/training.html", "eq-training-simple", "fθ", "the network"), ("nbs/memorisation.html", "eq-memorisation-weights", "xi", "a picture")]


@pytest.mark.parametrize("name, label, sign, words", SPOTS)
def test_keyboard_alone(name, label, sign, words, tab, address):
    "Tab reaches the equation, Enter opens the first card, arrows lead to the symbol; Escape closes and leaves the focus on the equation."
    tab.goto(address + name)
    tab.evaluate("""id => { const all = [...document.querySelectorAll('[data-symbols]')], one = document.querySelector('#equation-' + id + ' > .formula');
      one.scrollIntoView({block: 'center'}); const before = all[all.indexOf(one) - 1]; before ? before.focus() : document.body.focus(); }""", label)
    shown = lambda: "".join(tab.text_content(".symbol-here").split())
    here = lambda: tab.evaluate("document.activeElement.parentElement.id") == f"equation-{label}"
    closed = lambda: tab.evaluate("document.querySelector('.symbol-card').hidden && !document.querySelector('.symbol-here')")
    for _ in range(40):
        tab.keyboard.press("Tab")
        if here(): break
    else: pytest.fail("Tab does not reach the equation")
    tab.keyboard.press("Enter")
    card(tab)
    for _ in range(40):
        if shown() == sign: break
        tab.keyboard.press("ArrowRight")
    else: pytest.fail(f"the arrows do not reach {sign}")
    assert words in card(tab)
    assert here()
    tab.keyboard.press("Escape")
    assert closed() and here()
    tab.keyboard.press("ArrowRight")
    card(tab)
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.closest('.symbol-card') !== null"), "Enter does not lead into the card"
    tab.keyboard.press("Escape")
    assert closed() and here()


def test_pointing_opens_a_card_and_lights_the_code(tab, address):
    tab.goto(address + "nbs/ddim.html")
    tab.hover("#equation-eq-ddim-step [data-s]")
    card(tab)
    assert tab.evaluate("document.querySelectorAll('.highlight .symbol-lit').length") > 0
    tab.hover(".highlight .n:text-is('eta') >> nth=0")
    tab.wait_for_function("[...document.querySelectorAll('math .symbol-lit')].some(e => e.textContent == 'η')")


def test_an_equation_opens_its_code(tab, address):
    tab.goto(address + "nbs/ddim.html")
    tab.click("#equation-eq-ddim-sigma .eq-open")
    assert "def ddim_sigma" in tab.inner_text(".eq-panel")
    assert "assert" in tab.inner_text(".eq-panel") or "Check" in tab.inner_text("#equation-eq-ddim-sigma + .eq-links")
    tab.click("#equation-eq-ddim-sigma .eq-open")
    assert not tab.query_selector(".eq-panel")


def test_equations_open_the_code_of_other_pages(tab, address):
    "On the page of all equations, with a server and from the file system: the function, then the check."
    for root in (address, SITE.as_uri() + "/"):
        page = tab if root == address else tab.context.browser.new_page()
        page.goto(root + "book/equations.html")
        entry = page.locator(".eq-entry", has=page.locator("p > a:first-child[href$='#equation-eq-posterior-mean']")).first
        entry.locator(".eq-open").click()
        panel = entry.locator(".eq-panel")
        panel.locator(".highlight").nth(1).wait_for()
        assert "def q_posterior" in panel.locator(".highlight").first.inner_text()
        assert panel.locator("p").all_inner_texts()[0].startswith("Code: ") and panel.locator("p").all_inner_texts()[-1].startswith("Check: ")
        assert "assert" in panel.locator(".highlight").last.inner_text()
        entry.locator(".eq-open").click()
        assert not panel.count()


def test_names_on_cards_lead_to_their_entries(tab, address):
    tab.goto(address + "nbs/ddim.html")
    tab.locator("#equation-eq-ddim-sigma [data-s]").first.click()
    card(tab)
    tab.click(".symbol-card a:text-is('ddim_sigma')")
    tab.wait_for_url(address + "book/api.html#d2c.ddim.ddim_sigma")
    assert tab.locator(":target").count() == 1


def test_card_stays_on_a_phone(tab, address):
    tab.set_viewport_size({"width": 390, "height": 700})
    tab.goto(address + "nbs/ddim.html")
    for number in range(0, 60, 6):
        tab.evaluate("n => { const e = document.querySelectorAll('span.math [data-s]')[n]; e.scrollIntoView({block: 'center'}); e.dispatchEvent(new MouseEvent('click', {bubbles: true})); }", number)
        card(tab)
        box = tab.evaluate("(() => { const b = document.querySelector('.symbol-card').getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })()")
        assert box[0] >= 0 and box[1] >= 0 and box[2] <= 390 and box[3] <= 700, box
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("name", ["nbs/ddim.html", "nbs/elbo.html"])
def test_symbols_cost_little(name, tab, address):
    "What the script does while a page loads, and the first card."
    tab.goto(address + name)
    source = (SITE / "_static" / "symbols.js").read_text(encoding="utf-8")
    spent = tab.evaluate("""source => { const add = window.addEventListener; let ready; window.addEventListener = (kind, act, ...more) => kind == 'DOMContentLoaded' ? ready = act : add.call(window, kind, act, ...more);
      const began = performance.now(); Function(source.replace('document.currentScript.src', 'location.href'))(); ready(); document.body.offsetHeight; window.addEventListener = add; return performance.now() - began; }""", source)
    assert spent < 100, f"{spent:.0f} ms"
