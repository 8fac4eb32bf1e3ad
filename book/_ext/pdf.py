"""Print the built site as one PDF: `make pdf`.

The pages' articles become one document in reading order, with links between them, which a headless Chromium prints.
"""
import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

SITE, OUT = Path("_build/html"), Path("_build/d2c.pdf")
FOOTER = ('<div style="width: 100%; font: 8pt sans-serif; color: #6b6b6b; text-align: center">'
          '<span class="pageNumber"></span> of <span class="totalPages"></span></div>')
CHAPTER = "@media print { section.page { break-before: page } }"


def chromium():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return found or sys.exit("The PDF is printed by Chromium, which is not here; on Debian and Ubuntu: sudo apt install chromium.")


def read(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def pages(site):
    "(path, document) of every page in reading order, along the links to the next one."
    path = (site/"book/index.html").resolve()
    while path:
        document = read(path)
        yield path, document
        link = document.select_one("a.right-next")
        path = (path.parent/link["href"]).resolve() if link else None


def anchor(path, fragment=""):
    return f"{path.parent.name}-{path.stem}--{fragment}"


def article(path, document, known):
    "A page's text as a section whose ids are its own, whose links stay inside the document and whose pictures are found from the site's root."
    text = document.select_one("article")
    for element in text.select("[id]"): element["id"] = anchor(path, element["id"])
    for element in text.select("a[href]"):
        parts = urlsplit(element["href"])
        goal = (path.parent/unquote(parts.path)).resolve() if parts.path else path
        if not parts.scheme and goal in known: element["href"] = "#" + anchor(goal, unquote(parts.fragment))
    for element in text.select("[src]"): element["src"] = os.path.relpath(path.parent/element["src"].partition("?")[0], SITE.resolve())
    for element in text.select("script, iframe, video, button"): element.decompose()
    text.name, text.attrs = "section", {"class": "page", "id": anchor(path)}
    return text


def gather(site):
    "The whole book as one HTML document."
    found = list(pages(site))
    first, known = found[0], {path for path, _ in found}
    html = read(first[0])
    title = html.select_one("article h1").get_text().rstrip("#")
    for script in html.head.select("script"): script.decompose()
    for link in html.head.select("[href], [src]"):
        for name in ("href", "src"):
            if name in link.attrs: link[name] = re.sub(r"^\.\./", "", link[name])
    html.html["data-theme"] = "light"
    style = html.new_tag("style")
    style.string = CHAPTER
    html.head.append(style)
    contents = html.new_tag("ol", attrs={"class": "contents", "style": "list-style: none; padding: 0"})
    body = html.new_tag("article", attrs={"class": "bd-article"})
    for path, document in found:
        heading = document.select_one("article h1")
        item, link = html.new_tag("li"), html.new_tag("a", href="#" + anchor(path))
        link.string = heading.get_text().rstrip("#")
        item.append(link)
        contents.append(item)
        body.append(article(path, document, known))
    heading = html.new_tag("h2")
    heading.string = "Contents"
    body.contents[0].extend([heading, contents])
    html.body.clear()
    box = html.new_tag("div", attrs={"class": "bd-content"})
    box.append(body)
    html.body.append(box)
    html.title.string = title
    return str(html)


def print_pdf(html, out, browser_path):
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--allow-file-access-from-files"])
        tab = browser.new_page()
        tab.set_default_timeout(0)
        tab.goto(html.resolve().as_uri())
        tab.pdf(path=out, format="A4", print_background=True, display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
                prefer_css_page_size=True, outline=True, tagged=True)
        browser.close()


def main():
    if not (SITE/"index.html").is_file(): sys.exit("There is no site yet; run: make book")
    program = chromium()
    together, new = SITE/"whole.html.new.html", OUT.with_suffix(".new")
    try:
        together.write_text(gather(SITE), encoding="utf-8")
        print_pdf(together, new, program)
        new.replace(OUT)
    finally:
        together.unlink(missing_ok=True)
        new.unlink(missing_ok=True)
    print(f"The book is at {OUT} ({OUT.stat().st_size/1e6:.1f} MB).")


if __name__ == "__main__":
    main()
