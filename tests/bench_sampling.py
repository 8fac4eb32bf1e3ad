"""What the samplers cost beside their peers: a network of no cost, all in turn, in one process, one thread.

python tests/bench_sampling.py [--write]   (with --write the result goes to book/measured/sampling.json)

The bare loops are what one would write by hand for one sampler and nothing else. Packages that are not installed are
left out, but for diffusers.
"""
import json, statistics, sys, time
from pathlib import Path
import torch
from diffusers import DDIMScheduler, DDPMScheduler, __version__
from d2c.ddim import ddim_steps
from d2c.ddpm import ddpm_steps, sample
from d2c.measurements import machine
from d2c.forward import clipped, denoiser
from d2c.pretrained import load
from d2c.schedule import linear, spaced

ROUNDS, SHAPE = 15, (16, 3, 32, 32)
sched = linear()
noise = torch.zeros(SHAPE)
xT = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


def model(x, t): return noise


denoise = denoiser(model, sched)


def ours_ddim(denoise=denoise): return sample(ddim_steps(denoise, sched, xT, spaced(1000, 50)))
def ours_ddpm(denoise=denoise): return sample(ddpm_steps(denoise, sched, xT))
def ours_ddim_clipped(): return ours_ddim(clipped(denoise, sched))
def ours_ddpm_clipped(): return ours_ddpm(clipped(denoise, sched))


@torch.no_grad()
def scheduled(scheduler, n):
    scheduler.set_timesteps(n)
    x = xT
    for t in scheduler.timesteps: x = scheduler.step(model(x, t), t, x).prev_sample
    return x


def diffusers_ddim(): return scheduled(DDIMScheduler(1000, timestep_spacing="trailing", clip_sample=False), 50)
def diffusers_ddpm(): return scheduled(DDPMScheduler(1000, clip_sample=False), 1000)


@torch.no_grad()
def bare_ddim():
    x, abar, times = xT, sched.abar.tolist(), [*range(1000, 0, -20), 0]
    for t, s in zip(times, times[1:]):
        eps = model(x, t)
        x0 = (x - (1 - abar[t])**.5*eps)/abar[t]**.5
        x = abar[s]**.5*x0 + (1 - abar[s])**.5*eps
    return x


@torch.no_grad()
def bare_ddpm():
    x, abar = xT, sched.abar.tolist()
    for t in range(1000, 0, -1):
        beta = 1 - abar[t]/abar[t - 1]
        x = (x - beta/(1 - abar[t])**.5*model(x, t))/(1 - beta)**.5
        if t > 1: x = x + (beta*(1 - abar[t - 1])/(1 - abar[t]))**.5*torch.randn_like(x)
    return x


def small_ddpm():
    "smalldiffusion's sampler (γ = 1, μ = ½ is DDPM), on the same noise levels."
    from smalldiffusion import samples
    class Net(torch.nn.Module):
        input_dims = SHAPE[1:]
        def predict_eps(self, x, sigma): return noise
        def predict_eps_cfg(self, x, sigma, *rest): return noise
        def rand_input(self, n): return torch.randn(SHAPE)
    sigmas = ((1 - sched.abar[1:])/sched.abar[1:]).sqrt().flip(0).float()
    for x in samples(Net(), torch.cat([sigmas, torch.tensor([1e-3])]), gam=1., mu=.5, batchsize=len(xT)): pass
    return x


def lucid_ddpm():
    "denoising-diffusion-pytorch's sampler."
    from denoising_diffusion_pytorch import GaussianDiffusion
    class Net(torch.nn.Module):
        channels, self_condition, random_or_learned_sinusoidal_cond, out_dim = 3, False, False, 3
        def __init__(self): super().__init__(); self.p = torch.nn.Parameter(torch.zeros(1))
        def forward(self, x, t, *rest): return noise
    diffusion = GaussianDiffusion(Net(), image_size=32, timesteps=1000, beta_schedule="linear", objective="pred_noise")
    import denoising_diffusion_pytorch.denoising_diffusion_pytorch as module
    module.tqdm = lambda it, **kw: it
    return diffusion.p_sample_loop(SHAPE)


def digits(steps, eta):
    "Sixteen digits by the network that ships."
    loaded, y = load("mnist-cond"), torch.arange(16)%10
    noise = torch.randn(16, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return lambda: sample(ddim_steps(clipped(loaded.denoiser(y), loaded.sched), loaded.sched, noise, spaced(1000, steps), eta))


def installed(name):
    from importlib.util import find_spec
    return find_spec(name) is not None


if __name__ == "__main__":
    torch.set_num_threads(1)
    ddim = {"ours": ours_ddim, "ours, clipped": ours_ddim_clipped, "diffusers": diffusers_ddim, "bare loop": bare_ddim}
    ddpm = {"ours": ours_ddpm, "ours, clipped": ours_ddpm_clipped, "diffusers": diffusers_ddpm, "bare loop": bare_ddpm}
    if installed("smalldiffusion"): ddpm["smalldiffusion"] = small_ddpm
    if installed("denoising_diffusion_pytorch"): ddpm["denoising-diffusion-pytorch"] = lucid_ddpm
    assert torch.allclose(ours_ddim(), diffusers_ddim(), rtol=1e-3) and torch.allclose(ours_ddim(), bare_ddim(), rtol=1e-3)
    result = {}
    for name, runs, steps in (("DDIM-50, η = 0", ddim, 50), ("DDPM-1000", ddpm, 1000)):
        times = {run: [] for run in runs}
        for k in range(ROUNDS + 1):
            for run, work in list(runs.items())[::1 if k%2 else -1]:
                start = time.perf_counter()
                for _ in range(10 if steps == 50 else 1): work()
                if k: times[run].append((time.perf_counter() - start)/steps/(10 if steps == 50 else 1))
        result[name] = {run: round(1e6*statistics.median(t), 1) for run, t in times.items()}
    drawn = {"DDPM, 1000 steps": digits(1000, 1.), **{f"DDIM, {k} steps": digits(k, 0.) for k in (100, 50, 20, 10)}}
    times = {run: [] for run in drawn}
    for k in range(3):
        for run, work in list(drawn.items())[::1 if k%2 else -1]:
            start = time.perf_counter()
            work()
            times[run].append(time.perf_counter() - start)
    result["seconds for 16 digits by mnist-cond"] = {run: round(statistics.median(t), 3) for run, t in times.items()}
    result = dict(what=f"microseconds a step, a network of no cost, a batch of {SHAPE}, float32",
                  command="python tests/bench_sampling.py --write", **result, diffusers=__version__, hardware=machine())
    print(json.dumps(result, indent=1, ensure_ascii=False))
    if "--write" in sys.argv:
        path = Path(__file__).parent.parent/"book"/"measured"/"sampling.json"
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
