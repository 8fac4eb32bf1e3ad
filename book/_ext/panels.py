"""What opens beside an equation: the cells that implement and check it, for pages other than their own; and where a card's names lead.

Each chapter's cells go into a file `_static/cells/CHAPTER.js`, which symbols.js loads when a panel is opened: a classic script,
so that it works from the file system too.
"""
import json
import re
from pathlib import Path

CELL = re.compile(r'<aside class="[^"]*\beq-margin\b[^"]*" id="(cell-\d+)">.*?</aside>.*?(<div class="highlight">.*?</div>)', re.S)


def cells(body):
    "{target: highlighted code} of the cells of a page that bear a margin note."
    return dict(CELL.findall(body))


def write(app, pagename, templatename, context, doctree):
    if pagename not in app.d2c.notebooks or not (found := cells(context["body"])): return
    folder, name = Path(app.outdir, "_static", "cells"), Path(pagename).name
    folder.mkdir(parents=True, exist_ok=True)
    (folder/f"{name}.js").write_text(f"(window.CELLS ??= {{}}).{name} = {json.dumps(found, ensure_ascii=False)};\n", encoding="utf-8")


PREFIXES = {"sched": "d2c.schedule.Schedule", "gm": "d2c.oracle.GaussianMixture"}    # variables that the whole book calls so
WORD = re.compile(r"(?<![\w.&])(?:(\w+)\.)?([A-Za-z_]\w*)(?![\w=;])(?!=)")


def link_names(code, where, entries, uri):
    """The code of a card, each name leading to its API entry: a function of a chapter that the row names, or an attribute's class.

    `entries` are the full names that have an entry, `uri` turns one into an address.
    """
    chapters = re.findall(r"/(\w+)\.html", where)

    def link(match):
        owner, name = match.groups()
        found = [f"{PREFIXES[owner]}.{name}", PREFIXES[owner]] if owner in PREFIXES else [] if owner else [f"d2c.{chapter}.{name}" for chapter in chapters]
        full = next((full for full in found if full in entries), None)
        return f'<a href="{uri(full)}">{match[0]}</a>' if full else match[0]

    return re.sub(r"(?<=>)[^<]+(?=<)", lambda text: WORD.sub(link, text[0]), code)


def setup(app):
    app.connect("html-page-context", write, priority=600)     # after names are linked
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
