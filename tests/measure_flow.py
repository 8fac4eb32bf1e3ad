"""Flow matching against diffusion: the same small network, digits, steps and noise; several seeds.

python tests/measure_flow.py   (about twenty minutes of a core; called again, it goes on)

Results go to book/measured/flow.json as they come; with other settings it starts afresh.
"""
import json, math, time
from pathlib import Path
import torch
from d2c.data import mnist, seeded, to_bytes, write_whole
from d2c.ddim import ddim_update
from d2c.ddpm import sample
from d2c.measurements import machine
from d2c.metrics import features, frechet
from d2c.pretrained import load
from d2c.processes import process_table, train_network
from d2c.saving import Loaded
from d2c.schedule import cosine, spaced
from d2c.solvers import heun_update, levels, near, solver_steps
from d2c.unet import UNet

OUT = Path(__file__).parent.parent/"book"/"measured"/"flow.json"
SEEDS, STEPS, BATCH, LR, N = 3, 800, 64, 3e-3, 1000
NETWORK = dict(channels=1, size=28, width=16, mults=[1, 2], blocks=1, attention=[], heads=2, stem=2, num_classes=10)
KINDS = {    # how the network is read, and the law of its times
    "diffusion": ((cosine(1000), "v"), None),
    "flow": ((process_table("flow"), "velocity", "flow"), "uniform"),
    "flow, logit-normal times": ((process_table("flow"), "velocity", "flow"), "logit-normal"),
}
def even(sched, n): return spaced(sched.T, n)
def edm(sched, n): return [near(sched, -math.log(v), 1, sched.T) for v in levels(n, .01, 80.)]
SAMPLERS = {    # Heun's last step takes one evaluation
    "Euler 10": (ddim_update, even, 10), "Heun 9": (heun_update, edm, 5),
    "Euler 50": (ddim_update, even, 50), "Heun 49": (heun_update, edm, 25),
}


@torch.no_grad()
def drawn(net, update, times, n):
    "Bytes; the same noise and the same classes for all."
    out = []
    for start in range(0, N, 250):
        y = torch.arange(start, start + 250)%10
        xT = torch.randn(250, 1, 28, 28, generator=seeded(0, start))
        with torch.autocast("cpu", torch.bfloat16):
            x = sample(solver_steps(update, net.denoiser(y), net.sched, xT, times(net.sched, n)))
        out.append(to_bytes(x.float()))
    return torch.cat(out)


def row(kind, seed, judge, test):
    (reading, times), start = KINDS[kind], time.process_time()
    torch.manual_seed(seed)
    net = Loaded(UNet(**NETWORK), *reading)
    trained = train_network(net, mnist(), STEPS, times=times, batch_size=BATCH, lr=LR, seed=seed, progress=False, mixed_precision="bf16")
    if len(trained.log["loss"]) < STEPS: raise SystemExit("Stopped; called again, it goes on with this network from its start.")
    net = net._replace(model=trained.model.to(memory_format=torch.channels_last))
    distance = {name: frechet(features(judge.features, drawn(net, *how)), test) for name, how in SAMPLERS.items()}
    return dict(kind=kind, seed=seed, distance=distance, loss=trained.log["loss"][-100:].mean().item(), seconds=round(time.process_time() - start))


if __name__ == "__main__":
    torch.set_num_threads(1)
    about = dict(what="flow matching against diffusion on digits", command="python tests/measure_flow.py", network=NETWORK,
                 weights=sum(p.numel() for p in UNet(**NETWORK).parameters()), steps=STEPS, batch=BATCH, lr=LR, samples=N, seeds=SEEDS, samplers=list(SAMPLERS))
    old = json.loads(OUT.read_text()) if OUT.exists() else {}
    rows = old["rows"] if {k: old.get(k) for k in about} == about else []
    judge, digits = load("mnist-classifier").model, mnist("test")
    test = features(judge.features, digits.x)
    floor = frechet(features(judge.features, mnist().x[:N]), test)
    for kinds in (list(KINDS)[:2], list(KINDS)[2:]):
        for seed in range(SEEDS):
            for kind in kinds:
                if any((r["kind"], r["seed"]) == (kind, seed) for r in rows): continue
                rows.append(row(kind, seed, judge, test))
                print(time.strftime("%H:%M:%S"), rows[-1], flush=True)
                write_whole(OUT, (json.dumps(dict(about, floor=floor, rows=rows, hardware=machine()), indent=1, ensure_ascii=False) + "\n").encode())
