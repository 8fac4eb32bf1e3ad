"""What each choice of EDM's design changes, one at a time: small networks in the plane, several seeds.

python tests/measure_edm.py   (seven minutes of a core)

The results go to book/measured/edm.json.
"""
import json, math, time
from pathlib import Path
import torch
import torch.nn as nn
from d2c.conventions import precondition
from d2c.data import write_whole
from d2c.ddim import ddim_update
from d2c.ddpm import sample
from d2c.edm import as_edm, edm_loss, edm_process, edm_weight, from_edm, lognormal, out_for, preconditioned
from d2c.measurements import machine
from d2c.oracle import GaussianMixture, moments, pinwheel
from d2c.schedule import cosine, spaced
from d2c.solvers import heun_update, levels, solver_steps
from d2c.training import rate

OUT = Path(__file__).parent.parent/"book"/"measured"/"edm.json"
SEEDS, BATCH, STEPS, WIDTH, LR, EMA = 8, 256, 2000, 64, 5e-3, .995
LOW, HIGH, N = .002, 80., 18
BANDS = {"low": (-5.5, -3.), "middle": (-3., -.5), "high": (-.5, 4.)}    # of ln σ


def seed(k): return torch.Generator().manual_seed(k)


def of_size(gm, size):
    "The mixture scaled to a root mean square."
    mean, cov = moments(gm)
    c = size/((mean @ mean + cov.trace())/len(mean)).sqrt()
    return GaussianMixture(gm.w, c*gm.m, c**2*gm.S)


class Stack(nn.Module):
    "One network for each seed, all at once: each sees its own part of a batch."
    def __init__(self):
        super().__init__()
        sizes = [3, WIDTH, WIDTH, WIDTH, 2]
        def start(k, i, o): return torch.stack([torch.randn(i, o, generator=seed(10*s + k)) for s in range(SEEDS)])/i**.5
        self.W = nn.ParameterList(start(k, i, o)*(o != 2) for k, (i, o) in enumerate(zip(sizes, sizes[1:])))
        self.b = nn.ParameterList(torch.zeros(SEEDS, 1, o) for o in sizes[1:])

    def forward(self, x, c):
        h = torch.cat([x, c[:, None]], 1).reshape(SEEDS, -1, 3)
        for k, (W, b) in enumerate(zip(self.W, self.b)):
            h = torch.baddbmm(b, nn.functional.silu(h) if k else h, W)
        return h.reshape(len(x), 2)


def trained(gm, parts=precondition, weight=edm_weight, law=lognormal, sigma_data=.5):
    "As `train_edm` does, for all seeds at once; the average of the weights."
    net = Stack()
    data = gm.sample(50_000, seed(1))[0].float()
    opt, means, g = torch.optim.Adam(net.parameters(), lr=LR), [p.detach().clone() for p in net.parameters()], seed(2)
    D = preconditioned(net, sigma_data, parts)
    for k in range(STEPS):
        for group in opt.param_groups: group["lr"] = LR*rate(k, STEPS, 100)
        x0 = data[torch.randint(len(data), (SEEDS*BATCH,), generator=g)]
        u = (torch.arange(BATCH) + torch.rand(SEEDS, BATCH, generator=g, dtype=torch.float64))/BATCH
        loss = edm_loss(D, x0, law(u.flatten()).float(), torch.randn(x0.shape, generator=g), None, sigma_data, weight)
        opt.zero_grad()
        (loss.mean()*SEEDS).backward()
        for own in zip(*(p.grad for p in net.parameters())):    # as `fit` clips, seed by seed
            norm = torch.stack([v.norm() for v in own]).norm()
            for v in own: v.mul_((1/norm).clamp(max=1))
        opt.step()
        torch._foreach_lerp_(means, list(net.parameters()), 1 - min(EMA, (2 + k)/(11 + k)))
    for p, m in zip(net.parameters(), means): p.data.copy_(m)
    return preconditioned(net.requires_grad_(False), sigma_data, parts)


def excess(D, exact, x0, eps):
    "By band: mean square of what the network's F is off, in EDM's units, of each seed."
    out = {}
    for name, (lo, hi) in BANDS.items():
        errors = []
        for log in torch.arange(lo + .125, hi, .25).tolist():
            sigma = math.exp(log)
            x = (x0 + sigma*eps).float()
            gap = D(x.repeat(SEEDS, 1), sigma).reshape(SEEDS, -1, 2) - exact(x.double(), sigma).float()
            errors.append(edm_weight(sigma)*gap.square().mean((1, 2)))
        out[name] = torch.stack(errors).mean(0)
    return out


def summary(v):
    "Mean over the seeds and its standard error."
    return [v.mean().item(), v.std().item()/len(v)**.5]


