"""The form on the page of conventions: what is typed in one convention reads as `d2c.conventions` says in all others."""
import math

import pytest
import torch
from conftest import SITE
from d2c import conventions, schedule
from d2c.conventions import level, made_of, predicted, rescale, time_at

SCHEDULES = {"linear": schedule.linear(), "cosine": schedule.cosine(), "scaled_linear": conventions.scaled_linear()}
PREDICTIONS = ("x0", "eps", "v", "velocity", "F", "score")


@pytest.fixture(scope="module")
def page(browser, address):
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address + "nbs/conventions.html")
    page.wait_for_selector(".translator form:not([hidden])")
    yield page
    assert not errors
    page.close()


@pytest.fixture
def form(page):
    "The page, with the form as it is at first; its fields are read and typed with `read` and `fill`."
    for name, value in (("schedule", "linear"), ("t", 501), ("vp", .5), ("eps", 1), ("scale", 1.5)): fill(page, name, value)
    return page


def fill(form, name, value):
    if name == "schedule": form.select_option(".translator [name=schedule]", value)
    else: form.fill(f".translator [name={name}]", str(value))


def read(form, name):
    text = form.input_value(f".translator [name={name}]").replace("−", "-").replace("∞", "inf")
    return float(text) if text else math.nan


def says(form):
    return form.inner_text(".translator-says")


def close(a, b):
    return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) or math.isnan(a) and math.isnan(b)


def levels(sched, varsigma):
    "All names of a noise level."
    try: t = time_at(sched, varsigma)
    except ValueError: t = math.nan
    return {"t": t, "timestep": t - 1, "c_noise": level(varsigma, "varsigma", "logsnr")/-8,
            **{kind: level(varsigma, "varsigma", kind) for kind in conventions.LEVELS}}


@pytest.mark.parametrize("name", SCHEDULES)
def test_times(name, form):
    sched = SCHEDULES[name]
    fill(form, "schedule", name)
    for field, typed, t in (("t", 1, 1), ("timestep", 500, 501), ("t", 1000, 1000), ("timestep", 0, 1)):
        fill(form, field, typed)
        for kind, value in levels(sched, level(sched.at(t))).items():
            assert close(read(form, kind), value), (kind, read(form, kind), value)


@pytest.mark.parametrize("kind, values", [("abar", (.999, .5, 1e-5)), ("alpha", (.9, .1)), ("noise", (0.1, .99)), ("varsigma", (.002, 1, 80)),
                                          ("c_noise", (-1.5, 1.)), ("logsnr", (12, "−3", -11)), ("half", (2, -4)), ("u", (.1, ".775", .99)),
                                          ("one_minus_u", (.9, .02))])
def test_levels(kind, values, form):
    for value in values:
        fill(form, kind, value)
        v = float(str(value).replace("−", "-"))
        varsigma = math.exp(4*v) if kind == "c_noise" else level(v, kind)
        for other, want in levels(SCHEDULES["linear"], varsigma).items():
            if other != kind: assert close(read(form, other), want), (value, other, read(form, other), want)


def test_time_stays_when_the_schedule_changes(form):
    fill(form, "timestep", 300)
    fill(form, "schedule", "cosine")
    assert read(form, "timestep") == 300 and close(read(form, "abar"), SCHEDULES["cosine"].at(301))
    fill(form, "varsigma", 2)
    fill(form, "schedule", "linear")
    assert read(form, "varsigma") == 2 and close(read(form, "t"), time_at(SCHEDULES["linear"], 2.))


@pytest.mark.parametrize("t", (2, 400, 990))
def test_predictions(t, form):
    varsigma, x = level(SCHEDULES["linear"].at(t)), torch.tensor([.7], dtype=torch.float64)
    fill(form, "t", t)
    for process in ("vp", "ve", "flow"):
        fill(form, process, rescale(x, varsigma, "vp", process).item())
        for other in ("vp", "ve", "flow"):
            assert close(read(form, other), rescale(x, varsigma, "vp", other).item())
        for kind in PREDICTIONS:
            for y in (-.3, 1.2):
                fill(form, kind, y)
                guess = made_of(x, torch.tensor([y], dtype=torch.float64), kind, varsigma)
                for other in PREDICTIONS:
                    assert close(read(form, other), predicted(*guess, other, varsigma).item()), (kind, other)


def test_guidance(form):
    for scale in (0., 1., 7.5):
        fill(form, "scale", scale)
        assert read(form, "w") == conventions.w_from_scale(scale)
        fill(form, "w", scale)
        assert read(form, "scale") == conventions.scale_from_w(scale)


@pytest.mark.parametrize("name, text, sentence", [
    ("t", "0", "“t” is a whole number from 1 to 1000; t = 0 is the clean image, without noise."),
    ("t", "500.5", "“t” is a whole number from 1 to 1000."), ("timestep", "1000", "“timestep” is a whole number from 0 to 999."),
    ("abar", "1.2", "There is no noise level 1.2 here: the value must be above 0 and at most 1."),
    ("u", "1", "There is no noise level 1 here: the value must be at least 0 and below 1."),
    ("varsigma", "-1", "There is no noise level −1 here: the value must be 0 or more."),
    ("eps", "much", "“much” is not a number."), ("w", "", "Type a number."), ("logsnr", "−∞", "There is no noise level −∞ here: the value must be any number.")])
def test_bad_input_gets_one_sentence_and_changes_nothing(name, text, sentence, form):
    before = {kind: read(form, kind) for kind in ("t", "abar", "x0", "scale") if kind != name}
    fill(form, name, text)
    assert says(form) == sentence
    assert form.get_attribute(f".translator [name={name}]", "aria-invalid") == "true"
    assert before == {kind: read(form, kind) for kind in before}
    fill(form, "t", 10)
    assert says(form).startswith("ς = ") and not form.query_selector(".translator [aria-invalid]")


def test_a_level_without_noise(form):
    fill(form, "varsigma", 0)
    assert read(form, "logsnr") == math.inf and read(form, "abar") == 1 and math.isnan(read(form, "t"))
    fill(form, "x0", 1)
    assert says(form) == "Without noise in the sample this does not say what the noise is."


def test_every_field_has_a_label_and_the_answer_is_announced(form):
    assert form.evaluate("() => [...document.querySelectorAll('.translator input, .translator select')].every(e => e.labels.length == 1)")
    assert form.get_attribute(".translator-says", "aria-live") == "polite"


def test_without_scripts_a_table_stands_there(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + "nbs/conventions.html")
    assert not page.is_visible(".translator form")
    rows = page.locator(".translator table tr").all_inner_texts()
    row = next(row for row in rows if row.startswith("timestep"))
    assert row.split()[-5:] == ["0", "249", "499", "749", "999"]
    row = next(row for row in rows if "alphas_cumprod" in row)
    for text, t in zip(row.split()[-5:], (1, 250, 500, 750, 1000)):
        assert math.isclose(float(text), SCHEDULES["linear"].at(t), rel_tol=1e-3)
    context.close()


def test_works_from_the_file_system(browser):
    page = browser.new_page()
    page.goto((SITE / "nbs" / "conventions.html").as_uri())
    page.wait_for_selector(".translator form:not([hidden])")
    fill(page, "abar", .25)
    assert close(read(page, "varsigma"), 3**.5)
    page.close()
