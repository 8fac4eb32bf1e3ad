"""The figures with sliders: their numbers are the library's, each control changes the picture, and nothing else moves."""
import json
import math
from statistics import median

import pytest
import torch
from torch.testing import assert_close

from conftest import SITE
from d2c import data, ddim, ddpm, elbo, figures, forward, guidance, oracle, posterior, schedule

PAGES = {"schedule": "schedule", "posterior": "posterior", "mixture": "oracle", "paths": "ddim", "guidance": "guidance", "bound": "elbo"}
every_figure = pytest.mark.parametrize("name", PAGES)

PICTURE = "() => [...document.querySelectorAll('.play [data-panel]')].map(panel => panel.innerHTML).join('')"
DRAWN = "() => new Promise(done => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done))))"    # after what waits for a moment itself
SET = """([name, value]) => {
  const control = document.querySelector(`.play [name=${name}]`);
  if (control.type == 'checkbox') control.checked = value; else control.value = value;
  control.dispatchEvent(new Event('input', {bubbles: true}));
}"""
CONTROLS = """() => [...document.querySelector('.play form').elements].filter(e => e.name).map(e => ({name: e.name, of: e.closest('label').dataset.of,
  ends: e.type == 'range' ? [e.min, e.max] : e.type == 'checkbox' ? [true, false] : [...e.options].map(o => o.value), first: e.type == 'checkbox' ? e.checked : e.value}))"""


@pytest.fixture(scope="module")
def pages(browser):
    "A figure's chapter, opened from the file system, once."
    context, opened = browser.new_context(viewport={"width": 1280, "height": 844}), {}

    def page(name):
        if name not in opened:
            tab = opened[name] = context.new_page()
            tab.errors = []
            tab.on("console", lambda message: tab.errors.append(message.text) if message.type == "error" else None)
            tab.on("pageerror", lambda error: tab.errors.append(str(error)))
            tab.goto((SITE/"nbs"/f"{PAGES[name]}.html").as_uri())
            tab.wait_for_selector(f"#play-{name}.ready")
        return opened[name]
    yield page
    context.close()


@pytest.fixture
def play(pages):
    "The figure as it begins."
    used = []

    def begin(name):
        tab = pages(name)
        used.append(tab)
        tab.bring_to_front()    # others draw nothing
        tab.set_viewport_size({"width": 1280, "height": 844})
        tab.click(".play [type=reset]")
        tab.evaluate(DRAWN)
        return tab
    yield begin
    assert not [tab.errors for tab in used if tab.errors]


def move(tab, **controls):
    for change in controls.items(): tab.evaluate(SET, list(change))
    tab.evaluate(DRAWN)
    return tab.evaluate(PICTURE)


def move_something(tab):
    "Another picture: the last control at the first of its ends that makes one."
    before, control = tab.evaluate(PICTURE), tab.evaluate(CONTROLS)[-1]
    return next(picture for end in control["ends"] if (picture := move(tab, **{control["name"]: end})) != before)


def values(tab, name, **controls):
    "What the figure computes for these controls, the others as they stand."
    return json.loads(tab.evaluate("""([name, changes]) => {
      const controls = [...document.querySelector('.play form').elements].filter(e => e.name).map(e => [e.name, e.type == 'range' ? +e.value : e.type == 'checkbox' ? e.checked : e.value]);
      return JSON.stringify(drawing.figures[name].values({...Object.fromEntries(controls), ...changes}));
    }""", [name, controls]))    # as text, which is ten times as fast


def same(page, library, rtol=1e-6, atol=1e-12):
    "The walks need a larger `atol`: the pinwheel's weights are single precision in the library."
    assert_close(torch.tensor(page, dtype=torch.float64), torch.as_tensor(library, dtype=torch.float64), rtol=rtol, atol=atol)


def double(*x):
    return torch.tensor([x], dtype=torch.float64)


# ---- the numbers ---------------------------------------------------------------------------------------

