"""The catalogues of `d2c.tables`, each entry planted in three implementations that have nothing in common.

By hand: Python's floats and loops. With arrays: NumPy in float32, as guided-diffusion has it. With peers: this library's
functions and diffusers' schedulers, with the mistake made around them or in a subclass.
"""
import functools
import itertools
import math
import random

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler
from diffusers.schedulers.scheduling_ddpm import betas_for_alpha_bar, rescale_zero_terminal_snr
from torch.optim.swa_utils import AveragedModel
from torchvision.transforms.functional import to_tensor
from d2c import tables
from d2c.conventions import scaled_linear
from d2c.data import mnist, normalise
from d2c.forward import q_sample
from d2c.schedule import Schedule, cosine, linear, sigmoid, zero_terminal_snr
from d2c.training import ema_decay

ENDS = {"linear": (1e-4, .02), "scaled linear": (.00085, .012), "Karras": (.002, 80.)}
SWAPPED_ENDS = {"linear": ("other ends", ENDS["scaled linear"]), "scaled linear": ("DDPM's ends", ENDS["linear"])}


# ---- schedules, three times ----

def by_hand(recipe, T, kind, zero, clean, wrong):
    n = T + ("a step too many" in wrong)
    sig = lambda z: 1/(1 + math.exp(-z))
    beta = []
    if recipe in ENDS:
        lo, hi = ENDS[recipe]
        if recipe in SWAPPED_ENDS and SWAPPED_ENDS[recipe][0] in wrong: lo, hi = SWAPPED_ENDS[recipe][1]
        if recipe != "Karras" and "ends not scaled" not in wrong: lo, hi = lo*1000/T, hi*1000/T
        rho = {"linear": 1, "scaled linear": 2, "Karras": 7}[recipe]
        if "√β spaced evenly" in wrong: rho = 2
        if "β spaced evenly" in wrong or "ς spaced evenly" in wrong: rho = 1
        if "ρ upside down" in wrong: rho = 1/7
        before = 1.
        for i in range(n):
            u = i/n if "end left out" in wrong else (i + 1)/n if "start left out" in wrong else i/(n - 1)
            if "ends swapped" in wrong: u = 1 - u
            y = ((1 - u)*lo**(1/rho) + u*hi**(1/rho))**rho
            if recipe == "Karras": y, before = 1 - (1/(1 + y*y))/before, 1/(1 + y*y)
            beta.append(y)
    else:
        s = 0. if "offset missing" in wrong else .08 if "offset of 0.08" in wrong else .008
        def f(t):
            u = t/(n + 1) if "stops before its end" in wrong else t/n
            if recipe == "sigmoid": return sig(3) - sig(6*u - 3)
            if "stops at 0.9946" in wrong: u = min(u, .9946)
            return math.cos((u + s)/(1 if "1 + s missing" in wrong else 1 + s)*math.pi/2)**(1 if "square missing" in wrong else 2)
        for t in range(1, n + 1):
            b = 1 - f(t)/f(t - 1)
            if t == 1 and "not divided by f(0)" in wrong: b = 1 - f(1)
            if "not capped" not in wrong: b = min(b, .9999 if "capped at 0.9999" in wrong else .999)
            b = max(b, 1e-4 if "capped below" in wrong else 0.)
            beta.append(b)
    abar, a, total = [1.], 1., 0.
    for b in beta:
        total += b
        if kind in ("betas", "alphas"): a *= 1 - b
        elif "a sum for the product" in wrong: a = 1 - total
        elif "an exponential for the product" in wrong: a = math.exp(-total)
        elif "β multiplied" in wrong: a *= b
        elif "α for ᾱ" in wrong: a = 1 - b
        else: a *= 1 - b
        abar.append(a)
    if (zero or "rescaled" in wrong) and "not rescaled" not in wrong:
        if "last entry set to 0" in wrong: abar[-1] = 0.
        else:
            power = 1 if "ᾱ rescaled" in wrong else .5
            first, last = abar[0 if "anchored at the clean image" in wrong else 1]**power, abar[-1]**power
            for t in range(1, len(abar)):
                r = abar[t]**power
                if "not shifted" not in wrong: r -= last
                if "not stretched" not in wrong: r *= first/(first - last)
                abar[t] = r**(1/power)
    values = []
    for t in range(len(abar)):
        a, b = abar[t], abar[t]/abar[t - 1] if t and abar[t - 1] else 1.
        if kind == "betas": v = 1 - b
        if kind == "alphas": v = b
        if kind == "alphas_cumprod": v = a
        if kind == "sqrt_alphas_cumprod": v = a**.5
        if kind == "sqrt_one_minus_alphas_cumprod":
            v = 1 - a**.5 if "1 − √ᾱ" in wrong else math.sqrt((1 - a)/a) if a and "ς for the noise" in wrong else math.sqrt(1 - a)
        if kind == "sigmas": v = math.sqrt(1 - a) if "noise for ς" in wrong else math.sqrt((1 - a)/a) if a else math.inf
        if kind == "logsnr": v = math.inf if a == 1 else -math.inf if a == 0 else math.log(a/(1 - a))
        if "a root too many" in wrong: v = math.copysign(abs(v)**.5, v)
        if "a root missing" in wrong: v = v**2
        if "1 minus it" in wrong: v = 1 - v
        if "half of it" in wrong: v /= 2
        if "its negative" in wrong: v = -v
        if "decimal logarithm" in wrong: v /= math.log(10)
        values.append(v)
    head = values[:1] if clean else []
    if "one step too late" in wrong: values = values[:-1]
    elif "one step too early" in wrong: values = head + values[2:] + values[-1:]
    elif "clean image at the end" in wrong: values = values[2:] + values[:1]
    elif "first step missing" in wrong: values = head + values[2:]
    elif "last step missing" in wrong: values = (head + values[1:])[:-1]
    else: values = head + values[1:]
    if "backwards" in wrong: values = values[::-1]
    if "four decimals" in wrong: values = [round(v, 4) for v in values]
    if "float16" in wrong: values = np.array(values, dtype=np.float16).tolist()
    if "bfloat16" in wrong: values = torch.tensor(values, dtype=torch.float64).to(torch.bfloat16)
    return values


