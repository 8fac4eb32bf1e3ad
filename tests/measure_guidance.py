"""Ways of guiding the digits network, all from the same noises: distance to real digits, classes, variety.

python tests/measure_guidance.py   (eighteen minutes of a core)

For autoguidance it trains two bad versions of the network, for a sixteenth of its steps: one of its own size and a smaller
one. A third has noise added to its weights. The results go to book/measured/guidance.json.
"""
import copy, json, time
from pathlib import Path
import torch
from d2c.composition import (autoguidance, best_scale, cosine_ramp, inner, linear_ramp, projected_guidance, rescaled_guidance, with_mean)
from d2c.data import mnist, normalise, seeded, to_bytes, write_whole
from d2c.ddim import ddim_steps
from d2c.ddpm import normal, sample
from d2c.forward import clipped, denoiser, q_sample
from d2c.guidance import within
from d2c.measurements import machine, training_classes
from d2c.metrics import bootstrap, features, floor, frechet, precision_recall
from d2c.pretrained import load
from d2c.runs import precision_here
from d2c.schedule import spaced
from d2c.training import train
from d2c.unet import digits

RESULT = Path(__file__).parent.parent/"book"/"measured"/"guidance.json"
N, STEPS, BATCH, NOISE = 2000, 10, 250, .1
TRAINED, SMALL = 15_000//16, 16    # steps of the bad versions, and the width of the small one; the network has 15,000 and 32
TIMES = (100, 300, 500, 700, 900)
net, judge = load("mnist-cond"), load("mnist-classifier").model
sched, null, short = net.sched, net.model.num_classes, precision_here(net.model) == "bf16"


def noisy(model):
    "Its weights with noise of a tenth of their standard deviation, layer by layer."
    model, g = copy.deepcopy(model), torch.Generator().manual_seed(1)
    for p in model.parameters():
        if p.ndim > 1: p.data += NOISE*p.std()*torch.randn(p.shape, generator=g)
    return model


def briefly(model):
    "A network trained as `mnist-cond` is, for a sixteenth of the steps."
    torch.manual_seed(0)
    return train(model, sched, mnist(), TRAINED, net.predicts, label_dropout=.15, batch_size=128, lr=2e-3, progress=False).model.eval()


BAD = {"noisy weights": noisy(net.model)}    # the other two are trained below


def asked(model, y):
    denoise = denoiser(model, sched, net.predicts)
    return lambda xt, t: denoise(xt, t, y)


def good(y): return asked(net.model, y)
def nothing(y): return asked(net.model, torch.full_like(y, null))
def free(scale): return lambda y: autoguidance(good(y), nothing(y), scale)
def timed(shape): return free(with_mean(shape, 3., spaced(sched.T, STEPS)))
def auto(name, scale): return lambda y: autoguidance(good(y), asked(BAD[name], y), scale)


WAYS = {
    "not guided": good,
    **{f"by the class, γ = {scale:g}": free(scale) for scale in (1.3, 1.5, 2., 3.)},
    "by the class, γ = 3, rescaled": lambda y: rescaled_guidance(good(y), nothing(y), sched, 3.),
    "by the class, γ = 3, projected": lambda y: projected_guidance(good(y), nothing(y), sched, 3.),
    "by the class, 3 on average, linear": timed(linear_ramp(sched.T)),
    "by the class, 3 on average, cosine": timed(cosine_ramp(sched.T)),
    "by the class, 3 on average, interval": timed(within(201, 700, 1., 0.)),
    "by the class, 3 on average, falling": timed(lambda t: t/sched.T),
    **{f"by {name}, γ = {scale:g}": auto(name, scale) for name in ("noisy weights", "short training", "a small network") for scale in (1.5, 2.)},
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
def errors(models, x0, y):
    "Mean square error of the noise that each predicts at some times, and the scale at which the network, guided by it, has the least."
    def at(t):
        eps = torch.randn(x0.shape, generator=seeded(t))
        guesses = {name: asked(model, y)(q_sample(sched, x0, t, eps), t).eps for name, model in models.items()}
        whole = guesses["the network"]
        def row(bad):
            found = dict(error=(bad - eps).square().mean().item())
            if bad is whole: return found
            each = torch.stack([inner(eps - bad, whole - bad), inner(whole - bad, whole - bad)], 1)
            return found | dict(best=best_scale(eps, whole, bad), best_error=1.96*bootstrap(lambda v: v[:, 0].sum()/v[:, 1].sum(), each))
        return {name: row(guess) for name, guess in guesses.items()}
    rows = [at(t) for t in TIMES]
    return {name: {key: [row[name][key] for row in rows] for key in rows[0][name]} for name in models}


if __name__ == "__main__":
    torch.set_num_threads(1)
    test, y = mnist("test"), training_classes(N)
    real, known = features(judge.features, test.x), features(judge.features, mnist("train").x[:N])
    BAD["short training"], BAD["a small network"] = briefly(digits()), briefly(digits(width=SMALL))
    print(f"trained, {time.process_time():.0f} s", flush=True)
    wrong = errors({"the network": net.model, **BAD}, normalise(test.x[:N]), test.y[:N])
    for name, found in wrong.items(): print(name, found, flush=True)
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
                  command="python tests/measure_guidance.py", n=N, steps=STEPS, trained=TRAINED, width=SMALL, floor=floor(known, real, N), precision="bf16" if short else "float32",
                  times=TIMES, errors=wrong, rows=rows, hardware=machine(), seconds=round(time.process_time()))
    write_whole(RESULT, (json.dumps(result, ensure_ascii=False, indent=1) + "\n").encode())
