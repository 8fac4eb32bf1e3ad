"""The catalogues of `d2c.tables`, each entry planted in three implementations that have nothing in common.

By hand: Python's floats and loops. With arrays: NumPy in float32, as guided-diffusion has it. With peers: this library's
functions and diffusers' schedulers, with the mistake made around them or in a subclass.
"""
import itertools
import math
import random

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.schedulers.scheduling_ddpm import betas_for_alpha_bar, rescale_zero_terminal_snr
from d2c import tables
from d2c.conventions import scaled_linear
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
    ("linear", 1000, "betas", False, False), ("linear", 200, "betas", False, False), ("linear", 1000, "alphas_cumprod", False, False),
    ("linear", 250, "alphas_cumprod", False, True), ("linear", 1000, "alphas", False, False), ("linear", 1000, "sqrt_alphas_cumprod", True, False),
    ("linear", 1000, "alphas_cumprod", True, False), ("linear", 1000, "logsnr", False, False), ("linear", 1000, "sigmas", False, False),
    ("scaled linear", 1000, "betas", False, False), ("scaled linear", 1000, "alphas_cumprod", False, False),
    ("scaled linear", 1000, "alphas_cumprod", True, False), ("scaled linear", 1000, "betas", True, False), ("scaled linear", 1000, "sigmas", False, False),
    ("cosine", 1000, "betas", False, False), ("cosine", 1000, "alphas_cumprod", False, True), ("cosine", 200, "alphas", False, False),
    ("cosine", 1000, "alphas_cumprod", True, False), ("cosine", 100, "sqrt_alphas_cumprod", False, False),
    ("cosine", 1000, "sqrt_one_minus_alphas_cumprod", False, False), ("cosine", 1000, "logsnr", False, False),
    ("sigmoid", 1000, "betas", False, False), ("sigmoid", 1000, "alphas_cumprod", False, False),
    ("Karras", 18, "sigmas", False, False), ("Karras", 40, "sigmas", False, True),
]]
ENTRIES = [(c, mistake.name) for c in CLAIMS for mistake, _, when in tables.SCHEDULE_MISTAKES if when(c)
           and not (c.T == 1000 and mistake.name == "ends not scaled")]


def built(way, c, wrong): return way(c.recipe, c.T, c.kind, c.zero, c.clean, set(wrong))


def right_of(c):
    if c.recipe == "Karras": return "Karras"
    sched = {"linear": lambda: linear(c.T, .1/c.T, 20/c.T), "scaled linear": lambda: scaled_linear(c.T, .85/c.T, 12/c.T),
             "cosine": lambda: cosine(c.T), "sigmoid": lambda: sigmoid(c.T)}[c.recipe]()
    return zero_terminal_snr(sched) if c.zero else sched


def judged(way, c, wrong=()):
    own = dict(right="Karras", ends=ENDS["Karras"]) if c.recipe == "Karras" else dict(right=right_of(c))
    return tables.schedule(built(way, c, wrong), c.kind, **own)


if __name__ == "__main__":
    for c in CLAIMS:
        for way in WAYS:
            r = judged(way, c)
            r2 = tables.schedule(built(way, c, []))
            print(way.__name__, c[:5], r.verdict, r2.verdict, "" if r and r2 else (r, r2))
    bad = 0
    for c, name in ENTRIES:
        for way in WAYS:
            try: r = judged(way, c, [name])
            except ValueError as e: print(way.__name__, c[:5], name, "ERR", e); continue
            if r.verdict != "wrong" or name not in [s.mistake.name for s in r.suspects]:
                bad += 1; print(way.__name__, c[:5], name, r.verdict, r.unseen and name in r.unseen, [(s.mistake.name, s.distance) for s in r.suspects])
    print(bad, len(ENTRIES)*3)
