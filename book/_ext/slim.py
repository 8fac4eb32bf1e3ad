"""Make the built site light: stylesheets and icon fonts without what no page uses, figures in fewer bytes.

A rule of a stylesheet goes if each of its selectors names a class or an id that stands in no page and in no script.
"""
import json
import re
import xml.etree.ElementTree as ET
from base64 import b64decode, b64encode
from collections import defaultdict
from html import unescape
from io import BytesIO
from pathlib import Path

import tinycss2
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image

FONTS = "_static/vendor/fontawesome/webfonts"
UNUSED = "bootstrap.js", "bootstrap.js.LICENSE.txt", "fontawesome.js", "fontawesome.js.LICENSE.txt"    # see _templates/static/webpack-macros.html


NAMED = re.compile(r"""[\s"'](?:class|id)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""", re.I)


def words_in_use(site):
    "Classes and ids of all pages, and every word of the scripts, any of which may become one."
    pages = [path.read_text(encoding="utf-8") for path in site.rglob("*.html")]
    named = {word for page in pages for names in set(NAMED.findall(page)) for word in unescape("".join(names)).split()}
    scripts = [path.read_text(encoding="utf-8", errors="replace") for pattern in ("*.js", "*.mjs") for path in (site/"_static").rglob(pattern)]
    return named.union(*(re.findall(r"[\w-]+", script) for script in scripts))


def selectors(prelude):
    "A rule's prelude, split at its commas."
    parts = [[]]
    for token in prelude:
        if token == ",": parts.append([])
        else: parts[-1].append(token)
    return parts


def can_match(selector, words):
    "Whether every class and id that the selector asks for is a word in use; what stands in `:not(…)` and the like is not asked for."
    classes = [name for dot, name in zip(selector, selector[1:]) if dot == "." and name.type == "ident"]
    return all(name.value in words for name in classes + [token for token in selector if token.type == "hash"])


def slim_css(css, words, variables):
    "The stylesheet without rules that match nothing, and without values that no name in `variables` asks for."
    def rules(found):
        for rule in found:
            if rule.type == "qualified-rule":
                alive = [s for s in selectors(rule.prelude) if can_match(s, words)]
                content = declarations(rule.content, variables)
                if alive and content: yield ",".join(tinycss2.serialize(s).strip() for s in alive) + "{" + content + "}"
            elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
                if inside := "".join(rules(tinycss2.parse_rule_list(rule.content, True, True))):
                    yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude).rstrip()}{{{inside}}}"
            elif rule.type != "error":
                yield rule.serialize()
    return "\n".join(rules(tinycss2.parse_stylesheet(css, True, True)))


def declarations(content, variables):
    "The content of a rule; one that has more than declarations stays as it is."
    found = tinycss2.parse_declaration_list(content, True, True)
    if any(d.type != "declaration" for d in found): return tinycss2.serialize(content).strip()
    return ";".join(d.serialize() for d in found if not d.name.startswith("--") or d.name in variables)


def variables_in_use(site):
    "Names of values that a stylesheet, a page or a script asks for, or asks for by way of others."
    texts = [path.read_text(encoding="utf-8", errors="replace") for kind in ("*.css", "*.html", "*.js", "*.mjs") for path in site.rglob(kind)]
    return {name for text in texts for name in re.findall(r"(?:var\(|[\"'`])\s*(--[\w-]+)", text)}


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
NAMESPACE, HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
REFERENCE = re.compile(r"(?<=url\(#)[^)]+|(?<=^#).+")
INK = "svg{--ink:#6b6b6b}@media(prefers-color-scheme:dark){svg{--ink:#a8a8a8}}*{stroke-linejoin:round;stroke-linecap:butt}"
MOVE = re.compile(r"translate\((-?[\d.]+)[ ,]+(-?[\d.]+)\)")


def slim_svg(svg):
    """A figure of Matplotlib's in few bytes, its grey text darker by day and lighter by night.

    Pictures become lossless WebP, coordinates are exact to a hundredth of a point, and what is drawn alike shares a class.
    """
    root = ET.fromstring(EMBEDDED.sub(lambda png: webp(b64decode(png[1])) or png[0], svg))
    for element in root.iter(): slim_element(element)
    shorten_names(root)
    root[:] = [ET.Element("style"), *flat(root)]
    root[0].text = INK + share_styles(root)
    root.set("xmlns", NAMESPACE[1:-1])
    return ET.tostring(root, encoding="unicode").replace(" />", "/>")


