"""The figures that sample in the page: their formulas and pictures are d2c's, and they behave."""
import gzip
import hashlib
import io
import json
import re
from html import unescape

import pytest
import torch

from conftest import ROOT, SITE
from d2c import pretrained
from d2c.ddim import ddim_sigma, ddim_steps, ddim_update, encode_steps
from d2c.ddpm import ddpm_update, sample, strides, walk
from d2c.forward import clipped, denoiser, eps_from_v, eps_from_x0, q_sample, x0_from_eps, x0_from_v
from d2c.guidance import classifier_free_guidance
from d2c.posterior import reverse_var
from d2c.schedule import spaced

LIVE = ROOT / "book" / "live"
FACTS = json.loads((LIVE / "mnist-cond.json").read_text(encoding="utf-8"))
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if 'class="live"' in path.read_text(encoding="utf-8"))
REMEDY = "run `python book/live/export.py`"


# ---- the files ----------------------------------------------------------------------------------

def test_the_network_is_the_one_that_ships():
    assert FACTS["weights"] == pretrained.card("mnist-cond")["sha256"], f"the weights have changed; {REMEDY}"
    assert FACTS["onnx"] == hashlib.sha256((LIVE / "mnist-cond.onnx").read_bytes()).hexdigest(), REMEDY
    net = pretrained.load("mnist-cond")
    assert (FACTS["predicts"], FACTS["classes"], FACTS["abar"]) == (net.predicts, net.model.num_classes, net.sched.abar.tolist()), REMEDY


def test_the_runtime_is_the_one_noted():
    note, ort = (LIVE / "README.md").read_text(encoding="utf-8"), LIVE / "ort"
    for data in (ort.joinpath("ort.wasm.bundle.min.mjs").read_bytes(), gzip.decompress(ort.joinpath("ort-wasm-simd-threaded.wasm.gz").read_bytes())):
        assert hashlib.sha256(data).hexdigest() in note


def test_films_are_light():
    for film in LIVE.glob("*.webp"): assert film.stat().st_size < 60_000, film.name


def test_export_makes_the_network():
    import sys
    sys.path.insert(0, str(LIVE))
    import export
    import onnx
    from onnx.reference import ReferenceEvaluator
    from d2c.unet import UNet
    from d2c.saving import Loaded
    torch.manual_seed(0)
    more = dict(attention=(), film=False, head_width=4, updown=True, num_classes=3, null=False, learned_var=True)
    for options, half, near in ((dict(attention=(), stem=2), False, 1e-4), (more, True, 3e-2)):
        net = UNet(1, 8, 8, (1, 2), groups=4, **options).eval()
        for p in net.parameters(): torch.nn.init.normal_(p, std=.2)
        inputs = dict(xt=torch.randn(3, 1, 8, 8), t=torch.tensor([1, 500, 1000]), **({"y": torch.tensor([0, 2, 1])} if net.num_classes else {}))
        with torch.no_grad(): wanted = net(*inputs.values())
        data = export.to_onnx(Loaded(net, None, "eps"), half)
        out, = ReferenceEvaluator(onnx.load_from_string(data)).run(None, {name: v.numpy() for name, v in inputs.items()})
        assert out.shape == wanted.shape and (torch.from_numpy(out) - wanted).abs().max() < near*wanted.abs().max()
        assert "unet.py" not in data.decode("latin1")    # no remarks


@pytest.fixture
def built(tmp_path, monkeypatch):
    "Builds a page with a text and another without; what Sphinx said, and where the pages are."
    from sphinx.application import Sphinx
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    def build(text):
        (tmp_path / "a").mkdir(exist_ok=True)
        tmp_path.joinpath("index.rst").write_text("Top\n===\n\n.. toctree::\n\n   a/page\n")
        tmp_path.joinpath("a", "page.rst").write_text(f"Page\n====\n\n{text}\n")
        said, out = io.StringIO(), tmp_path / "out"
        Sphinx(tmp_path, None, out, tmp_path / "doctrees", "html", {"extensions": ["live"]}, status=None, warning=said, freshenv=True).build()
        return said.getvalue(), out
    return build


