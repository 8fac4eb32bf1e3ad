"""Make `book/_static/card.png`, the picture of the README and of social previews, from the built landing page: `python book/_ext/picture.py`."""
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

from pdf import SITE, chromium, read

OUT = Path("book/_static/card.png")
PAGE = """<style>
body {{ margin: 0; width: 1200px; height: 630px; background: white; font-family: sans-serif; color: #222; text-align: center }}
h1 {{ font-size: 58px; font-weight: 400; margin: 40px 0 24px }} img {{ width: 1120px }}
</style><h1><img src="_static/logo.svg" style="width: 56px; vertical-align: -10px"> {title}</h1><img src="{figure}">"""


def main():
    if not (SITE/"book/index.html").is_file(): sys.exit("There is no site yet; run: make book")
    from playwright.sync_api import sync_playwright
    landing, page = read(SITE/"book/index.html"), SITE/"card.html"
    figure = landing.select_one("article figure img, article .cell_output img")["src"].removeprefix("../")
    try:
        page.write_text(PAGE.format(title=landing.select_one("h1").get_text().rstrip("#"), figure=figure), encoding="utf-8")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1200, "height": 630})
            tab.goto(page.resolve().as_uri())
            png = tab.screenshot()
            browser.close()
    finally: page.unlink(missing_ok=True)
    Image.open(BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(OUT, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size//1000} KB")


if __name__ == "__main__":
    main()