def slim_element(element):
    "Without namespaces and blanks, lengths and moves in hundredths."
    element.tag = element.tag.removeprefix(NAMESPACE)
    element.text, element.tail = (element.text or "").strip() or None, None
    if HREF in element.attrib: element.set("href", element.attrib.pop(HREF))
    if "d" in element.attrib: element.set("d", slim_path(element.get("d")))
    if move := MOVE.fullmatch(element.get("transform", "")) if element.tag == "use" and "x" not in element.attrib else None:
        del element.attrib["transform"]
        element.set("x", move[1]), element.set("y", move[2])
    for name in element.attrib.keys() & {"x", "y", "width", "height"} if element.tag != "svg" else (): element.set(name, hundredths(element.get(name)))
    if "transform" in element.attrib: element.set("transform", MOVE.sub(lambda m: f"translate({hundredths(m[1])} {hundredths(m[2])})", element.get("transform")))


def hundredths(number):
    return short(round(100*float(number)))


def shorten_names(root):
    "Ids that something refers to become a, b, c …; the others go."
    used = dict.fromkeys(name for element in root.iter() for value in element.attrib.values() for name in REFERENCE.findall(value))
    names = {old: word(number) for number, old in enumerate(used)}
    for element in root.iter():
        if "id" in element.attrib and element.get("id") not in names: del element.attrib["id"]
        for key, value in element.attrib.items():
            element.set(key, names[value] if key == "id" else REFERENCE.sub(lambda old: names[old[0]], value))


def word(number):
    "a … z, aa, ab …"
    return (word(number//26 - 1) if number > 25 else "") + chr(97 + number % 26)


def flat(element):
    "The children, those of groups that say nothing in place of these."
    for child in list(element):
        child[:] = flat(child)
        if child.tag == "g" and not child.attrib: yield from child
        elif child.tag not in ("metadata", "style") and (len(child) or child.attrib): yield child


def share_styles(root):
    "Give elements of the same style and clip the same class; the rules of these classes."
    from d2c.figures import GREY    # not above: it loads PyTorch, and a book may have no figures
    styles = defaultdict(list)
    for element in root.iter():
        parts = [part.strip() for part in element.attrib.pop("style", "").replace(GREY, "var(--ink)").split(";")]
        if clip := element.attrib.pop("clip-path", ""): parts.append(f"clip-path:{clip}")
        if any(parts): styles[";".join(filter(None, parts)).replace(": ", ":")].append(element)
    for number, (style, elements) in enumerate(styles.items()):
        for element in elements: element.set("class", word(number))
    return "".join(f".{word(number)}{{{style}}}" for number, style in enumerate(styles))


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


PLAIN = re.compile(r'(?<!">)<span class="n">(\w+)</span>')


def slim_page(html, names):
    "A page whose code has elements only for what has a colour, a link or a card; `names` have cards."
    return PLAIN.sub(lambda name: name[0] if name[1] in names else name[1], html)


def card_names(site):
    "The names in code that the cards know."
    cards = site/"_static/cards.js"
    return set(re.findall(r"\w+", " ".join(row[1] for row in json.loads(re.search(r"\[.*\]", cards.read_text(encoding="utf-8"))[0])))) if cards.is_file() else set()


def slim(app, error):
    if error or app.builder.format != "html": return
    site = Path(app.outdir)
    for name in UNUSED: (site/"_static/scripts"/name).unlink(missing_ok=True)
    words, variables = words_in_use(site), variables_in_use(site)
    theme = [path for path in (site/"_static").rglob("*.css") if not own(app, path.relative_to(site/"_static"))]
    for path in theme:
        css = slim_css(path.read_text(encoding="utf-8"), words, variables)
        if "webfonts" in css: css = slim_fonts(site, css)
        path.write_text(css, encoding="utf-8")
    for path in (site/"_static").rglob("*.map"): path.unlink()
    names = card_names(site)
    for path in site.rglob("*.html"): path.write_text(slim_page(path.read_text(encoding="utf-8"), names), encoding="utf-8")
    for path in (site/"_images").glob("*.svg"): path.write_text(slim_svg(path.read_text(encoding="utf-8")), encoding="utf-8")


def own(app, name):
    "Whether a stylesheet is the book's own."
    return Path(app.srcdir, "book/_static", name).is_file()


def setup(app):
    app.connect("build-finished", slim)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
