"""Eight samplers with a mistake beside the right one: what they draw, and what the exact law says.

python tests/measure_gallery.py   (some minutes of one core)

Each sampler is its formula in `d2c.steps`: the factors of x̂_0 and ε̂ and the noise of each step, the network that
ships for digits, and the same start and noise for all. The results go to book/measured/gallery.json, ten samples of
each to gallery.png.
"""
import json
from pathlib import Path
import torch
from d2c.data import mnist, seeded, tile, to_bytes, write_png, write_whole
from d2c.forward import clipped
from d2c.measurements import machine
from d2c.metrics import evaluate
from d2c.pretrained import load
from d2c.schedule import spaced
from d2c.steps import MISTAKES, Claim, numbers

FOLDER = Path(__file__).parent.parent/"book"/"measured"
STEPS, N, SPREAD = 25, 700, .3
NAMES = ["σ of a single step", "β for β̃", "network told t − 1", "one noise for all images",
         "last step missing", "noise at the last step", "noise times its variance", "σ² not taken off"]
BY_NAME = {m.name: (m, parts) for m, parts in MISTAKES.items()}
digits = load("mnist-cond")
claim = Claim(digits.sched, tuple(spaced(digits.sched.T, STEPS)), eta=1.)


def moves(parts):
    "(the time told, the factors of x̂_0 and of ε̂, the noise) of each step."
    found = numbers(claim, **parts)
    steps = found[-5*int(found[0]):].reshape(-1, 5)
    return [(t, c0, ceps, sigma) for t, c0, ceps, _, sigma in steps.tolist()]


def law(parts):
    "Standard deviation of what comes out for Gaussian data of standard deviation SPREAD, with the exact network."
    factor, var, prior = 1., 1., SPREAD**2
    for t, c0, ceps, sigma in moves(parts):
        at = claim.abar(max(t, 1))
        signal, noise = at**.5, (1 - at)**.5
        x0 = signal*prior/(at*prior + 1 - at)          # x̂_0 is this times x_t
        factor = c0*x0 + ceps*(1 - signal*x0)/noise
        var = factor**2*var + sigma**2
    return var**.5


def drawn(parts, y, key):
    "Bytes, from the same start and the same noise for every sampler."
    denoise = clipped(digits.denoiser(y=y), digits.sched)
    x, fresh = (torch.randn(n, len(y), 1, 28, 28, generator=seeded(k, key)) for n, k in ((1, 1), (STEPS, 2)))
    x, shared = x[0], parts.get("law", (0., 0.))[1]
    with torch.no_grad():
        for (t, c0, ceps, sigma), z in zip(moves(parts), fresh):
            x0, eps = denoise(x, max(round(t), 1))
            x = c0*x0 + ceps*eps + sigma*(z[:1].expand_as(z) if shared else z)
    return to_bytes(x)


if __name__ == "__main__":
    judge = load("mnist-classifier").model
    y = torch.arange(N) % 10
    rows, strips = [], []
    for name in ["right", *NAMES]:
        mistake, parts = BY_NAME.get(name, (None, {}))
        x = torch.cat([drawn(parts, part, k) for k, part in enumerate(y.split(100))])
        report = evaluate(judge, x, y)
        rows.append(dict(name=name, what=mistake.what if mistake else "", eq=mistake.eq if mistake else "", std=law(parts),
                         **{key: report[key]._asdict() for key in ("class as asked", "Fréchet distance")}))
        strips.append(x[:10])
        print(name, rows[-1], flush=True)
    result = dict(what="samplers with a mistake, on digits and on a Gaussian", command="python tests/measure_gallery.py",
                  samples=N, steps=STEPS, spread=SPREAD, rows=rows, hardware=machine())
    write_whole(FOLDER/"gallery.json", (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    write_png(FOLDER/"gallery.png", tile(torch.cat(strips), pad=0))
