"""Figures with sliders: `{play} name` puts book/play/name.html on a page, and the page loads the scripts that move it.

The body says what the figure shows. Scripts are plain files, loaded after the page is read, and work from the file system.
"""
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

FOLDER = Path(__file__).resolve().parent.parent / "play"
SHARED, DATA = ["mathematics.js", "drawing.js"], {"schedule": ["digit.js"]}


class play(nodes.General, nodes.Element):
    pass


class Play(SphinxDirective):
    required_arguments, has_content = 1, True

    def run(self):
        name = self.arguments[0]
        if not (FOLDER / f"{name}.html").is_file():
            known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.html")))
            raise self.error(f"there is no figure “{name}” to play with; known are {known}")
        if not self.content:
            raise self.error(f"the figure “{name}” needs a sentence that says what it shows")
        self.env.metadata[self.env.docname]["play"] = True
        node = play("", name=name)
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


def begin(translator, node):
    name = node["name"]
    markup = (FOLDER / f"{name}.html").read_text(encoding="utf-8")
    translator.body.append(f'<figure class="play" id="play-{name}" data-play="{name}">\n{markup}<figcaption>\n')


def end(translator, node):
    translator.body.append('<p aria-live="polite">The sliders of this figure need a browser that runs scripts.</p>\n</figcaption></figure>\n')


def load(app, pagename, templatename, context, doctree):
    "The style and the scripts, in the head of the pages that have such a figure."
    names = [node["name"] for node in doctree.findall(play)] if doctree else []
    if not names:
        return
    root = "../" * pagename.count("/") + "play/"
    scripts = SHARED + [file for name in names for file in [*DATA.get(name, []), f"{name}.js"]]
    context["metatags"] += f'<link rel="stylesheet" href="{root}play.css">\n' + "".join(
        f'<script defer src="{root}{script}"></script>\n' for script in scripts)


def copy(app, exception):
    if not exception and any(app.env.metadata[name].get("play") for name in app.env.found_docs):
        shutil.copytree(FOLDER, Path(app.outdir) / "play", ignore=shutil.ignore_patterns("*.html"), dirs_exist_ok=True)


def setup(app):
    app.add_node(play, html=(begin, end))
    app.add_directive("play", Play)
    app.connect("html-page-context", load)
    app.connect("build-finished", copy)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
