"""Ways of guiding the digits network, all from the same noises: distance to real digits, classes, variety.

python tests/measure_guidance.py   (five minutes of a core)

A bad version of the network is wanted for autoguidance. None is trained: it has noise added to its weights. The results
go to book/measured/guidance.json.
"""
import copy, json
from pathlib import Path
import torch
from d2c.composition import autoguidance, projected_guidance, rescaled_guidance
from d2c.data import mnist, normalise, seeded, to_bytes, write_whole
from d2c.ddim import ddim_steps
from d2c.ddpm import normal, sample
from d2c.forward import clipped, denoiser, q_sample
from d2c.measurements import machine, training_classes
from d2c.metrics import bootstrap, features, floor, frechet, precision_recall
from d2c.pretrained import load
from d2c.runs import precision_here
from d2c.schedule import spaced

RESULT = Path(__file__).parent.parent/"book"/"measured"/"guidance.json"
N, STEPS, BATCH, NOISE = 2000, 10, 250, .1
TIMES = (100, 300, 500, 700, 900)
net, judge = load("mnist-cond"), load("mnist-classifier").model
sched, null, short = net.sched, net.model.num_classes, precision_here(net.model) == "bf16"


def noisy(model):
    "Its weights with noise of a tenth of their standard deviation, layer by layer."
    model, g = copy.deepcopy(model), torch.Generator().manual_seed(1)
    for p in model.parameters():
        if p.ndim > 1: p.data += NOISE*p.std()*torch.randn(p.shape, generator=g)
    return model


BAD = noisy(net.model)


def asked(model, y):
    denoise = denoiser(model, sched, net.predicts)
    return lambda xt, t: denoise(xt, t, y)


def good(y): return asked(net.model, y)
def nothing(y): return asked(net.model, torch.full_like(y, null))
def free(scale): return lambda y: autoguidance(good(y), nothing(y), scale)
def auto(scale): return lambda y: autoguidance(good(y), asked(BAD, y), scale)


WAYS = {
    "not guided": good,
    "by the class, γ = 1.3": free(1.3),
    "by the class, γ = 3": free(3.),
    "by the class, γ = 3, rescaled": lambda y: rescaled_guidance(good(y), nothing(y), sched, 3.),
    "by the class, γ = 3, projected": lambda y: projected_guidance(good(y), nothing(y), sched, 3.),
    "by noisy weights, γ = 1.5": auto(1.5),
    "by noisy weights, γ = 2": auto(2.),
}


@torch.no_grad()
def draw(way, y):
    "Digits from noises that depend on their numbers alone."
    out = []
    for start in range(0, N, BATCH):
        part = y[start:start + BATCH]
        xT = normal(torch.empty(len(part), 1, 28, 28), [seeded(0, i) for i in range(start, start + len(part))])
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            out.append(sample(ddim_steps(clipped(way(part), sched), sched, xT, spaced(sched.T, STEPS))))
    return to_bytes(torch.cat(out).float())


@torch.no_grad()
def noise_error(model, x0, y):
    "Mean square error of the predicted noise at some times."
    def at(t):
        eps = torch.randn(x0.shape, generator=seeded(t))
        return (asked(model, y)(q_sample(sched, x0, t, eps), t).eps - eps).square().mean().item()
    return [at(t) for t in TIMES]


if __name__ == "__main__":
    torch.set_num_threads(1)
    test, y = mnist("test"), training_classes(N)
    real, train = features(judge.features, test.x), features(judge.features, mnist("train").x[:N])
    x0 = normalise(test.x[:500])
    errors = {name: noise_error(model, x0, test.y[:500]) for name, model in (("whole", net.model), ("noisy weights", BAD))}
    rows, plain = {}, None
    for name, way in WAYS.items():
        seen = features(judge.features, draw(way, y))
        plain = seen if plain is None else plain
        both = torch.cat([seen, plain], 1)
        D = seen.shape[1]
        gain = lambda both: frechet(both[:, :D], real) - frechet(both[:, D:], real)
        hits = (judge.head(seen).argmax(1) == y).float()
        precision, recall = precision_recall(seen, real)
        rows[name] = dict(distance=frechet(seen, real), change=gain(both), error=1.96*bootstrap(gain, both), asked=hits.mean().item(),
                          precision=precision, recall=recall)
        print(name, {k: round(v, 3) for k, v in rows[name].items()}, flush=True)
    result = dict(what="mnist-cond in ten steps of DDIM, guided in several ways; Fréchet distance in the judge's features to the test digits",
                  command="python tests/measure_guidance.py", n=N, steps=STEPS, floor=floor(train, real, N), precision="bf16" if short else "float32",
                  times=TIMES, errors=errors, rows=rows, hardware=machine())
    write_whole(RESULT, (json.dumps(result, ensure_ascii=False, indent=1) + "\n").encode())