def test_directive(built):
    said, out = built(".. live-demo:: noise\n   :controls: t steps\n   :t: 300\n   :eta: 0.5")
    assert not said
    html = (out / "a" / "page.html").read_text(encoding="utf-8")
    options = json.loads(unescape(re.search(r'data-options="([^"]*)"', html)[1]))
    assert options["mode"] == "noise" and options["controls"] == ["t", "steps"] and (options["values"]["t"], options["values"]["eta"]) == (300, .5)
    assert "url(../live/noise.webp)" in html and "live.css" in html and "live.css" not in (out / "index.html").read_text(encoding="utf-8")
    for name in ("demo.mjs", "worker.mjs", "sampler.mjs", "pad.mjs", "mnist-cond.onnx", "noise.webp", "ort/ort-wasm-simd-threaded.wasm.gz", "ort/LICENSE"):
        assert (out / "live" / name).read_bytes() == (LIVE / name).read_bytes()


@pytest.mark.parametrize("text, reason", [
    (".. live-demo:: dream", "one of sample, noise, encode, not “dream”"),
    (".. live-demo:: encode\n   :controls: steps seed", "has no control “seed”"),
    (".. live-demo:: sample\n   :eta: 2", "it must lie in 0 … 1"),
    (".. live-demo:: sample\n   :class: 10", "class")])
def test_directive_says_what_is_wrong(built, text, reason):
    said, _ = built(text)
    assert reason in said and "page.rst:4" in said


# ---- the formulas -------------------------------------------------------------------------------

SETUP = """async () => {
  window.S = await import('/live/sampler.mjs');
  const worker = new Worker('/live/worker.mjs', {type: 'module'}), waiting = new Map();
  let count = 0;
  worker.onmessage = ({data}) => {
    const {frames, resolve, reject} = waiting.get(data.id) ?? {};
    if (!resolve) return;
    if (data.kind === 'frame') return frames.push(data);
    waiting.delete(data.id);
    data.kind === 'error' ? reject(new Error(data.text)) : resolve({...data, frames});
  };
  window.call = task => new Promise((resolve, reject) => {
    waiting.set(++count, {frames: [], resolve, reject});
    worker.postMessage({id: count, ...task});
  });
  const start = performance.now();
  await call({task: 'load'});
  return performance.now() - start;
}"""
RUN = """async task => {
  const {kind, x, ms, frames} = await call(task);
  return {kind, x: Array.from(x ?? []), ms, frames: frames.map(f => ({t: f.t, xt: Array.from(f.xt), x0: f.x0 && Array.from(f.x0)}))};
}"""
BRIEF = "async task => { const {x, ms} = await call(task); return {x: Array.from(x), ms}; }"


@pytest.fixture(scope="module")
def page(browser, address):
    "A page of the site with the worker ready."
    context = browser.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(address + "book/index.html")
    page.evaluate(SETUP)
    yield page
    context.close()


@pytest.fixture(scope="module")
def net():
    return pretrained.load("mnist-cond")


def test_times(page):
    for T, counts in ((7, range(1, 8)), (700, [3, 20, 32]), (1000, [*range(1, 41), 48, 80, 333, 1000])):   # halves are rounded at 16, 48, 80
        assert page.evaluate("([T, counts]) => counts.map(n => S.spaced(T, n))", [T, [*counts]]) == [spaced(T, n) for n in counts]
    assert page.evaluate("() => S.strides([900, 500, 20])") == [[900, 500], [500, 20], [20, 0]]