def test_schedule(play):
    tab = play("schedule")
    wanted = {
        (): schedule.linear(),
        (("T", 20),): schedule.linear(100),
        (("T", 20), ("beta_1", -30), ("beta_T", -7), ("zero", True)): schedule.zero_terminal_snr(schedule.linear(100, 1e-3, .2)),
        (("shape", "cosine"),): schedule.cosine(),
        (("shape", "cosine"), ("T", 10), ("s", .05)): schedule.cosine(10, .05),
        (("shape", "sigmoid"), ("zero", True)): schedule.zero_terminal_snr(schedule.sigmoid()),
        (("shape", "sigmoid"), ("T", 17), ("start", -4.5), ("end", 2), ("tau", .6)): schedule.sigmoid(50, -4.5, 2, .6),
    }
    for controls, sched in wanted.items():
        page = values(tab, "schedule", **dict(controls), t=250)
        assert page["T"] == sched.T and page["t"] in (math.floor(sched.T/4), math.ceil(sched.T/4))
        for table in ("abar", "alpha", "beta"): same(page["sched"][table], getattr(sched, table))
        same(page["sched"]["snr"][1:], sched.snr[1:])    # the first is infinite
        assert page["half"] == (sched.snr > 1).sum()
    assert bytes(map(ord, tab.evaluate("DIGIT"))) == data.mnist("test").x[1].numpy().tobytes()
    x0, eps = data.normalise(data.mnist("test").x[1:2]).double().flatten(1), torch.randn(1, 784, dtype=torch.float64)
    page = tab.evaluate("([x0, eps]) => mathematics.q_sample(mathematics.linear(), x0, 300, eps)", [x0[0].tolist(), eps[0].tolist()])
    same([page], forward.q_sample(schedule.linear(), x0, 300, eps))


def test_posterior(play):
    tab, sched = play("posterior"), schedule.cosine()
    for t, s, xt, x0 in ((400, 200, 1.5, -.6), (999, 998, -2., 1.), (2, 1, .3, .25), (700, 0, 2.5, .4), (30, 29, 0., -1.)):
        page = values(tab, "posterior", t=t, s=s, xt=xt, x0=x0)
        mean, var = posterior.q_posterior(sched, double(x0), double(xt), t, s)
        c0, ct, _ = posterior.posterior_coef(sched.at(t), sched.at(s))
        same([page["mean"], page["variance"], page["c0"], page["ct"]], [mean.item(), var, c0, ct])
        if s:    # the square that the page completes: precisions add up, and so do precision times mean
            prior, likelihood = ([p["mean"], p["variance"]] for p in (page["prior"], page["likelihood"]))
            precision = 1/prior[1] + 1/likelihood[1]
            same([1/precision, (prior[0]/prior[1] + likelihood[0]/likelihood[1])/precision], [var, mean.item()])
    move(tab, t=400, s=200, xt=1.5, x0=-.6)
    mean, var = posterior.q_posterior(sched, double(-.6), double(1.5), 400, 200)
    text = tab.inner_text(".play-lines").replace("−", "-")
    assert f"{mean.item():.3g}" in text and f"{var:.3g}" in text


def test_mixture(play):
    tab, gm, sched = play("mixture"), oracle.pinwheel(), schedule.linear()
    for t, x, y in ((1, 1.6, .1), (100, .6, -.3), (300, -2.5, 1.), (1000, .2, .4)):
        page, point, abar = values(tab, "mixture", t=t, x=x, y=y), double(x, y), sched.at(t)
        for ours, theirs in (("log_q", gm.log_prob), ("score", gm.score), ("eps", gm.eps), ("x0", gm.x0_mean)):
            same(page[ours], theirs(point, abar)[0])
        same(page["claim"], gm.classify(point, abar).exp()[0])
    middle = values(tab, "mixture", t=100)["field"][112]    # of 15 × 15 points
    same(middle, gm.score(double(0, 0), sched.at(100))[0])


def walked(update, denoise, xT, times, noise):
    "A walk of the library with given noise, all its points, (steps + 1, 2)."
    x, out, fresh = xT, [xT], iter(noise)
    for t, s in ddpm.strides(schedule.cosine(), times):
        x, _ = update(denoise, x.clone(), t, s, lambda: next(fresh)[None].clone())
        out.append(x)
    return torch.cat(out)


WALK = """([sampler, n, kind, xT, noise]) => {
  const {cosine, pinwheel, denoiser, spaced} = mathematics, sched = cosine(), drawn = noise.values();
  return mathematics[sampler](denoiser(pinwheel(), sched), sched, xT, spaced(1000, n), kind, () => drawn.next().value).map(step => step.xs);
}"""


