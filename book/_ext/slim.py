"""Make the built site light: stylesheets and icon fonts without what no page uses, figures in fewer bytes.

A rule of a stylesheet goes if each of its selectors names a class that stands in no page and in no script.
"""
import re
from base64 import b64decode, b64encode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import tinycss2
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image

from d2c.figures import GREY

FONTS = "_static/vendor/fontawesome/webfonts"
BOOTSTRAP = {"show", "fade", "active", "disabled", "collapsing", "tooltip", "tooltip-inner", "tooltip-arrow"}    # what its script sets on this site's elements


class Classes(HTMLParser):
    "Collects the classes of all elements."
    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "class": self.found |= set((value or "").split())


def words_in_use(site):
    "Classes of all pages, and every word of the scripts, any of which may become a class."
    pages = Classes()
    for path in site.rglob("*.html"): pages.feed(path.read_text(encoding="utf-8"))
    scripts = [path.read_text(encoding="utf-8", errors="replace") for pattern in ("*.js", "*.mjs") for path in (site/"_static").rglob(pattern)
               if path.name != "bootstrap.js"]
    return pages.found.union(BOOTSTRAP, *(re.findall(r"[\w-]+", script) for script in scripts))


def selectors(prelude):
    "A rule's prelude, split at its commas."
    parts = [[]]
    for token in prelude:
        if token == ",": parts.append([])
        else: parts[-1].append(token)
    return parts


def can_match(selector, words):
    "Whether every class that the selector asks for is a word in use; what stands in `:not(…)` and the like is not asked for."
    return all(name.value in words for dot, name in zip(selector, selector[1:]) if dot == "." and name.type == "ident")


def slim_css(css, words):
    "The stylesheet without rules that match nothing."
    def rules(found):
        for rule in found:
            if rule.type == "qualified-rule":
                alive = [s for s in selectors(rule.prelude) if can_match(s, words)]
                if alive: yield ",".join(tinycss2.serialize(s).strip() for s in alive) + "{" + tinycss2.serialize(rule.content).strip() + "}"
            elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
                if inside := "".join(rules(tinycss2.parse_rule_list(rule.content, True, True))):
                    yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude).rstrip()}{{{inside}}}"
            elif rule.type != "error":
                yield rule.serialize()
    return "\n".join(rules(tinycss2.parse_stylesheet(css, True, True)))


def slim_fonts(site, css):
    "Cut the icon fonts to what a stylesheet draws; the stylesheet that names only the cut files."
    wanted = set(map(ord, re.findall('content:"(.)"', css)))
    for path in (site/FONTS).glob("*.woff2"): path.unlink()
    for path in (site/FONTS).glob("*.ttf"):
        font, cut = TTFont(path), subset.Subsetter(subset.Options(layout_features=[], glyph_names=False, notdef_outline=False))
        cut.populate(unicodes=wanted)
        cut.subset(font)
        font.save(path)
    return re.sub(r"""url\([^)]*\.woff2\)\s*format\(["']?woff2["']?\),""", "", css)


EMBEDDED = re.compile(r"data:image/png;base64,\s*([^\"]+)")
PATH, MARK, PLACE = re.compile(r' d="([^"]*)"'), re.compile(r"<use [^>]*"), re.compile(r' ([xy])="(-?[\d.]+)"')
INK = """<style>svg { --ink: #6b6b6b } @media (prefers-color-scheme: dark) { svg { --ink: #a8a8a8 } }</style>"""


def slim_svg(svg):
    "A figure with its pictures as lossless WebP and coordinates to a hundredth of a point, its grey text darker by day and lighter by night."
    svg = EMBEDDED.sub(lambda png: webp(b64decode(png[1])) or png[0], svg)
    svg = PATH.sub(lambda d: f' d="{slim_path(d[1])}"', svg)
    svg = MARK.sub(lambda mark: PLACE.sub(lambda at: f' {at[1]}="{short(round(100*float(at[2])))}"', mark[0]), svg)
    svg = re.sub(r"\n\s*", "\n", re.sub(r"<metadata>.*?</metadata>|<!DOCTYPE[^>]*>", "", svg, flags=re.S))
    return re.sub(rf"(fill|stroke): {GREY}", r"\1: var(--ink)", svg).replace("<defs>", f"{INK}<defs>", 1)


def short(hundredths):
    "A number of hundredths in as few characters as SVG allows."
    return re.sub(r"^(-?)0(?=\.)", r"\1", f"{hundredths/100:.2f}".rstrip("0").rstrip(".")) or "0"


def slim_path(d):
    "A path whose lines say how far they go, which is shorter than saying where."
    out, here, start, pen = [], (0, 0), (0, 0), ""
    for command, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", d):
        to = [round(100*float(number)) for number in numbers.split()]
        step = " ".join(map(short, [b - a for a, b in zip(here, to)] if command == "L" else to))
        out.append(step if command == "L" == pen else command.replace("L", "l") + step)
        here, pen = to[-2:] or start, command
        if command == "M": start = here
    return re.sub(r" (?=[A-Za-z-])", "", " ".join(out))


def webp(png):
    "The same pixels as a data address, if that is shorter."
    out = BytesIO()
    Image.open(BytesIO(png)).save(out, "WEBP", lossless=True, exact=True, method=6, quality=60)
    if len(out.getvalue()) < len(png): return "data:image/webp;base64," + b64encode(out.getvalue()).decode()


def slim(app, error):
    if error or app.builder.format != "html": return
    site = Path(app.outdir)
    words = words_in_use(site)
    theme = [path for path in (site/"_static").rglob("*.css") if not own(app, path.relative_to(site/"_static"))]
    for path in theme:
        css = slim_css(path.read_text(encoding="utf-8"), words)
        if "webfonts" in css: css = slim_fonts(site, css)
        path.write_text(css, encoding="utf-8")
    for path in (site/"_static").rglob("*.map"): path.unlink()
    (site/"_static/scripts/fontawesome.js").unlink(missing_ok=True)
    for path in (site/"_images").glob("*.svg"): path.write_text(slim_svg(path.read_text(encoding="utf-8")), encoding="utf-8")


def own(app, name):
    "Whether a stylesheet is the book's own."
    return Path(app.srcdir, "book/_static", name).is_file()


def setup(app):
    app.connect("build-finished", slim)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
