"""Inverse problems: every method with every kind of sampler, in both precisions, under both guidances."""
import pytest, torch
from d2c.ddim import ddim_update
from d2c.ddpm import ddpm_update, sample, strides, walk
from d2c.forward import clipped
from d2c.guidance import class_log_prob, classifier_free_guidance, classifier_guidance
from d2c.inverse import (blur, downscale, dps, dps_update, mask, matrix, measured, pigdm, posterior_given, replaced, resampled, restored,
                         twisted_update)
from d2c.oracle import GaussianMixture, moments, pinwheel
from d2c.schedule import cosine, spaced
from d2c.solvers import dpmpp_2m_update, heun_update

gm, sched, N, CLASS = pinwheel(), cosine(1000), 200, 3
A, y = torch.tensor([[.8, -.6]], dtype=torch.float64), torch.tensor([-1.2], dtype=torch.float64)
op, SIGMA = matrix(A), .3
METHODS = {"replacement": lambda d: replaced(d, sched, op, y), "ΠGDM": lambda d: pigdm(d, sched, op, y, SIGMA),
           "DPS": lambda d: dps(d, sched, op, y, SIGMA), "restored": lambda d: restored(d, sched, op, y, SIGMA, -3., 3.)}
SAMPLERS = {"DDPM": ddpm_update, "DDIM": ddim_update, "Heun": heun_update, "DPM-Solver++ 2M": dpmpp_2m_update,
            "resampling": lambda s: resampled(ddpm_update(s), s, 2)}
one = lambda k: GaussianMixture([1.], gm.m[k:k + 1], gm.S[k:k + 1])
alone = [one(k).denoiser(sched) for k in range(6)]


def of_class(xt, t, k):
    "The exact model of a class, and of any class for 6; all samples of one batch half share it."
    parts = [(gm.denoiser(sched) if i == 6 else alone[i])(xt[k == i], t) for i in k.unique().tolist()]
    return parts[0] if len(parts) == 1 else type(parts[0])(*(torch.cat([p[j] for p in reversed(parts)]) for j in range(2)))


classes = torch.full((N,), CLASS)
GUIDED = {"plain": gm.denoiser(sched), "classifier": classifier_guidance(
              gm.denoiser(sched), class_log_prob(lambda x, t: gm.classify(x, sched.at(int(t[0]))).to(x.dtype), classes), sched),
          "free": classifier_free_guidance(of_class, classes, 6)}


def drawn(update, denoise, dtype, steps=30):
    start = torch.randn(N, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    return sample(walk(update, denoise, start, strides(sched, spaced(1000, steps)[1:]), torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("guidance", GUIDED)
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", METHODS)
def test_matrix(method, sampler, guidance):
    out = {dtype: drawn(SAMPLERS[sampler](sched), METHODS[method](GUIDED[guidance]), dtype) for dtype in (torch.float32, torch.float64)}
    for dtype, x in out.items():
        assert x.dtype == dtype and x.shape == (N, 2) and x.isfinite().all()
        misfit = (op.A(x) - y).double().square().mean().sqrt()
        assert misfit < (1e-3 if method == "replacement" else 1.)
        if guidance != "plain": assert (gm.classify(x).argmax(1) == CLASS).double().mean() > .6
    if sampler in ("Heun", "DDIM", "DPM-Solver++ 2M"):       # no random numbers, which differ between the precisions
        close = (out[torch.float32] - out[torch.float64]).norm(dim=1) < .02
        assert close.double().mean() > .9


@pytest.mark.parametrize("guidance", GUIDED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_particles(guidance, dtype):
    x = drawn(twisted_update(sched, op, y, SIGMA, N), GUIDED[guidance], dtype, 60)
    assert x.dtype == dtype and x.isfinite().all()
    law = posterior_given(gm if guidance == "plain" else one(CLASS), A, y, SIGMA)
    mean, cov = moments(law)
    assert (x.double().mean(0) - mean).norm()/cov.trace()**.5 < .4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_published_dps(dtype):
    x = drawn(dps_update(sched, op, y, .5), GUIDED["plain"], dtype)
    assert x.dtype == dtype and x.isfinite().all()


@pytest.mark.parametrize("make, small", [(lambda: mask((torch.arange(64).reshape(1, 8, 8)%3 == 0)), 8), (lambda: downscale(2), 4), (lambda: blur(8, 1.), 8)])
def test_pictures_of_any_batch(make, small):
    "A picture made of normal numbers, of which everything is known: the mean of the answers is that of the exact law."
    flat = GaussianMixture([1.], torch.zeros(1, 64), torch.eye(64)[None])
    inner = flat.denoiser(sched)
    def pictures(xt, t): return type(g := inner(xt.flatten(1), t))(*(v.reshape(xt.shape) for v in g))
    op, x0 = make(), torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    seen = measured(op, x0, .1, torch.Generator().manual_seed(3))
    assert seen.shape == (1, 1, small, small)
    model = pigdm(pictures, sched, op, seen, .1)
    mean = torch.randn(400, 1, 8, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    got = sample(walk(ddim_update(sched), model, mean, strides(sched, spaced(1000, 40)))).mean(0)
    full = op.A(torch.eye(64, dtype=torch.float64).reshape(64, 1, 8, 8)).flatten(1).T
    used = seen.flatten(1)[0]
    want, _ = moments(posterior_given(flat, full, used*(full.abs().sum(1) > 0), .1))
    assert (got.flatten() - want).abs().max() < .25