def test_paths(play):
    tab, gm, sched = play("paths"), oracle.pinwheel(), schedule.cosine()
    denoise, g = gm.denoiser(sched), torch.Generator().manual_seed(0)
    for sampler, kind, update in (("ddim_steps", 0, ddim.ddim_update(sched, 0.)), ("ddim_steps", .5, ddim.ddim_update(sched, .5)),
                                  ("ddim_steps", 1, ddim.ddim_update(sched, 1.)), ("ddpm_steps", "beta", ddpm.ddpm_update(sched, "beta")),
                                  ("ddpm_steps", "beta_tilde", ddpm.ddpm_update(sched))):
        for n in (1, 5, 16, 50):    # 1000·k/16 has halves to be rounded
            xT, noise = torch.randn(1, 2, generator=g, dtype=torch.float64), torch.randn(n, 2, generator=g, dtype=torch.float64)
            page = tab.evaluate(WALK, [sampler, n, kind, xT[0].tolist(), noise.tolist()])
            same([xT[0].tolist(), *page], walked(update, denoise, xT, schedule.spaced(1000, n), noise), atol=1e-7)
    for n, eta, sampler, update in ((10, 0, "ddim", ddim.ddim_update(sched, 0.)), (13, .7, "ddim", ddim.ddim_update(sched, .7)), (7, 0, "ddpm", ddpm.ddpm_update(sched, "beta"))):
        page, times = values(tab, "paths", n=n, eta=eta, sampler=sampler, seed=3), schedule.spaced(1000, {10: 10, 13: 20, 7: 5}[n])
        for i in (0, 1, 119):
            noise = tab.evaluate("seed => { const z = mathematics.normals(seed); return Array.from({length: 99}, () => [z(), z()]); }", 3000 + i)
            path = walked(update, denoise, double(*page["all"][i][0]["xs"]), times, torch.tensor(noise, dtype=torch.float64))
            same([step["xs"] for step in page["all"][i]], path, atol=1e-7)
        same(page["log_q"], gm.log_prob(torch.tensor(page["ends"], dtype=torch.float64)).mean())
    exact = ddim.flow(gm, torch.tensor([path[0]["xs"] for path in page["flowed"]], dtype=torch.float64), sched.at(1000), 1.)
    assert (torch.tensor([path[-1]["xs"] for path in page["flowed"]]) - exact).norm(dim=1).median() < .02
    x = gm.sample(100_000, g)[0]
    assert abs(gm.log_prob(x).mean() + 1.67) < .015    # as the page says of the data


def test_guidance(play):
    tab, gm, sched = play("guidance"), oracle.pinwheel(), schedule.cosine()
    denoise = gm.denoiser(sched)
    for gamma, y, eta, n, steps in ((3, 4, 0, 15, 30), (0, 1, 0, 10, 10), (6.5, 2, .8, 8, 6)):
        page = values(tab, "guidance", gamma=gamma, y=y, eta=eta, n=n, seed=2)
        k = y - 1
        own = oracle.GaussianMixture([1.], gm.m[k:k + 1], gm.S[k:k + 1])
        cond = lambda xt, t, y: oracle.Guess(*(torch.where((y == k)[:, None], a, b) for a, b in zip(own.denoiser(sched)(xt, t), denoise(xt, t))))
        guided = guidance.classifier_free_guidance(cond, torch.tensor([k]), len(gm.w), float(gamma))
        start = tab.evaluate("() => { const z = mathematics.normals(2); return Array.from({length: 150}, () => [z(), z()]); }")
        for i in (0, 77, 149):
            noise = tab.evaluate("seed => { const z = mathematics.normals(seed); return Array.from({length: 99}, () => [z(), z()]); }", 2000 + i)
            path = walked(ddim.ddim_update(sched, float(eta)), guided, double(*start[i]), schedule.spaced(1000, steps), torch.tensor(noise, dtype=torch.float64))
            same(page["samples"][i], path[-1], atol=1e-7)
        x = torch.tensor(page["samples"], dtype=torch.float64)
        same([page["off"], page["spread"], page["log_q"]],
             [(x.mean(0) - gm.m[k]).norm(), (x.var(0).sum()/gm.S[k].diagonal().sum())**.5, own.log_prob(x).mean()])


