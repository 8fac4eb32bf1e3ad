"""The site's head: description, icons and, once the project has an address, everything that depends on it.

The address is one setting, `repository: url` in `_config.yml`. While it is empty no page points anywhere.
With it come buttons (edit, issue, repository, Colab), canonical links, social previews and a sitemap.
"""
import re
from html import escape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from docutils import nodes

CARD = "_static/card.png"    # made by picture.py


def home(repository, baseurl=""):
    "Where the site of a repository lives: the base address if one is given, else GitHub Pages."
    if baseurl or not repository: return baseurl and baseurl.rstrip("/") + "/"
    host, path = urlsplit(repository).hostname, urlsplit(repository).path.strip("/").removesuffix(".git")
    if host != "github.com" or path.count("/") != 1:
        raise ValueError(f"_config.yml: repository url {repository!r} is not https://github.com/OWNER/NAME; set html: baseurl to the address of the site too")
    owner, name = path.lower().split("/")
    return f"https://{owner}.github.io/" + (f"{name}/" if name != f"{owner}.github.io" else "")


def use_address(app, config):
    options = config.html_theme_options
    repository = options.get("repository_url", "")
    config.html_baseurl = home(repository, config.html_baseurl or "")
    if not repository: return
    options |= dict.fromkeys(("use_repository_button", "use_edit_page_button", "use_issues_button"), True)
    options["launch_buttons"] = {**options.get("launch_buttons", {}), "colab_url": "https://colab.research.google.com"}


def description(doctree, length=200):
    "The page's first paragraph as plain text, cut between words."
    for node in doctree.findall(nodes.paragraph):
        inside = any(isinstance(parent, (nodes.Admonition, nodes.table, nodes.figure, nodes.sidebar, nodes.math_block)) for parent in parents(node))
        text = " ".join(re.sub(r"[${}\\\\]", "", node.astext()).split())
        if len(text) > 40 and not inside: break
    else: return ""
    return text if len(text) <= length else text[:length].rsplit(" ", 1)[0].rstrip(" ,;:.") + " …"


def parents(node):
    while node := node.parent: yield node


def head(title, about, base, page, book):
    "Description and, with an address, what social networks show of a page."
    tags = [f'<meta name="description" content="{escape(about)}" />'] if about else []
    if base:
        properties = {"type": "article", "site_name": book, "title": title, "description": about, "url": urljoin(base, page),
                      "image": urljoin(base, CARD), "image:alt": "Noise becomes data: coloured paths lead from one wide bell curve to three narrow ones."}
        tags += [f'<meta property="og:{name}" content="{escape(value)}" />' for name, value in properties.items() if value]
        tags.append('<meta name="twitter:card" content="summary_large_image" />')
    return "\n".join(tags)


# What others write: a label that hides a text, a list without items, a definition without a term, ids that come again, spans without a colour of their own.
MENDS = [(re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
         (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
         (re.compile(r'<dl>\n((?:<dd><em class="sig-param">.*</dd>\n)+)</dl>'),
          lambda list: '<div class="sig-params">\n' + list[1].replace("<dd>", "<div>").replace("</dd>", "</div>") + "</div>"),
         (re.compile(r' id="(?:exercise-content|solution-content|proof-content|proof)"'), ""),
         (re.compile(r'<span class="[pw]">([^<]*)</span>'), r"\1")]


def complete(app, pagename, templatename, context, doctree):
    "Add the head's tags, and mend the body."
    base = app.config.html_baseurl
    about = description(doctree) if doctree else ""
    title = re.sub(r"<[^>]*>", "", context.get("title", ""))
    context["metatags"] = context.get("metatags", "") + head(title, about, base, f"{pagename}.html", app.config.html_title)
    for fault, mended in MENDS: context["body"] = fault.sub(mended, context.get("body", ""))
    if "sd-tab" not in context["body"]: context["script_files"] = [file for file in context["script_files"] if "design-tabs" not in str(file.filename)]


def sitemap(base, pages):
    urls = "".join(f"<url><loc>{escape(urljoin(base, f'{page}.html'))}</loc></url>\n" for page in sorted(pages))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n'


def write_sitemap(app, error):
    if not error and app.config.html_baseurl:
        Path(app.outdir, "sitemap.xml").write_text(sitemap(app.config.html_baseurl, app.env.found_docs), encoding="utf-8")


def setup(app):
    app.connect("config-inited", use_address)
    app.connect("html-page-context", complete, priority=900)
    app.connect("build-finished", write_sitemap)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
