"""Split Gibbs: under every guidance, in both precisions, for every measurement of pictures, with every update that draws."""
import pytest, torch
from d2c.ddpm import ddpm_update, sample, strides, walk
from d2c.inverse import blur, downscale, mask, measured, posterior_given
from d2c.oracle import GaussianMixture, moments
from d2c.restoring import gibbs_update, medoid, trust
from d2c.schedule import spaced
from test_inverse import A, CLASS, GUIDED, N, SIGMA, gm, one, op, sched, y

DRAWS = {"DDPM, β̃": ddpm_update, "DDPM, β": lambda s: ddpm_update(s, "beta")}


@pytest.mark.parametrize("guidance", GUIDED)
@pytest.mark.parametrize("draws", DRAWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrix(draws, guidance, dtype):
    start = torch.randn(N, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    update = gibbs_update(DRAWS[draws](sched), sched, op, y, SIGMA, 4)
    x = sample(walk(update, GUIDED[guidance], start, strides(sched, spaced(1000, 40)), torch.Generator().manual_seed(1)))
    assert x.dtype == dtype and x.shape == (N, 2) and x.isfinite().all()
    mean, cov = moments(posterior_given(gm if guidance == "plain" else one(CLASS), A, y, SIGMA))
    assert (x.double().mean(0) - mean).norm()/cov.trace()**.5 < .5
    if guidance != "plain": assert (gm.classify(x).argmax(1) == CLASS).double().mean() > .9


@pytest.mark.parametrize("make, small", [(lambda: mask((torch.arange(64).reshape(1, 8, 8)%3 == 0)), 8), (lambda: downscale(2), 4), (lambda: blur(8, 1.), 8)])
def test_pictures(make, small):
    "A picture made of normal numbers: mean and variance of the answers are those of the exact law, and so is the trust in them."
    flat = GaussianMixture([1.], torch.zeros(1, 64), torch.eye(64)[None])
    inner = flat.denoiser(sched)
    def pictures(xt, t): return type(g := inner(xt.flatten(1), t))(*(v.reshape(xt.shape) for v in g))
    op, x0 = make(), torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    seen = measured(op, x0, .3, torch.Generator().manual_seed(3))
    assert seen.shape == (300, 1, small, small)
    update = gibbs_update(ddpm_update(sched, "beta"), sched, op, seen.repeat_interleave(2, 0), .3, 6)
    start = torch.randn(600, 1, 8, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    x = sample(walk(update, pictures, start, strides(sched, spaced(1000, 60)), torch.Generator().manual_seed(5)))
    x = x.reshape(300, 2, 1, 8, 8).movedim(1, 0)
    assert abs(trust(x, x0) - 1) < .06
    full = op.A(torch.eye(64, dtype=torch.float64).reshape(64, 1, 8, 8)).flatten(1).T
    mean, cov = moments(posterior_given(flat, full, torch.zeros(len(full)), .3))
    assert abs(x.var(0).mean()/(cov.trace()/64) - 1) < .06


def test_an_image_of_its_own_noise_does_not_depend_on_the_batch():
    op = downscale(2)
    flat = lambda xt, t: type(q := gm_flat.denoiser(sched)(xt.flatten(1), t))(*(v.reshape(xt.shape) for v in q))
    gm_flat = GaussianMixture([1.], torch.zeros(1, 16), torch.eye(16)[None])
    def run(rows):
        gs = [torch.Generator().manual_seed(i) for i in rows]
        start = torch.stack([torch.randn(1, 4, 4, generator=q) for q in gs])
        return sample(walk(gibbs_update(ddpm_update(sched), sched, op, torch.zeros(1, 1, 2, 2), .1, 2), flat, start, strides(sched, [800, 300, 50]), gs))
    torch.testing.assert_close(run([0, 1, 2])[2], run([2])[0])


def test_medoid_and_trust_keep_precision_and_shape():
    x = torch.randn(5, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    got = medoid(x)
    assert got.shape == (3, 1, 4, 4) and got.dtype == torch.float32 and all((got[b] == x[:, b]).flatten(1).all(1).any() for b in range(3))
    assert abs(trust(x.float(), x[0]) - trust(x.double(), x[0].double())) < 1e-6
