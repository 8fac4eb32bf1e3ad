"""Figures in which the reader's browser runs the book's network: the `live-demo` directive, and the files it needs.

A page carries a recorded film, a button and a few lines of script; everything else lies in `live/` of the site and is
loaded by the button. See `book/live/README.md`.
"""
import json
import shutil
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

LIVE = Path(__file__).resolve().parent.parent/"live"
SERVED = ("*.mjs", "*.onnx", "*.json", "*.bin", "*.webp", "README.md", "ort/*")
XT, X0, GUESS = "<var>x<sub>t</sub></var>", "<var>x</var><sub>0</sub>", "<var>x̂</var><sub>0</sub>"

# mode -> its panels, what its film shows, the film's pictures across and down, and the controls it can have
MODES = {
    "sample": ([XT, GUESS], "ten digits, 0 to 9, come out of noise in fourteen steps, and beside them the network's guesses, which are blurred at first", (5, 2),
               ["class", "count", "steps", "eta", "scale", "seed"]),
    "noise": ([X0, XT, GUESS], "a three is noised until little of it can be seen, in four ways, and the network goes back from each to another three", (2, 2),
              ["digit", "told", "t", "count", "steps", "eta", "scale", "seed"]),
    "encode": ([X0, XT, GUESS], "a four is turned into noise in twenty steps and comes back in twenty", (1, 1),
               ["digit", "told", "steps"]),
}
DEFAULTS = dict(steps=20, eta=1., scale=1.5, seed=1, count=10, told="none", digit="3", t=700) | {"class": "each"}


def one_of(*words):
    return lambda argument: directives.choice(argument, words)


def number(low, high, kind=int):
    "An option's value, a number from low to high."
    def read(argument):
        value = kind(argument)
        if not low <= value <= high: raise ValueError(f"it must lie in {low} … {high}")
        return value
    return read


DIGITS = [str(k) for k in range(10)]


class LiveDemo(SphinxDirective):
    """`{live-demo} sample`, `noise` or `encode`: a film that a click makes live.

    `:controls:` names those that show; the other options are what the controls begin with.
    """
    required_arguments = 1
    option_spec = {
        "controls": str.split, "class": one_of("each", *DIGITS), "told": one_of("none", *DIGITS), "digit": one_of("drawn", *DIGITS),
        "steps": number(1, 100), "t": number(1, 1000), "eta": number(0, 1, float), "scale": number(0, 8, float),
        "count": number(1, 20), "seed": number(0, 2**32 - 1),
    }

    def run(self):
        mode = self.arguments[0]
        if mode not in MODES: raise self.error(f"A live demo is one of {', '.join(MODES)}, not “{mode}”.")
        known = MODES[mode][-1]
        controls = self.options.pop("controls", known)
        if strange := [name for name in controls if name not in known]:
            raise self.error(f"A live demo “{mode}” has no control “{strange[0]}”; it has {', '.join(known)}.")
        self.env.metadata[self.env.docname]["live"] = True
        values = DEFAULTS | self.options
        return [nodes.raw("", figure(mode, controls, values, self.folder()), format="html")]

    def folder(self):
        "Where the site keeps the live files, as seen from this page."
        return relative_uri(self.env.app.builder.get_target_uri(self.env.docname), "live/")


def screens(mode, folder):
    "The panels of a recorded film: one file, a frame a column, a panel a row."
    panels, _, (across, down), _ = MODES[mode]
    frames = json.loads((LIVE/"mnist-cond.json").read_text(encoding="utf-8"))["frames"][mode]
    for row, caption in enumerate(panels):
        style = (f"background-image: url({folder}{mode}.webp); aspect-ratio: {across}/{down}; "
                 f"--row: {row/(len(panels) - 1):.0%}; --rows: {len(panels)}; --frames: {frames}")
        yield f'<div class="live-panel"><div class="live-screen" data-columns="{across}" style="{style}"></div><div>{caption}</div></div>'


def figure(mode, controls, values, folder):
    "HTML of a live figure before the click."
    options = escape(json.dumps(dict(mode=mode, controls=controls, values=values)))
    return f"""
<figure class="live" data-live="{folder}" data-options="{options}">
<div class="live-panels live-{mode} live-film" role="img" aria-label="{escape("Recorded film: " + MODES[mode][1] + ".")}">{"".join(screens(mode, folder))}</div>
<button type="button" class="live-start" hidden>Run it live</button>
<p class="live-status" role="status">This film was recorded. Where scripts can run, the figure runs the network in the page.</p>
<script>{(LIVE/"start.js").read_text(encoding="utf-8")}</script>
</figure>
"""


def is_live(app, docname):
    return app.env.metadata[docname].get("live", False)


def add_style(app, pagename, templatename, context, doctree):
    if pagename in app.env.found_docs and is_live(app, pagename): app.add_css_file("live.css")


def copy_files(app, exception):
    "Put what the figures load beside the pages. Not under _static: Jupyter Book adds any script there to every page."
    if exception or app.builder.format != "html" or not any(is_live(app, name) for name in app.env.found_docs): return
    for file in (file for pattern in SERVED for file in LIVE.glob(pattern)):
        target = Path(app.outdir)/"live"/file.relative_to(LIVE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def setup(app):
    app.add_directive("live-demo", LiveDemo)
    app.connect("html-page-context", add_style)
    app.connect("build-finished", copy_files)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
