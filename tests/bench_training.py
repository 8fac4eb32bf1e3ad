"""What the training loop costs beside bare PyTorch: steps of both, in turn, in one process.

python tests/bench_training.py [--write]   (with --write the result goes to book/measured/training.json)
"""
import json, statistics, sys, time
from pathlib import Path
import torch
from d2c.data import mnist, normalise
from d2c.forward import v_from_eps
from d2c.measurements import machine
from d2c.schedule import cosine
from d2c.training import ema_rule, rate, train
from d2c.unet import digits

STEPS, ROUNDS, BATCH = 30, 6, 64
sched, data = cosine(), mnist()


class Clocked(torch.nn.Module):
    "A network that notes when it is called, once a step."
    def __init__(self, net, times):
        super().__init__()
        self.net, self.times, self.num_classes = net, times, net.num_classes
    def forward(self, *inputs):
        self.times.append(time.perf_counter())
        return self.net(*inputs)
    def __deepcopy__(self, memo): return Clocked(digits(), [])    # the average


def ours():
    times = []
    train(Clocked(digits(), times), sched, data, STEPS, "v", batch_size=BATCH, mixed_precision="no", progress=False)
    return times


def bare():
    times = []
    model = Clocked(digits(), times)
    opt = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    plan = torch.optim.lr_scheduler.LambdaLR(opt, lambda k: rate(k, STEPS, 100))
    mean, move = [p.detach().clone() for p in model.parameters()], ema_rule(.999)
    abar = sched.abar.float()
    for k in range(STEPS):
        i = torch.randint(len(data.x), (BATCH,))
        x0, t, eps = normalise(data.x[i]), torch.randint(1, 1001, (BATCH,)), torch.randn(BATCH, 1, 28, 28)
        y = torch.where(torch.rand(BATCH) < .15, 10, data.y[i])
        a = abar[t][:, None, None, None]
        loss = (model(a.sqrt()*x0 + (1 - a).sqrt()*eps, t, y) - v_from_eps(sched, x0, t, eps)).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        opt.step(); opt.zero_grad(); plan.step()
        with torch.no_grad(): move(mean, list(model.parameters()), k)
    return times


if __name__ == "__main__":
    steps = {"ours": [], "bare": []}
    for k in range(ROUNDS):
        for name, loop in (("ours", ours), ("bare", bare))[::1 if k%2 else -1]:
            times = loop()
            steps[name] += [b - a for a, b in zip(times[5:], times[6:])]
    ours_s, bare_s = (statistics.median(steps[name]) for name in ("ours", "bare"))
    result = dict(
        what="a training step of the digits network, batch 64, float32", command="python tests/bench_training.py --write",
        ours_ms=round(1e3*ours_s, 2), bare_ms=round(1e3*bare_s, 2), ratio=round(ours_s/bare_s, 4),
        images_per_second=round(BATCH/ours_s), steps=len(steps["ours"]), hardware=machine())
    print(json.dumps(result, indent=1))
    if "--write" in sys.argv:
        path = Path(__file__).parent.parent/"book"/"measured"/"training.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