def test_formulas(page, net):
    g, abar = torch.Generator().manual_seed(0), net.sched.abar.tolist()
    a, b = torch.randn(2, 50, generator=g)
    near = dict(atol=2e-6, rtol=2e-5)
    for t in (1, 2, 37, 500, 990):
        for f in (q_sample, x0_from_eps, eps_from_x0, x0_from_v, eps_from_v):
            js = page.evaluate("([name, abar, a, t, b]) => Array.from(S[name](abar, Float32Array.from(a), t, Float32Array.from(b)))",
                               [f.__name__, abar, a.tolist(), t, b.tolist()])
            torch.testing.assert_close(torch.tensor(js), f(net.sched, a, t, b), **near)
        for s in {0, t//2, t - 1}:
            js = page.evaluate("([abar, t, s]) => [S.reverse_var(abar, t, s), S.ddim_sigma(abar, t, s, .3)]", [abar, t, s])
            assert js == pytest.approx([reverse_var(net.sched, t, s), ddim_sigma(net.sched, t, s, .3)], rel=1e-12)


MADE_UP = """async ([kind, predicts, abar, x, times, eta, scale, given]) => {
  const network = (xt, t, y) => xt.map((v, i) => .5*v + .4*Math.sin(.01*t + 3*y[Math.floor(i*y.length/xt.length)]));
  let model = S.denoiser(network, abar, predicts), k = 0;
  const noise = () => Float32Array.from(given[k++]), start = Float32Array.from(x), out = [];
  model = kind === 'encode' ? (told => (xt, t) => told(xt, t, [1, 2]))(model) : S.clipped(S.classifier_free_guidance(model, [1, 2], 10, scale), abar);
  const steps = kind === 'encode' ? S.encode_steps(model, abar, start, times) : S.ddim_steps(model, abar, start, times, eta, noise);
  for await (const {t, s, xs, x0} of steps) out.push({t, s, xs: Array.from(xs), x0: Array.from(x0)});
  return out;
}"""


def with_noise(update, given):
    "A sampler's update that takes its noise from a list."
    noises = iter(given)
    return lambda denoise, x, t, s, noise: update(denoise, x, t, s, lambda: next(noises).reshape(x.shape).clone())


@pytest.mark.parametrize("predicts", ["eps", "x0", "v"])
@pytest.mark.parametrize("kind, eta, scale", [("ddim", 0., 1.), ("ddim", .7, 2.5), ("ddpm", 1., 0.), ("encode", 0., 1.)])
def test_samplers(page, net, kind, predicts, eta, scale):
    "Every step of a made-up network, which no picture hides."
    g, times, y = torch.Generator().manual_seed(1), spaced(1000, 9)[1:], torch.tensor([1, 2])
    x, given = torch.randn(2, 6, generator=g), torch.randn(9, 12, generator=g)
    js = page.evaluate(MADE_UP, [kind, predicts, net.sched.abar.tolist(), x.flatten().tolist(), times, eta, scale, given.tolist()])

    def network(xt, t, y): return .5*xt + .4*torch.sin(.01*t.double() + 3*y)[:, None]
    told = denoiser(network, net.sched, predicts)
    if kind == "encode":
        steps = encode_steps(lambda xt, t: told(xt, t, y), net.sched, x.double(), times)
    else:
        model = clipped(classifier_free_guidance(told, y, 10, scale), net.sched)
        update = ddpm_update(net.sched) if kind == "ddpm" else ddim_update(net.sched, eta)
        steps = walk(with_noise(update, given.double()), model, x.double(), strides(net.sched, times))
    steps = list(steps)
    assert [(j["t"], j["s"]) for j in js] == [(step.t, step.s) for step in steps]
    for j, step in zip(js, steps):
        for name in ("xs", "x0"):
            torch.testing.assert_close(torch.tensor(j[name]).double(), getattr(step, name).flatten(), atol=1e-4, rtol=1e-4)


def test_noise_is_standard_normal(page):
    "Moments of forty thousand numbers; streams and seeds that have nothing to do with each other."
    draw = "([seed, stream]) => Array.from(S.normal(40000, [S.generator(seed, stream)]))"
    a, again, b, c = (torch.tensor(page.evaluate(draw, pair)).double() for pair in ([1, 0], [1, 0], [1, 1], [2, 0]))
    assert (a == again).all()
    n = len(a)
    for x in (a, b, c):
        assert abs(x.mean()) < 4/n**.5 and abs(x.var() - 1) < 4*(2/n)**.5
        assert abs((x**3).mean()) < 4*(15/n)**.5 and abs((x**4).mean() - 3) < 4*(96/n)**.5
        assert abs((x[1:]*x[:-1]).mean()) < 4/n**.5
        for level in (.5, 1., 2., 3.):
            p = torch.special.ndtr(torch.tensor(-level)).double()
            assert abs((x > level).double().mean() - p) < 4*(p/n)**.5
    for x, y in ((a, b), (a, c), (b, c)): assert abs((x*y).mean()) < 4/n**.5


# ---- the network in the browser ------------------------------------------------------------------

def noises(page, seed, n, steps):
    "The numbers that the page draws: x_T, and the noise of each step, (steps + 1, n, 1, 28, 28)."
    drawn = page.evaluate("""([seed, n, steps]) => {
      const generators = Array.from({length: n}, (_, k) => S.generator(seed, k));
      return Array.from({length: steps + 1}, () => Array.from(S.normal(784, generators)));
    }""", [seed, n, steps])
    return torch.tensor(drawn).reshape(-1, n, 1, 28, 28)


@pytest.mark.parametrize("eta, scale, ddpm", [(0., 1., False), (.7, 2.5, False), (1., 1., True)])
def test_trajectory(page, net, eta, scale, ddpm):
    "From the same noise the page and d2c go the same way, through every x_t and every guess."
    y, times = torch.tensor([3, 8]), spaced(1000, 15)
    js = page.evaluate(RUN, dict(task="sample", y=y.tolist(), steps=15, eta=eta, scale=scale, seed=7))
    xT, *given = noises(page, 7, 2, 15)
    model = clipped(classifier_free_guidance(net.denoiser(), y, 10, scale), net.sched)
    update = ddpm_update(net.sched) if ddpm else ddim_update(net.sched, eta)
    steps = list(walk(with_noise(update, given), model, xT, strides(net.sched, times)))
    assert [frame["t"] for frame in js["frames"]] == [*times, 0]
    xt = xT
    for frame, step in zip(js["frames"], steps):
        assert (torch.tensor(frame["xt"]).reshape(xt.shape) - xt).abs().max() < 1e-3
        assert (torch.tensor(frame["x0"]).reshape(xt.shape) - step.x0).abs().max() < 1e-3
        xt = step.xs
    assert (torch.tensor(js["x"]).reshape(xt.shape) - xt).abs().max() < 1e-3


def test_noised_and_back(page, net):
    "A digit noised to t and taken back; the way up is the forward process."
    x0, y, t = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))*2 - 1, torch.tensor([3, 3]), 600
    js = page.evaluate(RUN.replace("call(task)", "call({...task, x0: Float32Array.from(task.x0)})"),
                       dict(task="noise", x0=x0.flatten().tolist(), t=t, y=y.tolist(), steps=8, eta=1, scale=1.5, seed=2))
    eps, *given = noises(page, 2, 2, 8)
    up = js["frames"][:8]
    assert [frame["t"] for frame in up] == [0, *reversed(spaced(t, 8)[1:])]
    for frame in up:
        want = q_sample(net.sched, x0.expand(2, 1, 28, 28), frame["t"], eps)
        assert (torch.tensor(frame["xt"]) - want.flatten()).abs().max() < 1e-5
    model = clipped(classifier_free_guidance(net.denoiser(), y, 10, 1.5), net.sched)
    xt = q_sample(net.sched, x0.expand(2, 1, 28, 28), t, eps)
    back = sample(walk(with_noise(ddim_update(net.sched, 1.), given), model, xt, strides(net.sched, spaced(t, 8))))
    assert (torch.tensor(js["x"]) - back.flatten()).abs().max() < 1e-3