def cosine_law(u): return (torch.pi*u/2).tan().clamp(max=HIGH)
def log_uniform(u): return LOW*(HIGH/LOW)**u
def uniform(u): return LOW + (HIGH - LOW)*u
def higher(u): return lognormal(u, 0.)
def lower(u): return lognormal(u, -2.4)
def inside(skip):
    "Unit variance with another c_skip: 0 predicts the data, 1 the noise."
    def parts(s, d): return skip + 0*s, out_for(skip + 0*s, s, d), *precondition(s, d)[2:]
    return parts
def own(parts): return lambda s, d: parts(s, d)[1]**-2
def no_c_in(s, d): return (*(p := precondition(s, d))[:2], 0*s + 1, p[3])
def told(c_noise): return lambda s, d: (*precondition(s, d)[:3], c_noise(s))

TRAININGS = {
    "EDM": {},
    "the data predicted, c_skip = 0": dict(parts=inside(0), weight=own(inside(0))),
    "the noise predicted, c_skip = 1": dict(parts=inside(1), weight=own(inside(1))),
    "input not scaled, c_in = 1": dict(parts=no_c_in),
    "told ln σ, not its quarter": dict(parts=told(torch.log)),
    "told σ itself": dict(parts=told(lambda s: s)),
    "λ = 1": dict(weight=lambda s, d: 0*s + 1),
    "λ = 1/σ²": dict(weight=lambda s, d: s**-2),
    "σ even in its logarithm": dict(law=log_uniform),
    "σ even in itself": dict(law=uniform),
    "σ of the cosine schedule": dict(law=cosine_law),
    "P_mean = 0": dict(law=higher),
    "P_mean = −2.4": dict(law=lower),
    "σ_d taken for 1": dict(sigma_data=1.),
}


def samplers():
    "Update, levels and evaluations."
    table = cosine(1000).abar[spaced(1000, N)]
    of_cosine = [v for v in (((1 - table)/table)**.5).tolist() if v < HIGH]
    return {
        "EDM": (heun_update, levels(N, LOW, HIGH)),
        "ρ = 1, even in σ": (heun_update, levels(N, LOW, HIGH, 1.)),
        "ρ = 3": (heun_update, levels(N, LOW, HIGH, 3.)),
        "ρ = ∞, even in ln σ": (heun_update, levels(N, LOW, HIGH, math.inf)),
        "levels of the cosine schedule": (heun_update, [HIGH, *of_cosine]),
        "Euler, as many evaluations": (ddim_update, levels(2*N - 1, LOW, HIGH)),
    }


if __name__ == "__main__":
    start, gm, p = time.time(), of_size(pinwheel(), .5), edm_process(HIGH)
    exact = as_edm(gm.denoiser(p), lambda sigma: sigma)
    x0, eps = gm.sample(2000, seed(3))[0], torch.randn(2000, 2, generator=seed(4), dtype=torch.float64)
    xT = torch.randn(2000, 2, generator=seed(5), dtype=torch.float64)
    def drawn(denoise, x, update, at): return sample(solver_steps(update, denoise, p, x, at))
    edm, kept = samplers()["EDM"], None
    flow = drawn(gm.denoiser(p), xT, heun_update, levels(300, LOW, HIGH))    # where the exact flow leads
    same = drawn(gm.denoiser(p), xT, *edm)                                   # where the exact denoiser's sampler does
    def off(got, want): return (got.double().reshape(-1, *want.shape) - want).norm(dim=2).median(1).values/(.5*2**.5)
    def off_of(D, want, *how): return off(drawn(from_edm(D, p), xT.float().repeat(SEEDS, 1), *how), want)

    result = dict(what="EDM's choices, one at a time, in the plane", command="python tests/measure_edm.py",
                  seeds=SEEDS, batch=BATCH, steps=STEPS, width=WIDTH, lr=LR, evaluations=2*N - 1, bands=BANDS,
                  training={}, sampling={})
    for name, choice in TRAININGS.items():
        D = trained(gm, **choice)
        kept = kept or D
        row = {k: summary(v) for k, v in excess(D, exact, x0, eps).items()}
        row["off"] = summary(off_of(D, same, *edm))
        result["training"][name] = row
        print(f"{time.time() - start:4.0f} s  {name:34}", *(f"{k} {m:.4f} ± {e:.4f}" for k, (m, e) in row.items()), flush=True)
    for name, how in samplers().items():
        row = dict(off=summary(off_of(kept, flow, *how)), exact=off(drawn(gm.denoiser(p), xT, *how), flow).item())
        result["sampling"][name] = row
        print(f"{time.time() - start:4.0f} s  {name:34} {row}", flush=True)
    write_whole(OUT, (json.dumps(dict(result, hardware=machine()), indent=1, ensure_ascii=False) + "\n").encode())
