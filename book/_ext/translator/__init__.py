"""The directive `{translator}`: a form that reads a value of one convention in all others, and a table where scripts cannot run.

The script and its style lie beside this file and are loaded by the pages that have the form. The schedules are inlined, so that it
works from the file system too.
"""
import json
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from sphinx.util.fileutil import copy_asset

HERE = Path(__file__).parent
FILES = ("translator.js", "translator.css")

# name of a field, its symbol, who calls it so
LEVELS = [
    ("t", "t", "this book, DDPM"),
    ("timestep", "timestep", "diffusers, guided-diffusion"),
    ("abar", "ᾱ<sub>t</sub>", "DDPM; α<sub>t</sub> in the DDIM paper; alphas_cumprod"),
    ("alpha", "√ᾱ<sub>t</sub>", "α<sub>t</sub> in continuous time"),
    ("noise", "√(1 − ᾱ<sub>t</sub>)", "σ<sub>t</sub> in continuous time"),
    ("varsigma", "ς", "σ of EDM and of Euler schedulers"),
    ("c_noise", "¼ ln ς", "what EDM’s network is told"),
    ("logsnr", "λ = log SNR", "variational diffusion"),
    ("half", "λ/2", "λ of DPM-Solver"),
    ("u", "u", "rectified flow; sigma of diffusers’ flow matching"),
    ("one_minus_u", "1 − u", "flow matching with data at 1"),
]
SAMPLES = [
    ("vp", "x<sub>t</sub>", "this book, DDPM, DDIM"),
    ("ve", "x<sub>t</sub>/√ᾱ<sub>t</sub>", "EDM, Euler schedulers"),
    ("flow", "x<sub>u</sub>", "the straight path"),
]
PREDICTIONS = [
    ("x0", "x<sub>0</sub>", "“x0”, sample, EDM’s D"),
    ("eps", "ε", "“eps”, epsilon"),
    ("v", "v", "“v”, v_prediction"),
    ("velocity", "ε − x<sub>0</sub>", "velocity of the straight path"),
    ("F", "F", "EDM’s network, σ<sub>d</sub> = 0.5"),
    ("score", "∇ log q(x<sub>t</sub>)", "score matching"),
]
GUIDANCE = [
    ("scale", "γ", "this book’s scale; guidance_scale of diffusers"),
    ("w", "w", "the classifier-free guidance paper"),
]
SCHEDULES = {"linear": "linear", "cosine": "cosine", "scaled_linear": "scaled linear (Stable Diffusion)"}


def field(name, symbol, who):
    return (f'<div><label for="translator-{name}"><b>{symbol}</b> <small>{who}</small></label>'
            f'<input id="translator-{name}" name="{name}" inputmode="decimal" autocomplete="off" spellcheck="false"></div>')


def group(title, fields, before=""):
    return f"<fieldset><legend>{title}</legend>{before}{''.join(field(*f) for f in fields)}</fieldset>"


def schedules():
    "{name: ς_1 … ς_T} of the schedules on offer."
    from d2c import conventions, schedule
    made = {"linear": schedule.linear(), "cosine": schedule.cosine(), "scaled_linear": conventions.scaled_linear()}
    return {name: conventions.level(sched.abar[1:]).tolist() for name, sched in made.items()}


def table():
    "Typical values, for pages that run no scripts."
    from d2c.conventions import level, timestep_from_t
    from d2c.schedule import linear
    sched, times = linear(), (1, 250, 500, 750, 1000)

    def value(name, t):
        if name == "t": return t
        if name == "timestep": return timestep_from_t(t)
        if name == "c_noise": return level(sched.at(t), to="logsnr")/-8
        return level(sched.at(t), to=name)
    rows = "".join(f"<tr><th scope='row'>{symbol} <small>{who}</small></th>"
                   + "".join(f"<td>{value(name, t):.4g}</td>" for t in times) + "</tr>" for name, symbol, who in LEVELS)
    return f"<table class='table'><caption>The linear schedule at five times. With scripts a form stands here.</caption><tbody>{rows}</tbody></table>"


def markup():
    options = "".join(f'<option value="{name}">{escape(text)}</option>' for name, text in SCHEDULES.items())
    schedule = f'<div><label for="translator-schedule">schedule <small>T = 1000</small></label><select id="translator-schedule" name="schedule">{options}</select></div>'
    data = json.dumps({name: [float(f"{s:.12g}") for s in table] for name, table in schedules().items()})
    return (f'<div class="translator"><form hidden aria-label="Translate a value between conventions">'
            f'<p>Type a value anywhere; the others follow.</p>'
            f'<p class="translator-says" role="status" aria-live="polite"></p>'
            f'{group("Noise level", LEVELS, schedule)}'
            f'{group("A sample at this level", SAMPLES)}{group("What it is made of", PREDICTIONS)}'
            f'{group("Guidance", GUIDANCE)}</form>{table()}'
            f'<script type="application/json" class="translator-schedules">{data}</script></div>')


class translator(nodes.General, nodes.Element):
    pass


class Translator(SphinxDirective):
    def run(self):
        return [translator()]


def visit(self, node):
    self.body.append(markup())
    raise nodes.SkipNode


def skip(self, node):
    raise nodes.SkipNode


def load(app, pagename, templatename, context, doctree):
    if doctree and next(doctree.findall(translator), None) is not None:
        app.add_js_file("translator/translator.js", loading_method="defer")
        app.add_css_file("translator/translator.css")


def copy(app):
    if app.builder.format == "html":
        for name in FILES:
            copy_asset(HERE / name, Path(app.outdir, "_static", "translator"))


def setup(app):
    app.add_node(translator, html=(visit, None), latex=(skip, None), text=(skip, None))
    app.add_directive("translator", Translator)
    app.connect("html-page-context", load)
    app.connect("builder-inited", copy)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
