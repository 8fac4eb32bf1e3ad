"""Bits per dimension of the digits network's flow: with uniform noise and with its own, beside the bound of its chain.

python tests/measure_density.py [DIGITS]   (32 test digits unless told; some four minutes of one core)

The results go to book/measured/density.json.
"""
import json, math, sys, time
from pathlib import Path
import torch
from d2c.data import mnist, normalise, seeded, write_whole
from d2c.density import angles, circle, flow_field, in_angle, log_likelihood, own_bound, rademacher, uniform_bound, with_probe
from d2c.elbo import bits_per_dim, bound, total
from d2c.forward import clipped, denoiser
from d2c.measurements import machine
from d2c.oracle import Guess
from d2c.pretrained import load
from d2c.sde import between

NAME, STEPS, SEED = "mnist-uncond", 20, 0
RESULT = Path(__file__).parent.parent/"book"/"measured"/"density.json"
loaded = load(NAME)
sched, table = loaded.sched, between(loaded.sched)
for p in loaded.model.parameters(): p.requires_grad_(False)
inner = in_angle(denoiser(loaded.model, table, loaded.predicts), sched)
field = flow_field(lambda x, angle: Guess(*(v.double() for v in inner(x.float(), angle))), circle(math.pi/2))
FIRST, LAST = (math.atan(table.varsigma(t)) for t in (1, sched.T))


def log_prob(steps, seed=SEED):
    "Log-density of x_1, with one probe for each digit's whole way."
    def of(x):
        return log_likelihood(with_probe(field, rademacher(x.double(), seeded(seed, 7))), x, angles(steps, FIRST, LAST))
    return of


def bits(nats): return bits_per_dim(nats, 28*28)


def mean(nats):
    "In bits, with a 95 % interval over digits, noise and probes together."
    return {"value": bits(nats.mean().item()), "error": 1.96*bits(nats.std().item())/len(nats)**.5}


if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    order = torch.randperm(10_000, generator=seeded(SEED, 1))[:n]
    x0, start = normalise(mnist("test").x[order]), time.perf_counter()
    # a density of x_1, read as one of x_1/√ᾱ_1
    on_data = lambda of: lambda x: of(sched.at(1)**.5*x) + x[0].numel()/2*math.log(sched.at(1))
    own = lambda of, x: own_bound(of, loaded.denoiser(), sched, x, seeded(SEED, 2))
    uniform = torch.cat([uniform_bound(on_data(log_prob(STEPS, i)), x, seeded(SEED, 3, i)) for i, x in enumerate(x0.split(16))])
    print("uniform", mean(uniform), time.perf_counter() - start, flush=True)
    ours = torch.cat([own_bound(log_prob(STEPS, i), loaded.denoiser(), sched, x, seeded(SEED, 2, i)) for i, x in enumerate(x0.split(16))])
    print("own", mean(ours), time.perf_counter() - start, flush=True)
    few = x0[:8]
    steps = {k: bits(own(log_prob(k), few).mean().item()) for k in (STEPS//2, STEPS, 2*STEPS)}
    print(steps, time.perf_counter() - start, flush=True)
    probes = torch.stack([own(log_prob(STEPS//2, s), few) for s in range(4)])
    nats, error = total(bound(clipped(loaded.denoiser(), sched), sched, x0, 16, seeded(SEED, 4), var="beta_tilde"))
    result = {"network": NAME, "digits": n, "steps": STEPS, "evaluations": 4*STEPS, "uniform": mean(uniform), "own": mean(ours),
              "own less uniform": mean(ours - uniform), "chain": {"value": bits(nats), "error": 1.96*bits(error)},
              "of eight digits, by steps": steps, "spread of one probe": bits(probes.std(0).mean().item()),
              "seconds": round(time.perf_counter() - start), "hardware": machine()}
    write_whole(RESULT, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result))
