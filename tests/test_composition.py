"""Every combined and guided model with every sampler, in both precisions, on a table and in continuous time."""
import pytest, torch
from d2c.composition import (autoguidance, combined, cosine_ramp, gaussian, linear_ramp, mixed, projected_guidance, rescaled_guidance, split_update,
                             with_mean)
from d2c.ddim import ddim_update
from d2c.ddpm import ddpm_update, sample, strides, walk
from d2c.forward import clipped, denoiser
from d2c.oracle import GaussianMixture, pinwheel
from d2c.pretrained import load
from d2c.schedule import linear, spaced
from d2c.sde import between, pc_update
from d2c.solvers import dpmpp_2m_update, heun_update

table, gm = linear(), pinwheel()
arm = GaussianMixture([1.], gm.m[:1], gm.S[:1])
x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
each = torch.linspace(.5, 2, 40)


def models(sched):
    "Every way to make a model out of two."
    a, b = arm.denoiser(sched), gm.denoiser(sched)
    log_probs = [lambda xt, t, p=p: p.log_prob(xt, sched.at(t)) for p in (arm, gm)]
    return {"product": combined([a, b, gaussian(sched, 100.)], [1., 1., -1.], sched), "weights": combined([a, b], [each, lambda t: 1 - t/2000], sched),
            "mixture": mixed([a, b], log_probs, [.3, .7]), "flat": gaussian(sched, 2.), "autoguidance": autoguidance(a, b, each),
            "falling": autoguidance(a, b, lambda t: 1 + t/1000), "ramp": autoguidance(a, b, with_mean(linear_ramp(1000), 2., spaced(1000, 12))),
            "rescaled ramp": rescaled_guidance(a, b, sched, with_mean(cosine_ramp(1000), 2., spaced(1000, 12))),
            "rescaled": rescaled_guidance(a, b, sched, each), "projected": projected_guidance(a, b, sched, each),
            "nested": autoguidance(clipped(combined([a, b], [.5, .5], sched), sched, -3., 3.), mixed([a, b], log_probs, [1., 1.]), 1.5)}


SAMPLERS = {"DDPM": ddpm_update, "DDIM": ddim_update, "DDIM, η = 1": lambda s: ddim_update(s, 1.), "Heun": heun_update, "2M": dpmpp_2m_update,
            "corrected": lambda s: pc_update(ddim_update(s, 0.), s, .2, 2), "split": lambda s: split_update(s, gm.denoiser(s), 1.5)}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", models(table))
def test_every_model_with_every_sampler(name, sampler):
    ends = {}
    for dtype in (torch.float32, torch.float64):
        model = models(table)[name]
        noise = iter(torch.randn(100, 40, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
        update, at = SAMPLERS[sampler](table), x.to(dtype)
        for t, s in strides(table, spaced(1000, 12)):
            guess = model(at, t)
            assert guess.x0.dtype == guess.eps.dtype == dtype and guess.x0.shape == at.shape
            at, _ = update(model, at, t, s, lambda: next(noise).to(dtype))
        assert at.dtype == dtype and at.isfinite().all()
        ends[dtype] = at.double()
    assert ((ends[torch.float32] - ends[torch.float64]).norm(dim=1)/(1 + ends[torch.float64].norm(dim=1))).median() < 1e-3


@pytest.mark.parametrize("name", models(table))
def test_continuous_time(name):
    "At whole times the continuous table is the table; at others a model answers too."
    process = between(table)
    for t in (1, 500, 1000):
        for got, want in zip(models(process)[name](x, float(t))[:2], models(table)[name](x, t)[:2]): torch.testing.assert_close(got, want)
    assert models(process)[name](x, 431.7).x0.isfinite().all()


def test_pictures():
    "Networks with classes, in float32, one noise a picture."
    net = load("mnist-cond")
    told = denoiser(net.model, net.sched, net.predicts)
    a, none = (lambda xt, t, y=y: told(xt, t, torch.full((len(xt),), y)) for y in (3, 10))
    noise = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for model in (combined([a, none], [torch.tensor([1., 2.]), -.5], net.sched), autoguidance(a, none, torch.tensor([1., 2.])),
                  rescaled_guidance(a, none, net.sched, 2.), projected_guidance(a, none, net.sched, 2.)):
        out = sample(walk(ddim_update(net.sched), clipped(model, net.sched), noise, strides(net.sched, [1000, 500])))
        assert out.dtype == torch.float32 and out.shape == noise.shape and out.isfinite().all()
