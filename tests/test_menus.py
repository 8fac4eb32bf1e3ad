"""Menus, the list of headings and the way back to the top, which the theme leaves to Bootstrap."""
import pytest

DOWNLOAD = "[aria-label='Download this page']"


def test_menu_by_pointer_and_by_keyboard(tab, address):
    tab.goto(address + "nbs/ddim.html")
    button, menu = tab.locator(DOWNLOAD), tab.locator(".dropdown-download-buttons .dropdown-menu")
    button.click()
    assert menu.is_visible() and button.get_attribute("aria-expanded") == "true"
    tab.click(".bd-article h1", position={"x": 2, "y": 2})
    assert not menu.is_visible() and button.get_attribute("aria-expanded") == "false"
    button.focus()
    tab.keyboard.press("Enter")
    assert menu.is_visible()
    for key, text in ("ArrowDown", ".ipynb"), ("ArrowDown", ".pdf"), ("ArrowDown", ".ipynb"), ("ArrowUp", ".pdf"):
        tab.keyboard.press(key)
        assert tab.evaluate("document.activeElement.textContent.trim()") == text
    tab.keyboard.press("Escape")
    assert not menu.is_visible() and tab.evaluate(f"document.activeElement == document.querySelector(\"{DOWNLOAD}\")")
    assert not tab.errors


@pytest.mark.parametrize("width", [1280, 390])
def test_menu_keeps_to_the_screen(width, tab, address):
    tab.set_viewport_size({"width": width, "height": 800})
    tab.goto(address + "nbs/ddim.html")
    tab.locator(DOWNLOAD).click()
    box = tab.locator(".dropdown-download-buttons .dropdown-menu").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_heading_that_is_read_is_marked(tab, address):
    tab.goto(address + "nbs/ddim.html")
    marked = lambda: tab.evaluate("[...document.querySelectorAll('#pst-page-toc-nav li.active > a.active')].map(a => a.hash)")
    assert marked() == []
    for heading in "#the-step", "#from-image-to-noise", "#the-sampler":
        tab.evaluate("id => document.querySelector(id).scrollIntoView()", heading)
        tab.wait_for_function("id => document.querySelector('#pst-page-toc-nav a.active')?.hash == id", arg=heading)
        assert marked() == [heading]


def test_back_to_the_top(tab, address):
    tab.set_viewport_size({"width": 900, "height": 800})    # the theme shows this button on narrow screens only
    tab.goto(address + "nbs/ddim.html")
    top = tab.locator("#pst-back-to-top")
    for way, shown in (4000, False), (-500, True), (200, False), (-200, True):
        tab.evaluate("way => scrollBy({top: way, behavior: 'instant'})", way)
        top.wait_for(state="visible" if shown else "hidden")
    top.click()
    tab.wait_for_function("scrollY == 0")
    assert not top.is_visible()
