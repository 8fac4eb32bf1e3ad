"""What OpenAI's guided-diffusion computes with a learned variance: values for the chapter `variance` to compare with.

pip install --no-deps guided-diffusion-sdk && python tests/reference_variance.py   (seconds)

Only its modules gaussian_diffusion, respace and resample are imported. They cast their tables to float32; here that is
left out, so that everything is in float64. Of their approximation of the normal distribution function and of the exact
one, both are recorded. The result goes to book/measured/reference_variance.json.
"""
import importlib, importlib.util, json, sys, types
from pathlib import Path
import numpy as np
import torch
from d2c.data import write_whole

RESULT = Path(__file__).parent.parent/"book"/"measured"/"reference_variance.json"
T, STRIDE = 50, [0, 1, 2, 7, 12, 24, 36, 49]    # the times in their count


def module(name):
    "A module of guided_diffusion, without running the package itself."
    if "guided_diffusion" not in sys.modules:
        spec = importlib.util.find_spec("guided_diffusion")
        if spec is None: sys.exit("guided_diffusion is not installed; see the top of this file.")
        empty = types.ModuleType("guided_diffusion")
        empty.__path__ = list(spec.submodule_search_locations)
        sys.modules["guided_diffusion"] = empty
    return importlib.import_module(f"guided_diffusion.{name}")


def extract(arr, timesteps, shape):
    "Theirs, in float64."
    return torch.from_numpy(arr)[timesteps].reshape(-1, *[1]*(len(shape) - 1)).expand(shape)


def cases(gd, respace, losses):
    "The values of every combination of schedule and prediction."
    g = torch.Generator().manual_seed(0)
    t = torch.tensor([0, 1, 5, 20, 49])
    x0 = torch.randint(0, 256, (5, 1, 2, 3), generator=g).double()*2/255 - 1
    x0[0, 0, 0] = torch.tensor([-1., 1., 1/255])    # both ends of the scale at the first step
    eps, z = torch.randn(2, 5, 1, 2, 3, generator=g, dtype=torch.float64)
    nu = 1.2*torch.randn(5, 1, 2, 3, generator=g, dtype=torch.float64)
    gd.th.randn_like = lambda x: z                  # the sampler's noise
    exact, rough = torch.special.ndtr, losses.approx_standard_normal_cdf
    yield dict(t=(t + 1).tolist(), x0=x0.tolist(), eps=eps.tolist(), nu=nu.tolist(), z=z.tolist())
    for schedule in ("linear", "cosine"):
        for predicts, kind in (("eps", gd.ModelMeanType.EPSILON), ("x0", gd.ModelMeanType.START_X)):
            kw = dict(betas=gd.get_named_beta_schedule(schedule, T), model_mean_type=kind,
                      model_var_type=gd.ModelVarType.LEARNED_RANGE, loss_type=gd.LossType.RESCALED_MSE)
            their = gd.GaussianDiffusion(**kw)
            right = eps if predicts == "eps" else x0
            out = torch.cat([.9*right + .05, nu], 1).requires_grad_()
            xt = their.q_sample(x0, t, eps)
            answer = lambda *_, **__: out
            step = their.p_sample(answer, xt, t, clip_denoised=False)
            one = their.p_mean_variance(answer, xt, t, clip_denoised=False)
            found = dict(schedule=schedule, predicts=predicts, mean=one["mean"], variance=one["variance"],
                         sample=step["sample"])
            for name, cdf in (("rough", rough), ("exact", exact)):
                losses.approx_standard_normal_cdf = cdf
                terms = their.training_losses(answer, x0, t, noise=eps)
                found |= {f"vb, {name}": terms["vb"], f"loss, {name}": terms["loss"]}
            found["gradient"], = torch.autograd.grad(terms["loss"].sum(), out)
            thin = respace.SpacedDiffusion(STRIDE, **kw)
            n = torch.tensor([7, 4, 3, 2, 1])        # positions on the stride, the first left out
            there = gd.GaussianDiffusion.p_mean_variance(thin, answer, xt, n, clip_denoised=False)
            found |= {"variance on a stride": there["variance"], "mean on a stride": there["mean"]}
            yield {k: v.tolist() if torch.is_tensor(v) else v for k, v in found.items()}


def resampled(resample):
    "Probabilities of the times after ten losses of each, and the losses."
    np.int = int                                     # as numpy once had it
    sampler = resample.LossSecondMomentResampler(types.SimpleNamespace(num_timesteps=6))
    losses = np.random.default_rng(0).exponential(size=(12, 6)).round(6)/np.arange(1, 7)
    for row in losses: sampler.update_with_all_losses(range(6), row)
    return dict(losses=losses.T.tolist(), weights=sampler.weights().tolist())


if __name__ == "__main__":
    gd, respace, losses, resample = map(module, ("gaussian_diffusion", "respace", "losses", "resample"))
    gd._extract_into_tensor = extract
    inputs, *values = cases(gd, respace, losses)
    write_whole(RESULT, (json.dumps(dict(
        what="a learned variance by guided-diffusion in float64", command="python tests/reference_variance.py",
        stride=[t + 1 for t in STRIDE], T=T, inputs=inputs, values=values, resampled=resampled(resample))) + "\n").encode())
