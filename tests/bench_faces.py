"""What `d2c train` costs at 64 × 64 in colour, beside bare PyTorch and beside the training loop of diffusers' examples.

python tests/bench_faces.py [--write]   (with --write the result goes to book/measured/faces_training.json)

The loops take turns, a few steps each, in one process; memory is the peak of a process that runs one loop only.
"""
import json, statistics, subprocess, sys, tempfile, time
from pathlib import Path
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from d2c.celeba import faces_network
from d2c.cli import DiffusersUNet
from d2c.data import Images, normalise
from d2c.measurements import machine
from d2c.schedule import linear
from d2c.training import ema_rule, rate, train

STEPS, ROUNDS, BATCH, WIDTH = 6, 7, 16, 32
g = torch.Generator().manual_seed(0)
data = Images(torch.randint(256, (1000, 3, 64, 64), dtype=torch.uint8, generator=g), torch.zeros(1000, dtype=torch.long), [])
sched = linear()


def clock(net, times):
    net.register_forward_pre_hook(lambda *_: times.append(time.perf_counter()))
    return net


def ours(net, times):
    "As train_celeba_ddpm calls it."
    def save(*_): pass
    with tempfile.TemporaryDirectory() as folder:
        train(clock(net, times), sched, data, STEPS, mirror=True, batch_size=BATCH, lr=2e-4, ema_decay=.9999, folder=folder, on_save=save,
              mixed_precision="no")


def bare(net, times):
    "PyTorch and nothing else."
    model = clock(net, times).train()
    opt = torch.optim.Adam(model.parameters(), lr=2e-4, fused=True)
    plan = torch.optim.lr_scheduler.LambdaLR(opt, lambda k: rate(k, STEPS, 100))
    mean, move = [p.detach().clone() for p in model.parameters()], ema_rule(.9999)
    abar = sched.abar.float()
    for k in range(STEPS):
        x0 = normalise(data.x[torch.randint(len(data.x), (BATCH,))])
        x0 = torch.where(torch.rand(BATCH, 1, 1, 1) < .5, x0, x0.flip(-1))
        t, eps = torch.randint(1, 1001, (BATCH,)), torch.randn_like(x0)
        a = abar[t][:, None, None, None]
        loss = F.mse_loss(model(a.sqrt()*x0 + (1 - a).sqrt()*eps, t), eps)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        opt.step(); opt.zero_grad(); plan.step()
        with torch.no_grad(): move(mean, list(model.parameters()), k)


def diffusers(net, times):
    "The steps of diffusers' example of unconditional training, with its averages, on data in memory."
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel
    from tqdm.auto import tqdm
    accelerator, model = Accelerator(), clock(net.net, times)
    noise_scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    ema = EMAModel(model.parameters(), decay=.9999, use_ema_warmup=True, inv_gamma=1., power=.75)
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(.95, .999), weight_decay=1e-6, eps=1e-8)
    class Pictures(torch.utils.data.Dataset):
        def __len__(self): return len(data.x)
        def __getitem__(self, i):
            x = data.x[i]
            return {"input": (x.flip(-1) if torch.rand(()) < .5 else x).float()/127.5 - 1}
    loader = torch.utils.data.DataLoader(Pictures(), batch_size=BATCH, shuffle=True)
    plan = get_scheduler("cosine", optimizer=opt, num_warmup_steps=500, num_training_steps=STEPS)
    model, opt, loader, plan = accelerator.prepare(model, opt, loader, plan)
    bar = tqdm(total=STEPS)
    for k, batch in zip(range(STEPS), loader):
        clean = batch["input"]
        noise = torch.randn(clean.shape)
        times_ = torch.randint(0, 1000, (BATCH,)).long()
        noisy = noise_scheduler.add_noise(clean, noise, times_)
        with accelerator.accumulate(model):
            loss = F.mse_loss(model(noisy, times_).sample, noise)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.)
            opt.step(); plan.step(); opt.zero_grad()
        ema.step(model.parameters())
        bar.update(1); bar.set_postfix(loss=loss.detach().item(), lr=plan.get_last_lr()[0], step=k)


def network(kind):
    torch.manual_seed(0)
    return faces_network(64, WIDTH, DiffusersUNet) if kind == "diffusers" else faces_network(64, WIDTH)


CASES = {"d2c": (ours, "d2c"), "bare": (bare, "d2c"), "d2c, network of diffusers": (ours, "diffusers"),
         "diffusers": (diffusers, "diffusers")}


def peak(name):
    "Megabytes that a process had at most, which ran one loop."
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import bench_faces as b; loop, kind = b.CASES[{name!r}]; " \
           "loop(b.network(kind), []); print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()[-1])/1024


def ratio(steps, one, other):
    "How many times as fast one loop is as another: the median over the rounds, and the range of half of them."
    rounds = [statistics.median(b)/statistics.median(a) for a, b in zip(steps[one], steps[other])]
    low, middle, high = statistics.quantiles(rounds, n=4)
    return dict(median=round(middle, 3), quartiles=[round(low, 3), round(high, 3)])


if __name__ == "__main__":
    steps = {name: [] for name in CASES}
    for k in range(ROUNDS):
        for name, (loop, kind) in list(CASES.items())[::1 if k%2 else -1]:
            loop(network(kind), times := [])
            steps[name].append([b - a for a, b in zip(times[1:], times[2:])])
    result = dict(
        what=f"a training step at 64 × 64 × 3, batch {BATCH}, width {WIDTH}, float32", command="python tests/bench_faces.py --write",
        ms={name: round(1e3*statistics.median(sum(v, []))) for name, v in steps.items()},
        megabytes={name: round(peak(name)) for name in CASES}, rounds=ROUNDS,
        speed_to_bare=ratio(steps, "d2c", "bare"), speed_to_diffusers=ratio(steps, "d2c, network of diffusers", "diffusers"),
        speed_of_own_network=ratio(steps, "d2c", "diffusers"), hardware=machine())
    print(json.dumps(result, indent=1, ensure_ascii=False))
    if "--write" in sys.argv:
        path = Path(__file__).parent.parent/"book"/"measured"/"faces_training.json"
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