def with_arrays(recipe, T, kind, zero, clean, wrong):
    has, n, pi = wrong.__contains__, T + ("a step too many" in wrong), np.pi
    if recipe in ENDS:
        lo, hi = SWAPPED_ENDS[recipe][1] if recipe in SWAPPED_ENDS and has(SWAPPED_ENDS[recipe][0]) else ENDS[recipe]
        if recipe != "Karras" and not has("ends not scaled"): lo, hi = 1000/T*lo, 1000/T*hi
        if has("ends swapped"): lo, hi = hi, lo
        rho = dict(linear=2 if has("√β spaced evenly") else 1, Karras=1 if has("ς spaced evenly") else 1/7 if has("ρ upside down") else 7)
        rho = rho.get(recipe, 1 if has("β spaced evenly") else 2)
        ramp = np.linspace(lo**(1/rho), hi**(1/rho), n + has("start left out"), endpoint=not has("end left out"))[has("start left out"):]
        if has("start left out"): ramp = np.linspace(lo**(1/rho), hi**(1/rho), n + 1)[1:]
        betas = ramp**rho
        if recipe == "Karras": bars = 1/(1 + betas**2); betas = 1 - bars/np.append(1, bars[:-1])
    else:
        u = np.linspace(0, 1, n + 1) if not has("stops before its end") else np.linspace(0, n, n + 1)/(n + 1)
        if has("stops at 0.9946"): u = u.clip(None, .9946)
        s = 0 if has("offset missing") else .08 if has("offset of 0.08") else .008
        bars = np.cos((u + s)/(1 + s*(not has("1 + s missing")))*pi/2)**(2 - has("square missing"))
        if recipe == "sigmoid": bars = 1/(1 + np.exp(-3.)) - 1/(1 + np.exp(3 - 6*u))
        betas = 1 - bars[1:]/bars[:-1]
        if has("not divided by f(0)"): betas[0] = 1 - bars[1]
        betas = np.clip(betas, 1e-4 if has("capped below") else 0, 1 if has("not capped") else .9999 if has("capped at 0.9999") else .999)
    alphas = 1 - betas
    if kind in ("betas", "alphas"): acp = np.cumprod(alphas)
    elif has("a sum for the product"): acp = 1 - np.cumsum(betas)
    elif has("an exponential for the product"): acp = np.exp(-np.cumsum(betas))
    else: acp = alphas if has("α for ᾱ") else np.cumprod(betas if has("β multiplied") else alphas)
    if has("rescaled") or zero and not has("not rescaled"):
        if has("last entry set to 0"): acp[-1] = 0
        else:
            r = acp if has("ᾱ rescaled") else np.sqrt(acp)
            shift, start = r[-1], 1. if has("anchored at the clean image") else r[0]
            gain = 1 if has("not stretched") else start/(start - shift)
            r = gain*(r - (0 if has("not shifted") else shift))
            acp = r if has("ᾱ rescaled") else r**2
    acp = np.append(1, acp)
    kept = np.append(1, acp[1:]/acp[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        v = {"betas": 1 - kept, "alphas": kept, "alphas_cumprod": acp, "sqrt_alphas_cumprod": np.sqrt(acp),
             "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - acp), "sigmas": np.sqrt(1/acp - 1), "logsnr": np.log(acp/(1 - acp))}
        if has("1 − √ᾱ"): v[kind] = 1 - v["sqrt_alphas_cumprod"]
        v = v["sigmas"] if has("ς for the noise") else v["sqrt_one_minus_alphas_cumprod"] if has("noise for ς") else v[kind]
    if has("a root too many"): v = np.sign(v)*np.sqrt(abs(v))
    if has("a root missing"): v = v*v
    if has("1 minus it"): v = 1 - v
    if has("half of it"): v = .5*v
    if has("its negative"): v = 0 - v
    if has("decimal logarithm"): v = v/np.log(10)
    first, rest = v[:1][:clean], v[1:]
    if has("one step too late"): out = v[:-1]
    elif has("one step too early"): out = np.concatenate([first, np.roll(rest, -1)]); out[-1] = v[-1]
    elif has("clean image at the end"): out = np.roll(v, -1)[1:]; out = np.append(rest[1:], v[0])
    elif has("first step missing"): out = np.concatenate([first, rest[1:]])
    elif has("last step missing"): out = np.concatenate([first, rest[:-1]])
    else: out = np.concatenate([first, rest])
    if has("backwards"): out = out[::-1]
    if has("four decimals"): out = np.round(out, 4)
    if has("bfloat16"): return torch.tensor(out.copy()).bfloat16()
    return out.astype(np.float16 if has("float16") else np.float32)


class Mine(DDPMScheduler):
    "A scheduler of diffusers whose betas are given; it makes the other tables itself, in float32."
    def __init__(self, betas, wrong=()):
        super().__init__(trained_betas=betas.tolist(), num_train_timesteps=len(betas))
        if "a sum for the product" in wrong: self.alphas_cumprod = 1 - self.betas.cumsum(0)
        if "an exponential for the product" in wrong: self.alphas_cumprod = torch.exp(-torch.cumsum(self.betas, 0))
        if "β multiplied" in wrong: self.alphas_cumprod = torch.cumprod(self.betas, 0)
        if "α for ᾱ" in wrong: self.alphas_cumprod = self.alphas


def with_peers(recipe, T, kind, zero, clean, wrong):
    if "a step too many" in wrong: T += 1
    n, k = T, 1. if "ends not scaled" in wrong else 1000/(T - ("a step too many" in wrong))
    ours = {"linear": linear, "scaled linear": scaled_linear}
    made = None
    if recipe == "Karras":
        ramp = torch.linspace(0, 1, n, dtype=torch.float64)
        if "end left out" in wrong: ramp = torch.arange(n).double()/n
        if "start left out" in wrong: ramp = torch.arange(1, n + 1).double()/n
        lo, hi = ENDS[recipe]
        if "ends swapped" in wrong: lo, hi = hi, lo
        rho = 1 if "ς spaced evenly" in wrong else 1/7 if "ρ upside down" in wrong else 7
        sig = (hi**(1/rho) + (1 - ramp)*(lo**(1/rho) - hi**(1/rho)))**rho
        betas = 1 - (1 + torch.cat([torch.zeros(1), sig[:-1]])**2)/(1 + sig**2)
    elif recipe in ours:
        other = dict(linear="scaled linear").get(recipe, "linear")
        ends = ENDS[other if SWAPPED_ENDS[recipe][0] in wrong else recipe]
        which = ours[other if {"√β spaced evenly", "β spaced evenly"} & wrong else recipe]
        root = which is scaled_linear
        if "end left out" in wrong or "start left out" in wrong:
            up = (lambda b: b**.5) if root else (lambda b: b)
            grid = torch.linspace(up(k*ends[0]), up(k*ends[1]), n + 1, dtype=torch.float64)
            betas = (grid[:-1] if "end left out" in wrong else grid[1:])**(2 if root else 1)
        else: betas = which(n, k*ends[0], k*ends[1]).beta[1:]
        if "ends swapped" in wrong: betas = betas.flip(0)
    elif recipe == "cosine" and not wrong - {"capped at 0.9999", "not capped", "capped below"}:
        betas = betas_for_alpha_bar(n, .9999 if "capped at 0.9999" in wrong else 1. if "not capped" in wrong else .999).double()
        if "capped below" in wrong: betas = betas.clamp(min=1e-4)
    elif recipe == "cosine" and not wrong & {"1 + s missing", "square missing", "not divided by f(0)", "stops before its end", "stops at 0.9946"}:
        cap = 1. if "not capped" in wrong else .9999 if "capped at 0.9999" in wrong else .999
        made = cosine(n, s=0. if "offset missing" in wrong else .08 if "offset of 0.08" in wrong else .008, beta_max=cap)
        betas = made.beta[1:].clamp(min=1e-4 if "capped below" in wrong else 0.)
    else:
        def alpha_bar(u):
            if "stops at 0.9946" in wrong and u > .9946: u = .9946
            if recipe == "sigmoid": return torch.tensor([3, 6*u - 3], dtype=torch.float64).sigmoid().diff().neg().item()
            s = 0. if "offset missing" in wrong else .08 if "offset of 0.08" in wrong else .008
            angle = (u + s)*math.pi/2
            if "1 + s missing" not in wrong: angle /= 1 + s
            return math.cos(angle) if "square missing" in wrong else math.cos(angle)**2
        m = n + ("stops before its end" in wrong)
        betas = [1 - alpha_bar((i + 1)/m)/(1. if i == 0 and "not divided by f(0)" in wrong else alpha_bar(i/m)) for i in range(n)]
        cap = 1. if "not capped" in wrong else .9999 if "capped at 0.9999" in wrong else .999
        betas = torch.tensor([max(min(b, cap), 1e-4 if "capped below" in wrong else 0.) for b in betas], dtype=torch.float64)
    scheduler = Mine(betas, wrong if kind not in ("betas", "alphas") else ())
    acp = scheduler.alphas_cumprod
    if recipe == "Karras" or not wrong & {"a sum for the product", "an exponential for the product", "β multiplied", "α for ᾱ"} or kind in ("betas", "alphas"):
        acp = (1 - betas).cumprod(0)
        if not recipe == "Karras" and kind not in ("sqrt_one_minus_alphas_cumprod", "sigmas", "logsnr"): acp = scheduler.alphas_cumprod.double()
    else: acp = acp.double()
    betas = betas.double()
    if "rescaled" in wrong or zero and "not rescaled" not in wrong:
        special = wrong & {"ᾱ rescaled", "not shifted", "not stretched", "anchored at the clean image", "last entry set to 0"}
        if not special and kind in ("betas", "alphas"):
            betas = rescale_zero_terminal_snr(betas)
            acp = (1 - betas).cumprod(0)
        elif not special and (acp.diff() < 0).all() and acp[-1] > 0:
            acp = zero_terminal_snr(Schedule(torch.cat([torch.ones(1).double(), acp]))).abar[1:]
        elif "last entry set to 0" in wrong: acp = acp.clone(); acp[-1] = 0.
        else:
            r = acp.clone() if "ᾱ rescaled" in wrong else acp.sqrt()
            r0, rT = 1. if "anchored at the clean image" in wrong else r[0].item(), r[-1].item()
            if "not shifted" not in wrong: r -= rT
            if "not stretched" not in wrong: r *= r0/(r0 - rT)
            acp = r if "ᾱ rescaled" in wrong else r.square()
        betas = 1 - acp/torch.cat([torch.ones(1).double(), acp[:-1]])
    one = torch.ones(1).double()
    acp, betas = torch.cat([one, acp]), torch.cat([0*one, betas])
    v = {"betas": betas, "alphas": 1 - betas, "alphas_cumprod": acp, "sqrt_alphas_cumprod": acp.sqrt(), "logsnr": acp.log() - (1 - acp).log()}.get(kind)
    if kind == "sqrt_one_minus_alphas_cumprod":
        v = (1 - acp).sqrt()
        if "ς for the noise" in wrong: v = v/acp.sqrt()
        if "1 − √ᾱ" in wrong: v = 1 - acp.sqrt()
    if kind == "sigmas": v = (1 - acp).sqrt() if "noise for ς" in wrong else ((1 - acp)/acp).sqrt()
    for name, change in {"a root too many": lambda v: v.abs().sqrt()*v.sign(), "a root missing": torch.square, "1 minus it": lambda v: 1 - v,
                         "half of it": lambda v: v*.5, "its negative": torch.neg, "decimal logarithm": lambda v: v/2.302585092994046}.items():
        if name in wrong: v = change(v)
    index = [0]*clean + list(range(1, len(v)))
    if "one step too late" in wrong: index = list(range(len(v) - 1))
    if "one step too early" in wrong: index = [0]*clean + [min(i + 1, len(v) - 1) for i in range(1, len(v))]
    if "clean image at the end" in wrong: index = [*range(2, len(v)), 0]
    if "first step missing" in wrong: index.remove(1)
    if "last step missing" in wrong: index.pop()
    v = v[index]
    if "backwards" in wrong: v = torch.flip(v, (0,))
    if "four decimals" in wrong: v = torch.round(v, decimals=4)
    return v.to(torch.float16 if "float16" in wrong else torch.bfloat16 if "bfloat16" in wrong else torch.float32)


WAYS = [by_hand, with_arrays, with_peers]
CLAIMS = [tables.Claim(recipe, T, kind, zero, clean, (("ends", ENDS["Karras"]),) if recipe == "Karras" else ())
          for recipe, T, kind, zero, clean in [
    ("linear", 1000, "betas", False, False), ("linear", 200, "alphas_cumprod", False, False), ("linear", 400, "logsnr", False, False),
    ("scaled linear", 1000, "alphas_cumprod", True, True), ("scaled linear", 400, "sigmas", False, False),
    ("cosine", 1000, "betas", False, False), ("cosine", 250, "alphas_cumprod", True, False), ("cosine", 100, "sqrt_alphas_cumprod", False, False),
    ("cosine", 300, "sqrt_one_minus_alphas_cumprod", False, False), ("sigmoid", 500, "alphas", False, False),
    ("Karras", 18, "sigmas", False, False), ("Karras", 40, "sigmas", False, True),
]]
ENTRIES = [(c, mistake.name) for c in CLAIMS for mistake, _, when in tables.SCHEDULE_MISTAKES if when(c)
           and not (c.T == 1000 and mistake.name == "ends not scaled")]


def built(way, c, wrong): return way(c.recipe, c.T, c.kind, c.zero, c.clean, set(wrong))


@functools.cache
def right_of(c):
    if c.recipe == "Karras": return "Karras"
    sched = {"linear": lambda: linear(c.T, .1/c.T, 20/c.T), "scaled linear": lambda: scaled_linear(c.T, .85/c.T, 12/c.T),
             "cosine": lambda: cosine(c.T), "sigmoid": lambda: sigmoid(c.T)}[c.recipe]()
    return zero_terminal_snr(sched) if c.zero else sched


def judged(way, c, wrong=()):
    own = dict(right="Karras", ends=ENDS["Karras"]) if c.recipe == "Karras" else dict(right=right_of(c))
    return tables.schedule(built(way, c, wrong), c.kind, **own)


def named(report, *names): return report.verdict == "wrong" and any(s.mistake.name in names for s in report.suspects)


def tally(outcomes, what, least):
    "Assert that enough of the outcomes are true, and show those that are not."
    outcomes = list(outcomes)
    missed = [key for key, good in outcomes if not good]
    print(f"{what}: {len(outcomes) - len(missed)} of {len(outcomes)}")
    assert len(outcomes) - len(missed) >= least*len(outcomes), missed[:20]


def number_table(way, c, wrong):
    "The table with these mistakes, or None where it has entries that are not numbers."
    try:
        with np.errstate(all="ignore"): values = built(way, c, wrong)
    except ValueError: return None     # the logarithm of a negative number, by hand
    listed = values if isinstance(values, list) else torch.as_tensor(values).double().tolist()
    return None if any(isinstance(v, complex) or v != v for v in listed) else values


def judged(c, values):
    own = dict(right="Karras", ends=ENDS["Karras"]) if c.recipe == "Karras" else dict(right=right_of(c))
    return tables.schedule(values, c.kind, **own)


def test_every_mistake_in_a_table_is_found_and_named():
    outcomes, hidden, seen = [], 0, set()
    for (c, name), way in itertools.product(ENTRIES, WAYS):
        if (values := number_table(way, c, {name})) is None: continue
        report = judged(c, values)
        if report and name in report.unseen: hidden += 1; continue
        seen.add(name)
        outcomes.append(((c[:5], name, way.__name__), named(report, name)))
    tally(outcomes, "mistakes in tables", .99)
    assert hidden < .06*len(outcomes), hidden
    assert seen == {mistake.name for mistake, _, _ in tables.SCHEDULE_MISTAKES} - {"ends scaled"}
    assert named(tables.schedule(linear(100, 1e-3, .2).beta[1:], "betas", linear(100)), "ends scaled")


def test_no_false_alarm_in_forty_tables():
    for seed in range(40):
        r = random.Random(seed)
        recipe, kind, way = r.choice(["linear", "scaled linear", "cosine", "sigmoid"]), r.choice(list(tables.KINDS)), WAYS[seed % 3]
        c = tables.Claim(recipe, r.randint(40, 1200), kind, r.random() < .3 and kind not in ("logsnr", "sqrt_one_minus_alphas_cumprod"), r.random() < .3)
        with np.errstate(all="ignore"): values = built(way, c, set())
        for report in (tables.schedule(values, kind), tables.schedule(values), judged(c, values)):
            assert report, (c[:5], way.__name__, str(report))
            assert tables.SOURCES[recipe] in report.reason and f"T = {c.T}" in report.reason


def test_published_tables_of_diffusers():
    for config, words in [({}, "linear schedule"), (dict(beta_schedule="squaredcos_cap_v2"), "cosine"), (dict(beta_schedule="sigmoid"), "GeoDiff"),
                          (dict(beta_schedule="scaled_linear", beta_start=.00085, beta_end=.012, rescale_betas_zero_snr=True), "scaled linear"),
                          (dict(beta_schedule="squaredcos_cap_v2", num_train_timesteps=100, rescale_betas_zero_snr=True), "zero terminal SNR")]:
        scheduler = DDPMScheduler(**config)
        for kind in ("betas", "alphas", "alphas_cumprod"):
            for report in (tables.schedule(getattr(scheduler, kind), kind), tables.schedule(getattr(scheduler, kind).numpy())):
                assert report and words in report.reason, str(report)
    assert named(tables.schedule(DDPMScheduler(num_train_timesteps=100).betas), "ends not scaled")
    euler = EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=.00085, beta_end=.012, use_karras_sigmas=True)
    euler.set_timesteps(20)
    report = tables.schedule(euler.sigmas)
    assert report and "Karras" in report.reason and "14.61" in report.reason, str(report)


def pairs(catalogue, n):
    "n pairs of entries that alter different parts, drawn with a seed."
    some = [(a, b) for a, b in itertools.combinations(catalogue, 2) if not set(a[1]) & set(b[1])]
    return random.Random(0).sample(some, min(n, len(some)))


def test_two_mistakes_in_a_table():
    outcomes = []
    for c in CLAIMS[:6]:
        some = [(m.name, parts) for m, parts, when in tables.SCHEDULE_MISTAKES if when(c) and not (c.T == 1000 and m.name == "ends not scaled")]
        for k, ((a, _), (b, _)) in enumerate(pairs(some, 25)):
            way = WAYS[k % 3]
            if (values := number_table(way, c, {a, b})) is None: continue
            report = judged(c, values)
            assert report.verdict == "wrong", (c[:5], a, b, way.__name__, str(report))
            outcomes.append(((c[:5], a, b, way.__name__), named(report, a, b)))
    assert len(outcomes) > 100
    tally(outcomes, "two mistakes in a table, one of them named", .7)


# ---- forward processes, three times ----

SCHED = cosine(200)


def noise_by_hand(x0, eps, t, wrong):
    "A loop over pictures and pixels, of Python's numbers."
    abar, T = SCHED.abar.tolist(), SCHED.T
    out = torch.empty(x0.shape, dtype=torch.float64 if "another type" in wrong else torch.float32)
    own = torch.randn(x0.shape) if "noise of its own" in wrong else eps
    for b, c, h, w in itertools.product(*map(range, x0.shape)):
        i = 0 if "one time for the batch" in wrong else w if "one factor a column" in wrong else h if "one factor a row" in wrong else c if "one factor a channel" in wrong else b
        k = int(t[i])
        if "one step too late" in wrong: k = min(k + 1, T)
        if "one step too early" in wrong: k -= 1
        if "backwards" in wrong: k = T + 1 - k
        a, before = abar[k], abar[k - 1] if k else 1.
        left, right = math.sqrt(a), math.sqrt(1 - a)
        if "root of ᾱ missing" in wrong or "both roots missing" in wrong: left = a
        if "root of 1 − ᾱ missing" in wrong or "both roots missing" in wrong: right = 1 - a
        if "a root too many" in wrong: left, right = left**.5, right**.5
        if "α for ᾱ" in wrong: left = math.sqrt(a/before)
        if "α for ᾱ" in wrong or "noise of one step" in wrong: right = math.sqrt(1 - a/before)
        if "1 − √ᾱ" in wrong: right = 1 - math.sqrt(a)
        if "data not reduced" in wrong or "exploding variance" in wrong: left = 1.
        if "noise not reduced" in wrong: right = 1.
        if "exploding variance" in wrong or "ς for the noise" in wrong: right = math.sqrt((1 - a)/a)
        if "straight path" in wrong: left, right = 1 - k/T, k/T
        x, e = x0[b, c, h, w].item(), own[b, c, h, w].item()
        if "normalised inside" in wrong: x = 2*x - 1
        if "factors swapped" in wrong: x, e = e, x
        y = left*x - right*e if "noise subtracted" in wrong else left*x + right*e
        out[b, c, h, w] = max(-1., min(1., y)) if "clipped" in wrong else y
    return out


def noise_with_arrays(x0, eps, t, wrong):
    "NumPy, and the tables of guided-diffusion."
    has, t = wrong.__contains__, t.numpy() - 1
    acp = SCHED.abar[1:].numpy()
    alphas = acp/np.append(1., acp[:-1])
    if has("backwards"): acp, alphas = acp[::-1], alphas[::-1]
    roots = {"a": np.sqrt(acp), "b": np.sqrt(1 - acp)}
    if has("root of ᾱ missing") or has("both roots missing"): roots["a"] = acp
    if has("root of 1 − ᾱ missing") or has("both roots missing"): roots["b"] = 1 - acp
    if has("a root too many"): roots = {k: np.sqrt(v) for k, v in roots.items()}
    if has("α for ᾱ"): roots = {"a": np.sqrt(alphas), "b": np.sqrt(1 - alphas)}
    if has("noise of one step"): roots["b"] = np.sqrt(1 - alphas)
    if has("1 − √ᾱ"): roots["b"] = 1 - np.sqrt(acp)
    if has("data not reduced") or has("exploding variance"): roots["a"] = np.ones_like(acp)
    if has("noise not reduced"): roots["b"] = np.ones_like(acp)
    if has("exploding variance") or has("ς for the noise"): roots["b"] = np.sqrt(1/acp - 1)
    u = np.arange(1, len(acp) + 1)/len(acp)
    if has("straight path"): roots = {"a": 1 - u, "b": u}
    if has("one step too late"): t = np.minimum(t + 1, len(acp) - 1)
    if has("one step too early"):
        t, roots = t - 1, {k: np.append(v, 1. if k == "a" else 0.) for k, v in roots.items()}   # −1 finds the last entry
    if has("one time for the batch"): t = np.full_like(t, t[0])
    new = (None,)*3
    if has("one factor a column"): new = ()
    if has("one factor a row"): new = (None,)
    if has("one factor a channel"): new = (None, None)
    a, b = (roots[k][t][(..., *new)].astype(np.float64 if has("another type") else np.float32) for k in "ab")
    x, e = x0.numpy(), eps.numpy()
    if has("noise of its own"): e = np.random.standard_normal(e.shape).astype(np.float32)
    if has("normalised inside"): x = x*2 - 1
    if has("factors swapped"): x, e = e, x
    y = a*x + (-b if has("noise subtracted") else b)*e
    return torch.from_numpy(np.clip(y, -1, 1) if has("clipped") else y)


class Noising(DDPMScheduler):
    "A scheduler of diffusers, its add_noise called as it is with other tables, times and data, or written anew."
    def __init__(self, wrong):
        super().__init__(trained_betas=SCHED.beta[1:].tolist(), num_train_timesteps=SCHED.T)
        self.alphas_cumprod, self.wrong = SCHED.abar[1:].clone(), wrong

    def noisy(self, x0, eps, t):
        has, t, acp = self.wrong.__contains__, t - 1, self.alphas_cumprod
        if has("backwards"): t = SCHED.T - 1 - t
        if has("one step too late"): t = (t + 1).clamp(max=SCHED.T - 1)
        if has("one step too early"): acp, t = SCHED.abar, t
        if has("one time for the batch"): t = t[[0]*len(t)]
        if has("noise of its own"): eps = torch.randn_like(eps)
        if has("normalised inside"): x0 = 2*x0 - 1
        if has("noise subtracted"): eps = -eps
        if has("factors swapped"): x0, eps = eps, x0
        unlike = {"root of ᾱ missing", "root of 1 − ᾱ missing", "both roots missing", "a root too many", "α for ᾱ", "noise of one step",
                  "1 − √ᾱ", "data not reduced", "noise not reduced", "exploding variance", "ς for the noise", "straight path",
                  "one factor a column", "one factor a row", "one factor a channel"} & self.wrong
        if not unlike:
            self.alphas_cumprod = acp
            y = self.add_noise(x0, eps, t)
        else:
            bar = acp[t]
            alpha = acp[t]/SCHED.abar[t] if acp is not SCHED.abar else acp[t]/SCHED.abar[(t - 1).clamp(min=0)]
            a, b = bar.sqrt(), (1 - bar).sqrt()
            a = {"root of ᾱ missing": bar, "both roots missing": bar, "a root too many": a.sqrt(), "α for ᾱ": alpha.sqrt(),
                 "straight path": 1 - (t + (acp is not SCHED.abar))/SCHED.T, "data not reduced": torch.ones(len(t)), "exploding variance": torch.ones(len(t))
                 }.get(next((k for k in sorted(unlike) if k in FACTOR_OF_DATA), ""), a)
            b = {"root of 1 − ᾱ missing": 1 - bar, "both roots missing": 1 - bar, "a root too many": b.sqrt(), "α for ᾱ": (1 - alpha).sqrt(),
                 "noise of one step": (1 - alpha).sqrt(), "1 − √ᾱ": 1 - bar.sqrt(), "noise not reduced": torch.ones(len(t)), "exploding variance": b/bar.sqrt(),
                 "ς for the noise": b/bar.sqrt(), "straight path": (t + (acp is not SCHED.abar))/SCHED.T,
                 }.get(next((k for k in sorted(unlike) if k in FACTOR_OF_NOISE), ""), b)
            view = (-1,) if has("one factor a column") else (-1, 1) if has("one factor a row") else (-1, 1, 1) if has("one factor a channel") else (-1, 1, 1, 1)
            y = a.float().view(view)*x0 + b.float().view(view)*eps
        if has("clipped"): y = torch.clamp(y, -1, 1)
        return y.double() if has("another type") else y


FACTOR_OF_DATA = {"root of ᾱ missing", "both roots missing", "a root too many", "α for ᾱ", "straight path", "data not reduced", "exploding variance"}
FACTOR_OF_NOISE = FACTOR_OF_DATA - {"root of ᾱ missing", "data not reduced"} | {"root of 1 − ᾱ missing", "noise of one step", "1 − √ᾱ", "noise not reduced", "ς for the noise"}
NOISINGS = {"by hand": lambda wrong: lambda x0, eps, t: noise_by_hand(x0, eps, t, wrong),
            "with arrays": lambda wrong: lambda x0, eps, t: noise_with_arrays(x0, eps, t, wrong),
            "diffusers": lambda wrong: Noising(wrong).noisy}


def ours(parts):
    "This library's own, for the pairs."
    return lambda x0, eps, t: tables.noised(SCHED, x0, eps, t, **parts)


def test_every_mistake_in_a_forward_process_is_found_and_named():
    outcomes = [((m.name, way), named(tables.forward(f({m.name}), SCHED), m.name))
                for m, _ in tables.FORWARD_MISTAKES for way, f in NOISINGS.items()]
    tally(outcomes, "mistakes in forward processes", .99)


def test_no_false_alarm_in_forty_forward_processes():
    kept = torch.get_rng_state()
    for seed in range(40):
        way = list(NOISINGS)[seed % 3]
        report = tables.forward(NOISINGS[way](set()), SCHED, seed=seed)
        assert report and not report.suspects, (way, str(report))
    sched, scheduler = linear(), DDPMScheduler()
    assert tables.forward(scheduler.add_noise, sched, first=0)
    assert tables.forward(lambda x0, eps, t: q_sample(sched, x0, t, eps), sched)
    assert named(tables.forward(scheduler.add_noise, sched), "one step too late")
    assert torch.equal(kept, torch.get_rng_state())


def test_two_mistakes_in_a_forward_process():
    some = [(m.name, parts) for m, parts in tables.FORWARD_MISTAKES]
    outcomes = []
    for k, ((a, _), (b, _)) in enumerate(pairs(some, 102)):
        way = ["with arrays", "diffusers"][k % 2]
        report = tables.forward(NOISINGS[way]({a, b}), SCHED)
        assert report.verdict == "wrong", (a, b, way, str(report))
        outcomes.append(((a, b, way), named(report, a, b)))
    tally(outcomes, "two mistakes in a forward process, one of them named", .8)


# ---- averages ----

def averages(decay, wrong):
    "The same update three times: with Python's numbers, with PyTorch's AveragedModel, in the way of diffusers."
    constant = decay(10**9)
    def d_of(k):
        if "warm-up" in wrong: return min(constant, (1 + k)/(10 + k))
        if "no warm-up" in wrong: return constant
        return decay(k - 1) if "steps from 0" in wrong else decay(k)

    class Numbers:
        def __init__(self): self.k, self.past = 0, None
        def __call__(self, mean, weights):
            self.k += 1
            d, a, w = d_of(self.k), mean.tolist() if self.k == 1 else self.a, weights.tolist()
            if self.k == 1:
                self.past = a
                if {"starts at zero", "starts at zero, corrected"} & wrong: a = [0.]*len(a)
                if "starts late" in wrong: a = w
            new, self.past = (self.past if "one step behind" in wrong else w), w
            keep, take = d, 1 - d
            if "decay swapped" in wrong: keep, take = take, keep
            if "not averaged" in wrong: keep, take = 0., 1.
            if "never updated" in wrong: keep, take = 1., 0.
            if "plain mean" in wrong: keep, take = self.k/(self.k + 1), 1/(self.k + 1)
            if "sum" in wrong: take = 1.
            if "not shrunk" in wrong: keep = 1.
            if "wrong sign" in wrong: keep, take = 1 + (1 - d), -(1 - d)
            for _ in range(2 if "updated twice" in wrong else 0 if "every second step" in wrong and self.k % 2 else 1):
                a = [keep*p + take*q for p, q in zip(a, new)]
                if "float16" in wrong: a = torch.tensor(a).half().tolist()
                if "bfloat16" in wrong: a = torch.tensor(a).bfloat16().tolist()
            self.a = a
            if "written back" in wrong: weights.copy_(torch.tensor(a))
            if "starts at zero, corrected" in wrong: a = [v/(1 - math.prod(d_of(i + 1) for i in range(self.k))) for v in a]
            return torch.tensor(a, dtype=torch.float64)

    class InPlace:
        "The shadow parameters are changed in place and nothing is returned, as in diffusers' EMAModel."
        def __init__(self): self.step = 0
        def __call__(self, shadow, param):
            self.step += 1
            if self.step == 1:
                self.last = shadow.clone()
                if "starts at zero" in wrong: shadow.zero_()
                if "starts late" in wrong: shadow.copy_(param)
                if "starts at zero, corrected" in wrong: shadow.zero_(); self.raw = shadow.clone()
            if "never updated" in wrong or "every second step" in wrong and self.step % 2 == 1: return
            source = self.last if "one step behind" in wrong else param.clone()
            one_minus_decay = 1 - d_of(self.step)
            if "decay swapped" in wrong: one_minus_decay = 1 - one_minus_decay
            if "not averaged" in wrong: one_minus_decay = 1.
            if "plain mean" in wrong: one_minus_decay = 1/(self.step + 1)
            if "wrong sign" in wrong: one_minus_decay = -one_minus_decay
            target = self.raw if "starts at zero, corrected" in wrong else shadow
            for _ in range(1 + ("updated twice" in wrong)):
                if "sum" in wrong: target.mul_(1 - one_minus_decay).add_(source)
                elif "not shrunk" in wrong: target.add_(one_minus_decay*source)
                else: target.sub_(one_minus_decay*(target - source))
                if "float16" in wrong: target.copy_(target.half())
                if "bfloat16" in wrong: target.copy_(target.bfloat16())
            if "starts at zero, corrected" in wrong:
                left = 1.
                for i in range(self.step): left *= d_of(i + 1)
                shadow.copy_(target/(1 - left))
            if "written back" in wrong: param.copy_(target)
            self.last = param.clone()

    class Torch:
        "PyTorch's AveragedModel with a rule of one's own; it takes the start over at its first update."
        def __init__(self): self.model = None
        def __call__(self, mean, weights):
            if self.model is None:
                self.net, self.k, self.old = torch.nn.Linear(len(mean), 1, bias=False).double(), 0, mean.clone()
                start = weights if "starts late" in wrong else mean*(not wrong & {"starts at zero", "starts at zero, corrected"})
                self.set(start)
                def rule(average, new, _):
                    d = d_of(self.k)
                    if "decay swapped" in wrong: return (1 - d)*average + d*new
                    if "plain mean" in wrong: return average + (new - average)/(self.k + 1)
                    if "sum" in wrong: return d*average + new
                    if "not shrunk" in wrong: return average.lerp(average + new, 1 - d)
                    if "wrong sign" in wrong: return average.lerp(new, d - 1)
                    return new.clone() if "not averaged" in wrong else average.lerp(new, 1 - d)
                self.model = AveragedModel(self.net, avg_fn=rule)
                self.model.update_parameters(self.net)
            self.k += 1
            self.set(self.old if "one step behind" in wrong else weights)
            times = 2 if "updated twice" in wrong else 0 if "never updated" in wrong else (self.k + 1) % 2 if "every second step" in wrong else 1
            for _ in range(times):
                self.model.update_parameters(self.net)
                for p in self.model.module.parameters():
                    if "float16" in wrong: p.data = p.data.to(torch.float16).double()
                    if "bfloat16" in wrong: p.data = p.data.to(torch.bfloat16).double()
            self.old, out = weights.clone(), self.model.module.weight[0].detach().clone()
            if "written back" in wrong: weights[:] = out
            return out/(1 - np.prod([d_of(i) for i in range(1, self.k + 1)])) if "starts at zero, corrected" in wrong else out
        def set(self, values):
            with torch.no_grad(): self.net.weight.copy_(values[None])

    return {"numbers": Numbers(), "in place": InPlace(), "AveragedModel": Torch()}


DECAYS = {"0.9": lambda k: .9, "0.9999": lambda k: .9999, "warm-up": ema_decay}


def test_every_mistake_in_an_average_is_found_and_named():
    outcomes = []
    for rule, decay in DECAYS.items():
        for m, _ in tables.average_mistakes(decay):
            for way, update in averages(decay, {m.name}).items():
                outcomes.append(((rule, m.name, way), named(tables.average(update, decay), m.name)))
    tally(outcomes, "mistakes in averages", .99)


def test_no_false_alarm_in_forty_averages():
    for seed in range(40):
        d = 1 - 10**-random.Random(seed).uniform(.3, 4)
        decay = [d, lambda k: min(d, (1 + k)/(10 + k))][seed % 2]
        for way, update in averages(decay if callable(decay) else lambda k: d, set()).items():
            report = tables.average(update, decay)
            assert report and not report.suspects, (d, way, str(report))


def test_two_mistakes_in_an_average():
    outcomes = []
    for rule, decay in DECAYS.items():
        some = [(m.name, parts) for m, parts in tables.average_mistakes(decay)]
        for (a, one), (b, two) in pairs(some, 40):
            report = tables.average(tables.recursion(decay, **one, **two), decay)
            assert report.verdict == "wrong", (rule, a, b)
            outcomes.append(((rule, a, b), named(report, a, b)))
    assert len(outcomes) > 100
    tally(outcomes, "two mistakes in an average, one of them named", .7)


# ---- data ----

def feeds(wrong):
    "Pictures of digits as three loops would feed them: from this library, by hand from bytes, with torchvision."
    raw = mnist("test").x[:64]
    maps = {"": lambda p: p*2/255 - 1, "in [0, 1]": lambda p: p/255, "bytes": lambda p: p, "divided twice": lambda p: p/255/255,
            "normalised twice": lambda p: 2*(2*p/255 - 1) - 1, "not doubled": lambda p: p/255 - .5, "not shifted": lambda p: p/127.5,
            "bytes doubled": lambda p: 2*p - 1, "bytes shifted": lambda p: p - 128, "MNIST's numbers": lambda p: (p/255 - .1307)/.3081,
            "ImageNet's numbers": lambda p: (p/255 - .449)/.226, "constant": lambda p: 0*p - 1, "one picture": lambda p: p*2/255 - 1,
            "whole numbers": lambda p: p*2/255 - 1, "channels last": lambda p: p*2/255 - 1, "standardised": lambda p: p, "each picture standardised": lambda p: p}
    f = maps[wrong]
    def finish(x):
        if wrong == "one picture": x = x[:1].expand_as(x)
        if wrong == "whole numbers": x = x.int()
        if wrong == "channels last": x = x.permute(0, 2, 3, 1)
        if wrong == "standardised": x = (x - x.mean())/x.std()
        if wrong == "each picture standardised": x = torch.stack([(one - one.mean())/one.std() for one in x])
        return x
    lists = torch.tensor([[f(p) for p in row] for row in raw[:16].float().flatten(1).tolist()]).view(-1, 1, 28, 28)
    vision = torch.stack([to_tensor(picture[0].numpy()) for picture in raw])*255
    return {"ours": finish(f(raw.float())), "by hand": finish(lists), "torchvision": finish(f(vision))}


def test_every_mistake_in_the_data_is_found_and_named():
    all_of_them = [m.name for m, _, _ in tables.RANGES] + [m.name for m in tables.DATA_MISTAKES]
    outcomes = [((name, way), named(tables.data(batch), name)) for name in all_of_them for way, batch in feeds(name).items()]
    tally(outcomes, "mistakes in data", .99)
    for way, batch in feeds("").items(): assert tables.data(batch) and tables.data(batch.numpy()), way
    assert tables.data(feeds("in [0, 1]")["ours"][:4]).verdict == "cannot tell" == tables.data(feeds("")["ours"][:8]*.1 - .9).verdict
    pictures = mnist("test").x
    for seed in range(40):
        some = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))[:8 + seed]
        assert tables.data(normalise(pictures[some]))


