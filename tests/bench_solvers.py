"""What the solvers cost beside a loop written by hand and diffusers' schedulers: a network of no cost, all in turn, one process, one thread, of which the processor's time counts.

python tests/bench_solvers.py [--write]   (with --write the result goes to book/measured/solvers.json)
"""
import json, math, statistics, sys, time
from pathlib import Path
import numpy as np
import torch
import diffusers
from diffusers import DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler, HeunDiscreteScheduler, LMSDiscreteScheduler
from d2c.ddpm import sample
from d2c.forward import denoiser
from d2c.measurements import machine
from d2c.schedule import linear, spaced
from d2c.solvers import dpm2_update, dpmpp_2m_update, heun_update, multistep_update, solver_steps

diffusers.utils.logging.set_verbosity_error()
ROUNDS, SHAPE, N = 9, (16, 3, 32, 32), 20
sched, times = linear(), spaced(1000, N)
noise = torch.zeros(SHAPE)
xT = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
abar = sched.abar.tolist()
A, S = [a**.5 for a in abar], [(1 - a)**.5 for a in abar]
lam = [math.log(a/s) if s else math.inf for a, s in zip(A, S)]
pairs = list(zip(times, [*times[1:], 0]))


def model(x, t): return noise


def ours(make, **options): return lambda: sample(solver_steps(make, denoiser(model, sched), sched, xT, times, **options))


def guess(x, t):
    eps = model(x, t)
    return (x - S[t]*eps)/A[t]


@torch.no_grad()
def bare_heun():
    "As in EDM's generate.py: x is x_0 + ς ε, and the network is read as a denoiser."
    V = [s/a for a, s in zip(A, S)]
    x = xT/A[times[0]]
    def D(x, t): return x - V[t]*model(x*A[t], t)
    for t, s in pairs:
        d = (x - D(x, t))/V[t]
        new = x + (V[s] - V[t])*d
        if s: new = x + (V[s] - V[t])*(.5*d + .5*(new - D(new, s))/V[s])
        x = new
    return x


@torch.no_grad()
def bare_dpm2():
    x = xT
    for t, s in pairs:
        eps = model(x, t)
        if s == 0: return (x - S[t]*eps)/A[t]
        m = min(range(s, t), key=lambda m: abs(2*lam[m] - lam[s] - lam[t]))
        r = (lam[m] - lam[t])/(lam[s] - lam[t])
        mid = model(A[m]/A[t]*x - S[m]*math.expm1(lam[m] - lam[t])*eps, m)
        x = A[s]/A[t]*x - S[s]*math.expm1(lam[s] - lam[t])*(eps + (mid - eps)/(2*r))


@torch.no_grad()
def bare_2m(eta=0.):
    x, old = xT, None
    for t, s in pairs:
        x0, D = guess(x, t), None
        D = x0
        if old is not None and s: D = x0 + (lam[s] - lam[t])/2/(lam[t] - lam[before])*(x0 - old)
        old, before = x0, t
        sigma = eta*(S[s]/S[t])*(1 - abar[t]/abar[s])**.5
        keep = (S[s]**2 - sigma**2)**.5/S[t]
        x = keep*x + (A[s] - keep*A[t])*D
        if sigma: x = x + sigma*torch.randn_like(x)
    return x


@torch.no_grad()
def bare_3m():
    x, past = xT, []
    for t, s in pairs:
        x0 = guess(x, t)
        if s == 0: return x0
        past = [(lam[t], x0), *past[:2]]
        h, k = lam[s] - lam[t], len(past)
        I = [-math.expm1(-h)]
        for j in range(1, k): I.append(h**j/math.factorial(j) - I[-1])
        b = np.linalg.solve([[(l - lam[t])**i/math.factorial(i) for l, _ in past] for i in range(k)], I).tolist()
        x = S[s]/S[t]*x
        for w, (_, D) in zip(b, past): x = x + A[s]*w*D


@torch.no_grad()
def bare_adams():
    x, past, V = xT, [], [s/a for a, s in zip(A, S)]
    for t, s in pairs:
        past = [(V[t], model(x, t)), *past[:3]]
        h, k = V[s] - V[t], len(past)
        b = np.linalg.solve([[(v - V[t])**i for v, _ in past] for i in range(k)], [h**(i + 1)/(i + 1) for i in range(k)]).tolist()
        x = A[s]/A[t]*x
        for w, (_, eps) in zip(b, past): x = x + A[s]*w*eps
    return x


def theirs(kind, n=N, **options):
    @torch.no_grad()
    def run():
        scheduler = kind(1000, beta_start=1e-4, beta_end=.02, **options)
        scheduler.set_timesteps(n)
        x = xT*scheduler.init_noise_sigma
        for t in scheduler.timesteps: x = scheduler.step(model(scheduler.scale_model_input(x, t), t), t, x).prev_sample
        return x
    return run


RUNS = { # name: ours, by hand, diffusers'
    "Heun": (ours(heun_update), bare_heun, theirs(HeunDiscreteScheduler, timestep_spacing="trailing")),
    "DPM-Solver-2": (ours(dpm2_update), bare_dpm2, theirs(DPMSolverSinglestepScheduler, 2*N, solver_order=2)),
    "DPM-Solver++(2M)": (ours(dpmpp_2m_update), bare_2m, theirs(DPMSolverMultistepScheduler, solver_order=2)),
    "SDE-DPM-Solver++(2M)": (ours(dpmpp_2m_update, eta=1.), lambda: bare_2m(1.), theirs(DPMSolverMultistepScheduler, solver_order=2, algorithm_type="sde-dpmsolver++")),
    "DPM-Solver++(3M)": (ours(multistep_update, order=3), bare_3m, theirs(DPMSolverMultistepScheduler, solver_order=3)),
    "Adams, 4": (ours(multistep_update, order=4, kind="adams"), bare_adams, theirs(LMSDiscreteScheduler)),
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    result = {}
    for name, runs in RUNS.items():
        if "SDE" not in name and name != "DPM-Solver-2": assert torch.allclose(runs[0](), runs[1](), rtol=1e-3, atol=1e-3), name
        took = [[], [], []]
        for k in range(ROUNDS + 1):
            for i in (0, 1, 2)[::1 if k%2 else -1]:
                start = time.process_time()
                for _ in range(5): runs[i]()
                if k: took[i].append((time.process_time() - start)/5/N)
        us = [round(1e6*statistics.median(t), 1) for t in took]
        result[name] = dict(zip(("ours", "bare loop", "diffusers"), us), to_bare=round(us[0]/us[1], 2), to_diffusers=round(us[0]/us[2], 2))
        print(f"{name:>22}: {us[0]:6.1f} µs a step, {us[0]/us[1]:.2f} × a bare loop, {us[0]/us[2]:.2f} × diffusers", flush=True)
    result = dict(what=f"microseconds a step, a network of no cost, a batch of {SHAPE}, float32; diffusers' DPM-Solver-2 takes two steps for one of ours, and both are counted",
                  command="python tests/bench_solvers.py --write", **result, diffusers=diffusers.__version__, hardware=machine())
    if "--write" in sys.argv:
        path = Path(__file__).parent.parent/"book"/"measured"/"solvers.json"
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