def test_encoded_and_decoded(page, net):
    "The page's round trip is d2c's, and in many steps the digit comes back."
    digit, times = "Float32Array.from((await call({task: 'load'})).digits.slice(4*784, 5*784))", spaced(1000, 12)
    run = RUN.replace("call(task)", f"call({{...task, x0: {digit}}})")
    js = page.evaluate(run, dict(task="encode", y=[4], steps=12))
    x0 = torch.tensor(js["frames"][0]["xt"]).reshape(1, 1, 28, 28)
    model = net.denoiser(4)
    code = sample(encode_steps(model, net.sched, x0, times))
    back = sample(ddim_steps(model, net.sched, code, times))
    assert (torch.tensor(js["frames"][12]["xt"]) - code.flatten()).abs().max() < 1e-3
    assert (torch.tensor(js["x"]) - back.flatten()).abs().max() < 1e-3
    finer = page.evaluate(run, dict(task="encode", y=[4], steps=40))
    error = [(torch.tensor(run["x"]) - x0.flatten()).square().mean().sqrt() for run in (js, finer)]
    assert error[1] < .08 and error[1] < error[0]


def test_same_seed_same_digits(page):
    def run(y, seed): return page.evaluate(BRIEF, dict(task="sample", y=y, steps=6, eta=1, scale=1.5, seed=seed))["x"]
    first = run([1, 2, 3], 5)
    assert run([1, 2, 3], 5) == first != run([1, 2, 3], 6)
    alone = torch.tensor(run([1], 5)) - torch.tensor(first[:784])
    assert alone.abs().max() < 1e-4, "a picture depends on its neighbours"


