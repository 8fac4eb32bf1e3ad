"""Print the built site as one PDF: `make pdf`.

The pages' articles become one document in reading order, with links between them, which a headless Chromium prints.
Scripts of the figures with sliders stay: they draw what is printed.
"""
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pikepdf
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

SITE, OUT = Path("_build/html"), Path("_build/d2c.pdf")
FOOTER = ('<div style="width: 100%; font: 8pt sans-serif; color: #6b6b6b; text-align: center">'
          '<span class="pageNumber"></span> of <span class="totalPages"></span></div>')
PAPER = dict(format="A4", print_background=True, display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
             prefer_css_page_size=True, outline=True, tagged=True)
STYLE = """
@media print { section.page { break-before: page } }
.all-pages { break-before: page; }
.all-pages a { display: flex; justify-content: space-between; gap: 1rem; }
.all-pages p { margin: .8rem 0 .2rem; font-weight: 600; }
.all-pages ol { list-style: none; margin: 0; padding: 0; }
"""


def chromium():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return found or sys.exit("The PDF is printed by Chromium, which is not here; on Debian and Ubuntu: sudo apt install chromium.")


def read(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def pages(site):
    "Every page in reading order, along the links to the next one."
    path = (site/"book/index.html").resolve()
    while path:
        yield path
        link = read(path).select_one("a.right-next")
        path = (path.parent/link["href"]).resolve() if link else None


def anchor(path, fragment=""):
    return f"{path.parent.name}-{path.stem}--{fragment}"


def article(path, document, known):
    "A page's text as a section whose ids are its own and whose links stay inside the document."
    text = document.select_one("article")
    for element in text.select("[id]"): element["id"] = anchor(path, element["id"])
    link_inside(text, path, known)
    for element in text.select("script, iframe, video, button"): element.decompose()
    text.name, text.attrs = "section", {"class": "page", "id": anchor(path)}
    return text


def link_inside(text, path, known):
    for element in text.select("a[href]"):
        parts = urlsplit(element["href"])
        goal = (path.parent/unquote(parts.path)).resolve() if parts.path else path
        if not parts.scheme and goal in known: element["href"] = "#" + anchor(goal, unquote(parts.fragment))


def contents(path, document, known):
    "The chapters under the names of their parts, with room for the numbers of their pages."
    html = BeautifulSoup('<nav class="all-pages"><h2>Contents</h2></nav>', "html.parser")
    menu = document.select_one("nav.bd-links")
    link_inside(menu, path, known)
    for element in menu.select("p.caption, li > a"):
        if element.name == "p":
            html.nav.append(html.new_tag("p"))
            html.nav.contents[-1].string = element.get_text()
            html.nav.append(html.new_tag("ol"))
        elif (goal := element["href"]) != "#" + anchor(path):
            item, link, title = html.new_tag("li"), html.new_tag("a", href=goal), html.new_tag("span")
            title.string = element.get_text()
            link.extend([title, html.new_tag("span")])
            item.append(link)
            html.nav.contents[-1].append(item)
    return html.nav


def gather(paths):
    "The whole book as one HTML document, which must lie beside the first page."
    first, known = paths[0], set(paths)
    html = read(first)
    title = html.select_one("article h1").get_text().rstrip("#")
    for script in html.head.select("script"): script.decompose()
    kept = {link["href"] for link in html.head.select("link[href]")}
    body = html.new_tag("article", attrs={"class": "bd-article"})
    for path in paths:
        document = read(path)
        for element in document.head.select('link[rel="stylesheet"], script[src*="/play/"]'):    # these draw the figures that have sliders
            address = element.get("href") or element["src"]
            if address not in kept: html.head.append(element.extract())
            kept.add(address)
        body.append(article(path, document, known))
    body.contents[0].append(contents(first, html, known))
    style = html.new_tag("style")
    style.string = STYLE
    html.head.append(style)
    html.html["data-theme"] = "light"
    html.body.clear()
    box = html.new_tag("div", attrs={"class": "bd-content"})
    box.append(body)
    html.body.append(box)
    html.title.string = title
    return str(html)


NUMBER = "pages => document.querySelectorAll('.all-pages a').forEach(a => { a.lastChild.textContent = pages[a.hash.slice(1)] })"


def page_numbers(path):
    "{anchor: page} of a PDF that Chromium printed."
    with pikepdf.open(path) as pdf:
        number = {page.objgen: n for n, page in enumerate(pdf.pages, 1)}
        return {name.lstrip("/"): number[goal[0].objgen] for name, goal in pdf.Root.Dests.items()}


def print_pdf(html, out, new_page):
    "Print twice, the second time with the pages' numbers in the contents; pack the result."
    tab = new_page(color_scheme="light")
    tab.set_default_timeout(0)
    tab.goto(html.resolve().as_uri())
    tab.pdf(path=out, **PAPER)
    tab.evaluate(NUMBER, page_numbers(out))
    tab.pdf(path=out, **PAPER)
    tab.close()
    with pikepdf.open(out, allow_overwriting_input=True) as pdf:
        pdf.save(object_stream_mode=pikepdf.ObjectStreamMode.generate)


def main():
    if not (SITE/"index.html").is_file(): sys.exit("There is no site yet; run: make book")
    program, paths = chromium(), list(pages(SITE))
    together, new = paths[0].with_name("whole.new.html"), OUT.with_suffix(".new")
    try:
        together.write_text(gather(paths), encoding="utf-8")
        with sync_playwright() as playwright:
            print_pdf(together, new, playwright.chromium.launch(executable_path=program, args=["--no-sandbox"]).new_page)
        new.replace(OUT)
    finally:
        together.unlink(missing_ok=True)
        new.unlink(missing_ok=True)
    print(f"The book is at {OUT} ({OUT.stat().st_size/1e6:.0f} MB).")


if __name__ == "__main__":
    main()