def quadrature():
    "Points and weights for means over x_0 and ε: three in each integrate the terms exactly."
    z, w = torch.tensor([-3**.5, 0, 3**.5], dtype=torch.float64), torch.tensor([1/6, 2/3, 1/6], dtype=torch.float64)
    return z.repeat_interleave(3)[:, None], z.repeat(3)[:, None], torch.outer(w, w).flatten()


def test_bound(play):
    tab, (m, lam), (z, eps, w) = play("bound"), (.3, .09), quadrature()
    x0 = m + lam**.5*z
    gm = oracle.GaussianMixture([1.], [[m]], [[[lam]]])
    cases = ((dict(), schedule.linear(100, .001, .2), "beta"), (dict(shape="cosine", T=10, kind="beta_tilde", c=.8, where="last"), schedule.cosine(10), "beta_tilde"),
             (dict(T=5, c=1.2, b=-.2, where="first"), schedule.linear(3, .001, .9), "beta"), (dict(shape="cosine", T=13, c=1.1, b=.3, where="middle"), schedule.cosine(20), "beta"))
    for controls, sched, kind in cases:
        page, T = values(tab, "bound", **controls), sched.T
        c, b, where = controls.get("c", 1), controls.get("b", .1), controls.get("where", "all")
        wrong = {"all": lambda t: True, "first": lambda t: t <= T/10, "middle": lambda t: T/10 < t <= .9*T, "last": lambda t: t > .9*T}[where]
        network = lambda xt, t: torch.stack([c*e + b if wrong(i) else e for e, i in zip(gm.eps(xt, sched.at(t)), t.tolist())])
        denoise = forward.denoiser(network, sched)
        terms = [(w*elbo.vlb_term(denoise, sched, x0, t, eps, kind, decoder="density")).sum() for t in range(1, T + 1)]
        same(page["terms"], [*terms, (w*forward.prior_kl(sched, x0)).sum()])
        same(page["weight"][2:], elbo.loss_weight(sched, kind)[2:])
        error = [(w*((eps - denoise(forward.q_sample(sched, x0, t, eps), t).eps)**2)[:, 0]).sum() for t in range(1, T + 1)]
        same(page["error"][1:], error)
        mean, var = model_law(network, sched, kind)
        entropy = .5*math.log(2*math.pi*math.e*lam)
        nll = entropy + elbo.gaussian_kl(torch.tensor(m), lam, mean, var)
        same([page["H"], page["nll"], page["total"]], [entropy, nll, sum(page["terms"])])
        assert page["H"] <= page["nll"] <= page["total"]


def model_law(network, sched, kind):
    "Mean and variance of what a chain with an affine network generates, found by two evaluations a step."
    mean, var = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for t in range(sched.T, 0, -1):
        ends = torch.tensor([[0.], [1.]], dtype=torch.float64)
        low, high = posterior.mu_from_eps(sched, ends, t, t - 1, network(ends, torch.tensor([t, t])))
        mean, var = low + (high - low)*mean, (high - low)**2*var + elbo.model_var(sched, t, kind)
    return mean, var


def test_colours(play):
    assert play("posterior").evaluate("[drawing.COLOURS, drawing.GREY]") == [figures.COLOURS, figures.GREY]


# ---- the picture ---------------------------------------------------------------------------------------

@every_figure
def test_each_control_changes_the_picture(name, play):
    tab = play(name)
    height, took = "() => document.querySelector('.play').offsetHeight", []
    for width in (1280, 390):
        tab.set_viewport_size({"width": width, "height": 844})
        tall = tab.evaluate(height)
        for control in tab.evaluate(CONTROLS):
            first = move(tab, shape=control["of"]) if control["of"] else tab.evaluate(PICTURE)
            for end in set(control["ends"]) - {control["first"]}:
                assert move(tab, **{control["name"]: end}) != first, f"{control['name']} = {end} changes nothing"
                took.append(tab.evaluate("name => drawing.figures[name].took", name))
                assert tab.evaluate(height) == tall, f"{control['name']} = {end} moves what stands below"
            tab.click(".play [type=reset]")
            tab.evaluate(DRAWN)
        move_something(tab)
        tab.wait_for_timeout(500)    # for the words
        assert tab.evaluate(height) == tall, "the words move what stands below"
        tab.click(".play [type=reset]")
        assert tab.evaluate("() => document.documentElement.scrollWidth") <= width
    assert median(took) < 60    # milliseconds for a picture; below 12 on a core of its own