def test_the_judge_recognises_what_the_page_draws(page):
    y = [k % 10 for k in range(64)]
    drawn = page.evaluate(BRIEF, dict(task="sample", y=y, steps=10, eta=1, scale=1.5, seed=1))["x"]
    with torch.no_grad(): named = pretrained.load("mnist-classifier").model(torch.tensor(drawn).reshape(64, 1, 28, 28), 0).argmax(1)
    assert (named == torch.tensor(y)).float().mean() >= .95


def best_of(tries, enough, measure):
    "The least of a few measurements: what else runs on the machine only adds."
    least = float("inf")
    for _ in range(tries):
        least = min(least, measure())
        if least < enough: break
    return least


def test_four_guided_digits_take_seconds(page):
    task = dict(task="sample", y=[0, 1, 2, 3], steps=20, eta=0, scale=2, seed=1)
    assert best_of(3, 5000, lambda: page.evaluate(BRIEF, task)["ms"]) < 5000


# ---- the figures --------------------------------------------------------------------------------

def figure(tab, kind="sample"):
    return tab.locator(f"figure.live:has(.live-{kind})").first


def opened(tab, address, page, kind="sample", **values):
    "A figure before the click, with other values than its page gives it."
    tab.goto(address + page)
    live = figure(tab, kind)
    live.evaluate("""(figure, values) => {
      const options = JSON.parse(figure.dataset.options);
      figure.dataset.options = JSON.stringify({...options, values: {...options.values, ...values}});
    }""", values)
    return live


def click(tab, *place, **values):
    "A live figure that has drawn once; its film has no pace."
    tab.emulate_media(reduced_motion="reduce")
    live = opened(tab, *place, **values)
    live.locator(".live-start").click()
    finished(tab, live)
    return live


def finished(tab, live, state="done"):
    tab.wait_for_function("([figure, state]) => [state, 'error'].includes(figure.dataset.state)", arg=[live.element_handle(), state])
    assert live.get_attribute("data-state") == state, live.locator("[role=status]").inner_text()


SHOWN = """figure => [...figure.querySelectorAll('canvas')].map(c => {
  const {data} = c.getContext('2d').getImageData(0, 0, c.width, c.height);
  return {width: c.width, height: c.height, pixels: Array.from({length: data.length/4}, (_, i) => data[4*i])};
})"""


def shown(live):
    "What the canvases of a figure show, in [−1, 1]."
    return [torch.tensor(c["pixels"]).reshape(c["height"], c["width"])/127.5 - 1 for c in live.evaluate(SHOWN)]