def test_functions_that_are_no_functions_get_a_sentence():
    sched, fine = linear(), lambda x0, eps, t: q_sample(linear(), x0, t, eps)
    def in_place(x0, eps, t): x0 += eps; return x0
    def needs_a_gpu(x0, eps, t): raise RuntimeError("Found no NVIDIA driver on your system")
    for f, words in [(in_place, "in place"), (lambda x0, eps, t: fine(x0, eps, t)*math.nan, "not finite"),
                     (lambda x0, eps, t: fine(x0, eps, t)[:2], r"shape \(2, 4, 4, 4\)"), (lambda x0, eps, t: None, "NoneType"),
                     (needs_a_gpu, "needs a GPU")]:
        with pytest.raises(ValueError, match=words): tables.forward(f, sched)
    for values, words in [([.1, math.nan, .3], "Entry 1 is not a number"), ([.1, .2], "at least three"), ("linear", "none"), (torch.ones(3, 3), "shape")]:
        with pytest.raises(ValueError, match=words): tables.schedule(values)
    for call, words in [(lambda: tables.schedule([.1, .2, .3], "gammas"), "not “gammas”"), (lambda: tables.schedule([.1, .2, .3], right="quadratic"), "not “quadratic”"),
                        (lambda: tables.data(torch.full((8, 1, 4, 4), math.nan)), "not finite"), (lambda: tables.data([]), "batch of pictures"),
                        (lambda: tables.average(lambda a, w: w[:3], .9), "shape"), (lambda: tables.average(lambda a, w: w/0*0, .9), "not finite"),
                        (lambda: tables.average(lambda a, w: w.foo, .9), "AttributeError")]:
        with pytest.raises(ValueError, match=words): call()


if __name__ == "__main__":
    import time
    for name, f in list(globals().items()):
        if name.startswith("test_"):
            t0 = time.process_time()
            try: f()
            except AssertionError as e: print("FAILED", name, str(e)[:3000])
            print(name, f"{time.process_time() - t0:.1f}")
