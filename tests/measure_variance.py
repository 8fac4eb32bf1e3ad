"""Bits per dimension of digits with fixed, analytic and learned variances, in 1000 steps and in fewer.

python tests/measure_variance.py   (half an hour of one core)

`mnist-uncond` is given a second half, which is fine-tuned with the rest by the hybrid loss. The bound is that of test
digits. The results go to book/measured/variance.json; the fine-tuned weights are not kept.
"""
import json, time
from pathlib import Path
import torch
from d2c.data import mnist, normalise, write_whole
from d2c.ddpm import strides
from d2c.elbo import bits_per_dim, total
from d2c.forward import clipped, denoiser, q_sample
from d2c.measurements import machine
from d2c.pretrained import load
from d2c.runs import precision_here
from d2c.schedule import spaced
from d2c.training import train
from d2c.variance import analytic_var, eps_squares, hybrid_loss, learned_bound, nu_from_var, with_nu, with_variance

RESULT = Path(__file__).parent.parent/"book"/"measured"/"variance.json"
STEPS, BATCH, LR = 1500, 64, 1e-3
DRAWS = {1000: 32, 250: 64, 100: 128, 25: 512}    # for each term of the bound


def seed(k): return torch.Generator().manual_seed(k)


def bits(model, sched, x0, n):
    "Bits per dimension in n steps, and the standard error."
    draws = learned_bound(model, sched, x0, spaced(1000, n), DRAWS[n], seed(1))
    value, error = total(draws)
    first = draws[0].mean().item()
    dims = x0[0].numel()
    return dict(bits=bits_per_dim(value, dims), error=bits_per_dim(error, dims), first=bits_per_dim(first, dims))


def by_table(model, sched, squares, n):
    "The model with Analytic-DPM's variances for n steps."
    nu = {t: nu_from_var(sched, t, s, analytic_var(sched, t, s, squares)).item() for t, s in strides(sched, spaced(1000, n))}
    return with_nu(model, lambda xt, t: nu[t])


@torch.no_grad()
def maps(model, sched, x0):
    "One digit with noise at some times, and ν of each pixel."
    eps = torch.randn(x0.shape, generator=seed(2))
    def at(t):
        xt = q_sample(sched, x0, t, eps)
        return dict(t=t, xt=[round(v, 2) for v in xt.flatten().tolist()], nu=[round(v, 2) for v in model(xt, t).nu.flatten().tolist()])
    return [at(t) for t in (2, 10, 50, 200)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    shipped = load("mnist-uncond")
    sched, predicts, test = shipped.sched, shipped.predicts, normalise(mnist("test").x)
    limited = lambda model: clipped(denoiser(model, sched, predicts), sched)
    start = time.time()
    tuned = train(with_variance(shipped.model), sched, mnist(), STEPS, predicts, loss=hybrid_loss, batch_size=BATCH, lr=LR, progress=False)
    minutes = (time.time() - start)/60
    print(f"trained for {minutes:.1f} minutes", flush=True)
    old, new = limited(shipped.model), limited(tuned.model)
    squares = eps_squares(old, sched, test, 16, seed(0))
    rows = []
    for n in DRAWS:
        models = {"beta_tilde": with_nu(old, 0.), "beta": with_nu(old, 1.), "analytic": by_table(old, sched, squares, n),
                  "learned": new, "beta, fine-tuned": with_nu(new, 1.)}
        rows.append(dict(steps=n, **{name: bits(model, sched, test, n) for name, model in models.items()}))
        print(rows[-1], flush=True)
    result = dict(what="bits per dimension of MNIST test digits", command="python tests/measure_variance.py", pictures=STEPS*BATCH,
                  steps=STEPS, batch=BATCH, lr=LR, minutes=round(minutes, 1), precision=precision_here(shipped.model), draws=DRAWS,
                  rows=rows, maps=maps(new, sched, test[:1]), hardware=machine())
    write_whole(RESULT, (json.dumps(result) + "\n").encode())