def test_the_book_has_its_figures():
    assert set(PAGES) >= {"book/index.html", "nbs/ddpm.html", "nbs/ddim.html"} and any("guidance" in page for page in PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_before_the_click_only_films_are_loaded(name, tab, address):
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(address + name)
    for live in tab.locator("figure.live").all():
        live.scroll_into_view_if_needed()
        assert live.locator(".live-start").is_visible()
    tab.wait_for_timeout(300)
    files = {url.removeprefix(address) for url in asked if "/live/" in url}
    assert files and all(file.endswith(".webp") for file in files), files
    assert not [url for url in asked if "ort" in url.rsplit("/")[-1] or ".wasm" in url or ".onnx" in url]


def test_ready_in_five_seconds(tab, address):
    def measure():
        tab.goto(address + "book/index.html")
        return tab.evaluate("""() => new Promise(resolve => {
          const figure = document.querySelector('figure.live'), start = performance.now();
          new MutationObserver(() => { if (figure.dataset.state === 'running') resolve(performance.now() - start); })
            .observe(figure, {attributes: true});
          figure.querySelector('.live-start').click();
        })""")
    assert best_of(3, 5000, measure) < 5000


def test_page_stays_responsive(tab, address):
    "No task of a page's own thread needs 50 ms of the processor, from the press of the button until the film goes on."
    live = click(tab, address, "nbs/guidance_digits.html", steps=8)
    tab.emulate_media(reduced_motion="no-preference")
    browser = tab.context.browser
    browser.start_tracing(page=tab, categories=["toplevel"])
    live.locator(".live-buttons button").first.click()
    tab.wait_for_function("figure => +figure.querySelector('.live-time input').max === 8", arg=live.element_handle())
    finished(tab, live)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    threads = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"}
    tasks = [e["tdur"]/1000 for e in events if (e["pid"], e["tid"]) in threads and "tdur" in e]
    assert len(tasks) > 50 and max(tasks) < 50
    assert not tab.errors and not tab.foreign


def test_figure_shows_what_the_worker_draws(tab, address, page):
    "The last frame is the worker's picture, and the slider goes back to noise."
    live = click(tab, address, "book/index.html", steps=5)
    options = json.loads(live.get_attribute("data-options"))["values"]
    drawn = page.evaluate(BRIEF, dict(task="sample", y=list(range(10)), **{k: options[k] for k in ("steps", "eta", "scale", "seed")}))["x"]
    grid = torch.tensor(drawn).reshape(2, 5, 28, 28).transpose(1, 2).reshape(56, 140)
    xt, x0 = shown(live)
    assert (xt - grid).abs().max() < .01 and (x0 - grid).abs().max() < .01
    slider = live.locator(".live-time input")
    slider.press("Home")
    assert live.locator(".live-time .live-value").inner_text() == "t = 1000"
    noise, _ = shown(live)
    assert (noise - noises(page, options["seed"], 10, 0)[0].reshape(2, 5, 28, 28).transpose(1, 2).reshape(56, 140).clamp(-1, 1)).abs().max() < .01


def test_keyboard_alone(tab, address):
    live = opened(tab, address, "nbs/ddim.html", count=1, steps=5)
    start = live.locator(".live-start")
    start.focus()
    tab.keyboard.press("Enter")
    finished(tab, live)
    assert live.evaluate("figure => document.activeElement.closest('figure') === figure"), "the focus was lost"
    before = shown(live)[0]
    seed = live.get_by_label("seed")
    seed.focus()
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("Tab")
    finished(tab, live)
    assert not torch.equal(before, shown(live)[0])
    for box in live.locator("input, select, button").all():
        assert box.evaluate("e => (e.labels?.[0] ?? e).textContent.trim()"), "a control has no name"


def test_stop(tab, address):
    live = click(tab, address, "nbs/ddpm.html", count=1, steps=5)
    play = live.locator(".live-buttons button").first
    live.get_by_label("steps").evaluate("input => { input.value = 100; }")
    play.click()
    assert play.inner_text() == "Stop"
    play.click()
    assert live.get_attribute("data-state") == "stopped" and live.locator("[role=status]").inner_text() == "Stopped."
    play.click()
    finished(tab, live)


def draw(tab, canvas, strokes):
    "Strokes with the mouse, in hundredths of the pad."
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for stroke in strokes:
        places = [(box["x"] + box["width"]*u/100, box["y"] + box["height"]*v/100) for u, v in stroke]
        tab.mouse.move(*places[0])
        tab.mouse.down()
        for place in places[1:]: tab.mouse.move(*place, steps=5)
        tab.mouse.up()


def test_a_drawn_digit_comes_back(tab, address):
    "A seven drawn off the middle is centred, noised and recognised when it is back."
    live = click(tab, address, "nbs/ddpm.html", "noise", t=400, steps=10)
    live.get_by_role("button", name="Clear the pad").click()
    live.locator(".live-buttons button").first.click()
    assert "Draw a digit" in live.locator("[role=status]").inner_text()
    draw(tab, live.locator("canvas").first, [[(10, 10), (60, 10), (30, 75)]])
    tab.wait_for_function("figure => figure.dataset.state === 'running'", arg=live.element_handle(), timeout=20_000)
    finished(tab, live)
    assert live.locator("select[name=digit]").input_value() == "drawn"
    judge = pretrained.load("mnist-classifier").model
    back = shown(live)[1].reshape(2, 28, 2, 28).transpose(1, 2).reshape(4, 1, 28, 28)
    with torch.no_grad(): assert (judge(back, 0).argmax(1) == 7).sum() >= 3
    live.locator(".live-time input").press("Home")
    start = shown(live)[1][:28, :28] + 1
    place = torch.arange(28.)
    centre = [(start.sum(k)*place).sum()/start.sum() for k in (0, 1)]
    assert all(abs(c - 13.5) < .7 for c in centre), "its centre of mass is not in the middle"
    rows = (start > .5).any(1).nonzero()
    assert 18 <= rows.max() - rows.min() + 1 <= 22, "it is not as high as MNIST's"


def test_round_trip_in_the_figure(tab, address):
    live = click(tab, address, "nbs/ddim.html", "encode", steps=10)
    error = float(re.search(r"off by ([\d.]+)", live.locator("[role=status]").inner_text())[1])
    pad, xt, _ = shown(live)
    digit = pad.reshape(28, 10, 28, 10).mean((1, 3))
    assert abs((xt - digit).square().mean().sqrt() - error) < .01 and 0 < error < .1


# ---- where it cannot run --------------------------------------------------------------------------

def sentence(live):
    text = live.locator("[role=status]").inner_text()
    assert text.endswith(".") and "film was recorded" in text, text
    return text


def test_from_the_file_system(browser):
    tab = browser.new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto((SITE / "nbs" / "ddpm.html").as_uri())
    for live in tab.locator("figure.live").all():
        assert "file system" in sentence(live) and not live.locator(".live-start").is_visible()
        assert live.locator(".live-screen").first.evaluate("""async e => {
          const image = new Image();
          image.src = getComputedStyle(e).backgroundImage.slice(5, -2);
          await image.decode();
          return image.width;
        }""") > 100
    assert not errors
    tab.close()


def test_without_scripts(browser, address):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(address + "book/index.html")
    sentence(tab.locator("figure.live"))
    assert not tab.locator(".live-start").is_visible()
    context.close()


def test_without_webassembly(tab, address):
    tab.add_init_script("delete window.WebAssembly")
    tab.goto(address + "book/index.html")
    assert "lacks WebAssembly" in sentence(figure(tab)) and not figure(tab).locator(".live-start").is_visible()
    assert not tab.errors


@pytest.mark.parametrize("missing", ["*.wasm.gz", "worker.mjs", "demo.mjs", "*.onnx"])
def test_what_is_missing_is_said(tab, address, missing):
    tab.context.route(f"**/live/**/{missing}", lambda route: route.fulfill(status=404, body="not here"))
    tab.context.route(f"**/live/{missing}", lambda route: route.fulfill(status=404, body="not here"))
    tab.goto(address + "book/index.html")
    live = figure(tab)
    live.locator(".live-start").click()
    tab.wait_for_function("figure => figure.dataset.state === 'error'", arg=live.element_handle())
    assert "could not be run here" in sentence(live) and live.locator(".live-start").is_enabled()
    assert live.locator(".live-screen").first.is_visible(), "the film has gone"


def test_an_error_on_the_way_is_said_and_forgotten(tab, address):
    live = click(tab, address, "book/index.html", count=1, steps=2)
    tab.evaluate("""() => {
      window.post = Worker.prototype.postMessage;
      Worker.prototype.postMessage = function(task) { post.call(this, task.task === 'sample' ? {...task, task: 'sing'} : task); };
    }""")
    button = live.locator(".live-buttons button").first
    button.click()
    finished(tab, live, "stopped")
    assert "could not be run here" in live.locator("[role=status]").inner_text()
    tab.evaluate("() => { Worker.prototype.postMessage = post; }")
    button.click()
    finished(tab, live)


def test_motion_only_where_it_is_wanted(tab, address):
    tab.emulate_media(reduced_motion="reduce")
    tab.goto(address + "book/index.html")
    screen = figure(tab).locator(".live-screen").first
    screen.scroll_into_view_if_needed()
    tab.wait_for_timeout(100)
    assert screen.evaluate("e => getComputedStyle(e).animationName") == "none"
