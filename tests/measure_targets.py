"""What a network learns to output, ε, x_0 or v: three networks, equal in all else, and the one that ships.

python tests/measure_targets.py   (half an hour of two cores, a minute or two of a GPU)

The results go to book/measured/targets.json, twenty samples of each of the three to targets.png.
"""
import functools, json
from pathlib import Path
import torch
from d2c.data import mnist, normalise, seeded, tile, to_bytes, write_png, write_whole
from d2c.ddpm import ddpm_steps, sample
from d2c.forward import clipped, denoiser, q_sample
from d2c.metrics import evaluate
from d2c.measurements import machine
from d2c.pretrained import load
from d2c.schedule import cosine, spaced
from d2c.runs import precision_here, this_process
from d2c.training import train
from d2c.unet import digits

FOLDER = Path(__file__).parent.parent/"book"/"measured"
STEPS, BATCH, TIMES = 1000, 64, [*range(1, 1001, 37)]
sched, data, device = cosine(), mnist(), this_process().device
judge = load("mnist-classifier").model.to(device)


def seed(k): return torch.Generator().manual_seed(k)


def network(predicts):
    torch.manual_seed(0)
    return train(digits(), sched, data, STEPS, predicts, batch_size=BATCH, lr=3e-3, progress=False)


def drawn(model, predicts, y, steps, key=0, limit=clipped):
    "Bytes, from the same noise for every model."
    xT = torch.randn(len(y), 1, 28, 28, generator=seed(1 + key))
    denoise = limit(denoiser(functools.partial(model, y=y.to(device)), sched, predicts), sched)
    noise = [seeded(2, key, i) for i in range(len(y))]
    return to_bytes(sample(ddpm_steps(denoise, sched, xT.to(device), spaced(1000, steps), generator=noise)).cpu())


def eps_error(model, predicts):
    "Mean squared error of the predicted noise at some times, on 200 test digits."
    test = mnist("test")
    x0, y, noise = normalise(test.x[:200]).to(device), test.y[:200].to(device), torch.randn(200, 1, 28, 28, generator=seed(0)).to(device)
    denoise = denoiser(functools.partial(model, y=y), sched, predicts)
    with torch.no_grad(): return [(denoise(q_sample(sched, x0, t, noise), t).eps - noise).square().mean().item() for t in TIMES]


def judged(model, predicts, n, limit=clipped):
    "n samples in 25 steps, by the judge."
    y = data.y[torch.randperm(len(data.y), generator=seed(3))[:n]]
    x = torch.cat([drawn(model, predicts, part, 25, k, limit) for k, part in enumerate(y.split(250))])
    return {name: score._asdict() for name, score in evaluate(judge, x, y).items()}


if __name__ == "__main__":
    out, grids = {}, []
    for predicts in ("eps", "x0", "v"):
        model, log = network(predicts)
        loss = [part.mean() for part in torch.tensor(log["loss"]).split(25)]
        out[predicts] = dict(loss=[round(v.item(), 6) for v in loss], eps_error=eps_error(model, predicts),
                             judged=judged(model, predicts, 2000), unclipped=judged(model, predicts, 2000, lambda denoise, _: denoise))
        grids.append(drawn(model, predicts, torch.arange(10).repeat(2), 1000))
        print(predicts, out[predicts]["judged"]["Fréchet distance"], out[predicts]["unclipped"]["class as asked"], flush=True)
    shipped = load("mnist-cond")
    out["shipped"] = dict(judged=judged(shipped.model.to(device), shipped.predicts, 700))
    result = dict(what="networks that predict ε, x_0 and v", command="python tests/measure_targets.py", pictures=STEPS*BATCH, times=TIMES,
                  precision=precision_here(digits()), **out, hardware=machine())
    write_whole(FOLDER/"targets.json", (json.dumps(result, indent=1) + "\n").encode())
    write_png(FOLDER/"targets.png", tile(torch.cat(grids), pad=0))