@every_figure
def test_keyboard_and_screen_reader(name, play):
    tab = play(name)
    tab.wait_for_function("() => !document.querySelector('.play [aria-live]').textContent.includes('scripts')")
    before, words = tab.evaluate(PICTURE), tab.inner_text(".play [aria-live]")
    slider = tab.locator(".play input[type=range]:visible").first
    slider.focus()
    tab.keyboard.press("ArrowLeft")
    tab.evaluate(DRAWN)
    assert tab.evaluate(PICTURE) != before
    assert slider.get_attribute("aria-valuetext") == slider.locator("..").locator("output").inner_text()
    tab.wait_for_function("words => document.querySelector('.play [aria-live]').innerText != words", arg=words)
    names = tab.evaluate("() => [...document.querySelectorAll('.play form [name]')].map(e => e.labels[0]?.querySelector('span').textContent.trim())")
    assert all(names) and len(set(names)) == len(names)
    assert tab.evaluate("() => [...document.querySelectorAll('.play svg[data-panel]')].every(e => e.getAttribute('role') == 'img' && e.getAttribute('aria-label'))")


@pytest.mark.parametrize("name, panel, controls", [("schedule", "snr", ["t"]), ("mixture", "plane", ["x", "y"])])
def test_touch(name, panel, controls, play):
    tab = play(name)
    at = lambda: [float(tab.input_value(f".play [name={c}]")) for c in controls]
    target = tab.locator(f".play [data-panel={panel}]")
    target.scroll_into_view_if_needed()
    before, box = at(), target.bounding_box()
    tab.mouse.click(box["x"] + .8*box["width"], box["y"] + .25*box["height"])
    assert all(a != b for a, b in zip(at(), before))
    if name == "mixture":
        x, y = at()
        assert abs(x - (272 - 170)/332*6) < .1 and abs(y - (186 - 88)/332*6) < .1


@every_figure
def test_paper_shows_how_it_begins(name, play):
    tab = play(name)
    first, moved = tab.evaluate(PICTURE), move_something(tab)
    tab.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate(PICTURE) == first
    tab.evaluate("() => dispatchEvent(new Event('afterprint'))")
    tab.evaluate(DRAWN)
    assert tab.evaluate(PICTURE) == moved


LEAST_CONTRAST = """() => {
  const rgb = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(v => v/255).map(v => v <= .04045 ? v/12.92 : ((v + .055)/1.055)**2.4);
  const light = colour => { const [r, g, b] = rgb(colour); return .2126*r + .7152*g + .0722*b + .05; };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const inks = [...document.querySelectorAll('.play svg text')].map(e => getComputedStyle(e).fill).concat([...document.querySelectorAll('.play label, .play output, .play p')].map(e => getComputedStyle(e).color));
  return Math.min(...inks.map(light).map(l => Math.max(l, ground)/Math.min(l, ground)));
}"""


@every_figure
def test_dark_and_light(name, play):
    tab = play(name)
    grounds = set()
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_function("scheme => document.documentElement.dataset.theme == scheme", arg=scheme)
        grounds.add(tab.evaluate("() => getComputedStyle(document.body).backgroundColor"))
        assert tab.evaluate(LEAST_CONTRAST) >= 4.5
    assert len(grounds) == 2
    tab.set_viewport_size({"width": 390, "height": 844})
    for panel in tab.evaluate("() => [...document.querySelectorAll('.play svg[data-panel]')].map(e => [e.clientWidth, e.viewBox.baseVal.width, e.getBoundingClientRect().right])"):
        assert panel[0]/panel[1]*11 > 9.5 and panel[2] <= 390    # the size of the labels, pixels


# ---- where it is loaded, and from -----------------------------------------------------------------------

def test_only_pages_with_a_figure_load_the_scripts(browser):    # which skips where there is no site
    loading = {path.stem for path in (SITE/"nbs").glob("*.html") if "play/mathematics.js" in path.read_text(encoding="utf-8")}
    assert loading == set(PAGES.values())


@every_figure
def test_without_scripts(name, browser):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((SITE/"nbs"/f"{PAGES[name]}.html").as_uri())
    assert "needs" not in tab.inner_text(f"#play-{name} figcaption p:first-child") and "runs scripts" in tab.inner_text(f"#play-{name} [aria-live]")
    assert not tab.is_visible(f"#play-{name} form input")
    context.close()
