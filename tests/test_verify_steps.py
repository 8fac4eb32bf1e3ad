"""Every mistake of `d2c.steps`, planted in three implementations that share no code, must be found and named.

A mistake is planted by exchanging pieces of an implementation's text. The three are this library's own functions, a plain
loop, and a scheduler of diffusers with a `step` of its own.
"""
import inspect
import itertools
import math
import random
from functools import partial

import diffusers
import numpy as np
import pytest
import torch

import d2c.ddim
import d2c.ddpm
import d2c.forward
import d2c.posterior
from d2c import steps
from d2c.schedule import linear, spaced

SCHED, TIMES = linear(), spaced(1000, 19)

PLAIN = {"ddim": """
def sampler(network, x):
    n = len(times)
    for k in range(n):
        t = times[k]
        s = times[k + 1] if k + 1 < n else 0
        at, as_ = abar[t], abar[s]
        eps = network(x, t)
        x0 = (x - (1 - at)**.5*eps)/at**.5
        if clip:
            x0 = x0.clamp(-1, 1)
            eps = (x - at**.5*x0)/(1 - at)**.5
        tilde = (1 - as_)/(1 - at)*(1 - at/as_)
        var = eta**2*tilde
        z = torch.randn(x.shape)
        x = as_**.5*x0 + max(1 - as_ - var, 0)**.5*eps
        if k < n - 1: x = x + noise_var(at, as_, var)**.5*z
    return x
def noise_var(at, as_, var): return 1 - at/as_ if large else var
"""}
PLAIN["mean"] = PLAIN["ddim"].replace("        x = as_**.5*x0 + max(1 - as_ - var, 0)**.5*eps\n",
                                      "        x = (x - (1 - at/as_)/(1 - at)**.5*eps)/(at/as_)**.5\n")
PLAIN["posterior"] = PLAIN["ddim"].replace(
    "        x = as_**.5*x0 + max(1 - as_ - var, 0)**.5*eps\n",
    "        c0 = as_**.5*(1 - at/as_)/(1 - at)\n        ct = (at/as_)**.5*(1 - as_)/(1 - at)\n        x = c0*x0 + ct*x\n")

LOOP = """
def sampler(network, x):
    scheduler = Planted(beta_schedule="linear", timestep_spacing="trailing", clip_sample=bool(clip), set_alpha_to_one=True)
    scheduler.set_timesteps(len(times))
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t), t, x)
    return x
"""
PEER = {"ddim": """
class Planted(diffusers.DDIMScheduler):
    def step(self, model_output, timestep, sample):
        index = (self.timesteps == timestep).nonzero().item()
        final = index == len(self.timesteps) - 1
        prev_timestep = -1 if final else self.timesteps[index + 1]
        alpha_prod_t = self.alphas_cumprod[timestep]
        alpha_prod_t_prev = self.alphas_cumprod[prev_timestep] if prev_timestep >= 0 else self.final_alpha_cumprod
        beta_prod_t = 1 - alpha_prod_t
        pred_epsilon = model_output
        pred_original_sample = (sample - beta_prod_t.sqrt()*model_output)/alpha_prod_t.sqrt()
        if self.config.clip_sample:
            pred_original_sample = pred_original_sample.clamp(-1, 1)
            pred_epsilon = (sample - alpha_prod_t.sqrt()*pred_original_sample)/beta_prod_t.sqrt()
        variance = (1 - alpha_prod_t_prev)/beta_prod_t*(1 - alpha_prod_t/alpha_prod_t_prev)
        std_dev_t = eta*variance.clamp(min=0).sqrt()
        direction = (1 - alpha_prod_t_prev - std_dev_t**2).clamp(min=0).sqrt()*pred_epsilon
        prev_sample = alpha_prod_t_prev.sqrt()*pred_original_sample + direction
        if large: std_dev_t = (1 - alpha_prod_t/alpha_prod_t_prev).sqrt()
        if not final:
            prev_sample = prev_sample + std_dev_t*torch.randn_like(sample)
        return prev_sample
""" + LOOP}
PEER["mean"] = PEER["ddim"].replace(
    "        prev_sample = alpha_prod_t_prev.sqrt()*pred_original_sample + direction\n",
    "        alpha_t = alpha_prod_t/alpha_prod_t_prev\n"
    "        prev_sample = (sample - (1 - alpha_t)/beta_prod_t.sqrt()*pred_epsilon)/alpha_t.sqrt()\n")
PEER["posterior"] = PEER["ddim"].replace(
    "        prev_sample = alpha_prod_t_prev.sqrt()*pred_original_sample + direction\n",
    "        alpha_t = alpha_prod_t/alpha_prod_t_prev\n"
    "        original_coeff = alpha_prod_t_prev.sqrt()*(1 - alpha_t)/beta_prod_t\n"
    "        sample_coeff = alpha_t.sqrt()*(1 - alpha_prod_t_prev)/beta_prod_t\n"
    "        prev_sample = original_coeff*pred_original_sample + sample_coeff*sample\n")

text = lambda *functions: "\n".join(map(inspect.getsource, functions))
SHARED = text(d2c.ddpm.normal, d2c.ddpm.strides, d2c.ddpm.walk, d2c.ddpm.sample, d2c.forward.x0_from_eps,
              d2c.forward.eps_from_x0, d2c.forward.denoiser, d2c.forward.clipped, d2c.posterior.reverse_var,
              d2c.posterior.posterior_coef, d2c.posterior.q_posterior, d2c.posterior.mu_from_eps)
OWN = """
def sampler(network, x):
    denoise = denoiser(network, sched, predicts)
    if clip: denoise = clipped(denoise, sched)
    return sample(walk(update, denoise, x, strides(sched, times)))
"""
OURS = {
    "ddim": SHARED + text(d2c.ddim.ddim_mean, d2c.ddim.ddim_sigma, d2c.ddim.ddim_update) + OWN.replace(
        "walk(update", "walk(ddim_update(sched, eta)"),
    "posterior": SHARED + text(d2c.ddpm.ddpm_update) + OWN.replace(
        "walk(update", "walk(ddpm_update(sched, 'beta' if large else 'beta_tilde')"),
    "mean": SHARED + text(d2c.ddpm.ddpm_update).replace(
        "x, _ = q_posterior(sched, guess.x0, x, t, s)", "x = mu_from_eps(sched, x, t, s, guess.eps)") + OWN.replace(
        "walk(update", "walk(ddpm_update(sched, 'beta' if large else 'beta_tilde')"),
}
FORMS = {"ours": OURS, "plain": PLAIN, "peer": PEER}

U, M = "guess, sigma = denoise(x, t), ddim_sigma(sched, t, s, eta)", "x = ddim_mean(*guess[:2], sched.at(s), sigma)"
PX0, DX0 = "x0 = (x - (1 - at)**.5*eps)/at**.5", "pred_original_sample = (sample - beta_prod_t.sqrt()*model_output)/alpha_prod_t.sqrt()"
OX0 = "(xt - like((1 - abar)**0.5, xt)*eps).div_(like(abar**0.5, xt))"
PM, DM = "x = as_**.5*x0 + max(1 - as_ - var, 0)**.5*eps", "prev_sample = alpha_prod_t_prev.sqrt()*pred_original_sample + direction"
DDIR = "direction = (1 - alpha_prod_t_prev - std_dev_t**2).clamp(min=0).sqrt()*pred_epsilon"
ODIR, OSIG = "xs = (1 - abar_s - sigma**2)**0.5*eps", "xs += abar_s**0.5*x0"
PT, DT = "tilde = (1 - as_)/(1 - at)*(1 - at/as_)", "variance = (1 - alpha_prod_t_prev)/beta_prod_t*(1 - alpha_prod_t/alpha_prod_t_prev)"
OT = "return (1 - abar_s)/(1 - abar_t)*beta"
PN, DN = "if k < n - 1: x = x + noise_var(at, as_, var)**.5*z", "prev_sample = prev_sample + std_dev_t*torch.randn_like(sample)"
ON = "return x.add_(noise(), alpha=sigma) if sigma > 0 else x, guess"
PZ, DZ, OZ = "z = torch.randn(x.shape)", "torch.randn_like(sample)", "return torch.randn(shape, generator=g, dtype=x.dtype, device=(g or x).device)"
PMU, DMU = "x = (x - (1 - at/as_)/(1 - at)**.5*eps)/(at/as_)**.5", "prev_sample = (sample - (1 - alpha_t)/beta_prod_t.sqrt()*pred_epsilon)/alpha_t.sqrt()"
OMU1, OMU2 = "noise = like((1 - abar_t/abar_s)/(1 - abar_t)**0.5, xt)*eps", "return like((abar_s/abar_t)**0.5, xt)*(xt - noise)"
PST, DST = "s = times[k + 1] if k + 1 < n else 0", "prev_timestep = -1 if final else self.timesteps[index + 1]"
OST = "return list(zip(times, times[1:] + [0]))"
POST, ETA = dict(eta=1., form="posterior"), dict(eta=1.)
MEAN = dict(eta=1., form="mean")

# name of the mistake: what is claimed, and (old, new) in ours, in the plain loop, in the scheduler of diffusers
PLANTS = {
    "network told t − 1": ({}, ("network(xt, times_like(t, xt), *more)", "network(xt, times_like(t - 1, xt), *more)"),
                           ("network(x, t)", "network(x, t - 1)"), ("network(x, t)", "network(x, t - 1)")),
    "network told t + 1": ({}, ("network(xt, times_like(t, xt), *more)", "network(xt, times_like(t + 1, xt), *more)"),
                           ("network(x, t)", "network(x, t + 1)"), ("network(x, t)", "network(x, t + 1)")),
    "network told the step's number": ({}, ("network(xt, times_like(t, xt), *more)", "network(xt, len(times) - times.index(t), *more)"),
                           ("network(x, t)", "network(x, n - k)"),
                           ("for t in scheduler.timesteps:\n        x = scheduler.step(network(x, t)", "for i, t in enumerate(scheduler.timesteps):\n        x = scheduler.step(network(x, len(times) - 1 - i)")),
    "table one early": ({}, ("@", "sched = type('Early', (), dict(T=1000, at=lambda self, t: SCHED.at(max(t - 1, 0))))()"),
                        ("at, as_ = abar[t], abar[s]", "at, as_ = abar[t - 1], abar[max(s - 1, 0)]"),
                        ("scheduler.set_timesteps", "scheduler.alphas_cumprod = torch.cat([torch.ones(1), scheduler.alphas_cumprod[:-1]])\n    scheduler.set_timesteps")),
    "table one late": ({}, ("@", "sched = type('Late', (), dict(T=1000, at=lambda self, t: SCHED.at(min(t + 1, 1000))))()"),
                       ("at, as_ = abar[t], abar[s]", "at, as_ = abar[min(t + 1, 1000)], abar[s + 1]"),
                       ("scheduler.set_timesteps", "scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]\n    scheduler.alphas_cumprod = torch.cat([scheduler.alphas_cumprod[1:], scheduler.alphas_cumprod[-1:]])\n    scheduler.set_timesteps")),
    "first time missing": ({}, (OST, "return list(zip(times, times[1:] + [0]))[1:]"), ("for k in range(n):", "for k in range(1, n):"),
                           ("in scheduler.timesteps:", "in scheduler.timesteps[1:]:")),
    "last step missing": ({}, (OST, "return list(zip(times, times[1:]))"), ("for k in range(n):", "for k in range(n - 1):"),
                          ("in scheduler.timesteps:", "in scheduler.timesteps[:-1]:")),
    "ends at x_1": ({}, (OST, "return list(zip(times, times[1:] + [1]))"), (PST, "s = times[k + 1] if k + 1 < n else 1"),
                    ("set_alpha_to_one=True", "set_alpha_to_one=False")),
    "stride of fixed width": ({}, (OST, "return [(t, max(t - sched.T//len(times), 0)) for t in times]"),
                              (PST, "s = max(t - 1000//n, 0)"), (DST, "prev_timestep = timestep - 1000//len(self.timesteps)")),
    "stride forgotten": ({}, (OST, "return [(t, t - 1) for t in times]"), (PST, "s = t - 1"), (DST, "prev_timestep = timestep - 1")),
    "times in rising order": (dict(eta=0.), [(OST, "return list(zip(times[::-1], times[-2::-1] + [0]))"), (U, "guess, sigma = denoise(x, t), 0.")], ("n = len(times)", "times = TIMES[::-1]; n = len(times)"),
                              ("in scheduler.timesteps:", "in scheduler.timesteps.flip(0):")),
    "root missing under x̂_0": ({}, (OX0, OX0.replace("abar**0.5", "abar")), (PX0, "x0 = (x - (1 - at)**.5*eps)/at"),
                               (DX0, DX0.replace("alpha_prod_t.sqrt()", "alpha_prod_t"))),
    "root missing in x̂_0's noise": ({}, (OX0, OX0.replace("(1 - abar)**0.5", "1 - abar")), (PX0, "x0 = (x - (1 - at)*eps)/at**.5"),
                                    (DX0, DX0.replace("beta_prod_t.sqrt()", "beta_prod_t"))),
    "both roots missing in x̂_0": ({}, (OX0, "(xt - like(1 - abar, xt)*eps)/like(abar, xt)"), (PX0, "x0 = (x - (1 - at)*eps)/at"),
                                  (DX0, DX0.replace(".sqrt()", ""))),
    "α for ᾱ in x̂_0": ({}, (OX0, "(xt - like((1 - abar/sched.at(t - 1))**0.5, xt)*eps).div_(like((abar/sched.at(t - 1))**0.5, xt))"),
                        (PX0, "a1 = at/abar[t - 1]; x0 = (x - (1 - a1)**.5*eps)/a1**.5"),
                        (DX0, "pred_original_sample = (sample - self.betas[timestep].sqrt()*model_output)/self.alphas[timestep].sqrt()")),
    "sign of ε̂ in x̂_0": ({}, (OX0, OX0.replace("xt - ", "xt + ")), (PX0, PX0.replace("x - ", "x + ")), (DX0, DX0.replace("sample - ", "sample + "))),
    "x̂_0 not divided": ({}, (OX0, "(xt - like((1 - abar)**0.5, xt)*eps)"), (PX0, "x0 = x - (1 - at)**.5*eps"), (DX0, DX0.replace("/alpha_prod_t.sqrt()", ""))),
    "answer read as ε": (dict(predicts="v"), ("denoiser(network, sched, predicts)", 'denoiser(network, sched, "eps")'), ("@", ""), ("@", "")),
    "answer read as x_0": (dict(predicts="v"), ("denoiser(network, sched, predicts)", 'denoiser(network, sched, "x0")'),
                           (PX0, "x0 = eps; eps = (x - at**.5*x0)/(1 - at)**.5"),
                           (DX0, "pred_original_sample = model_output; pred_epsilon = (sample - alpha_prod_t.sqrt()*model_output)/beta_prod_t.sqrt()")),
    "answer read as v": (dict(predicts="eps"), ("denoiser(network, sched, predicts)", 'denoiser(network, sched, "v")'),
                         (PX0, "x0 = at**.5*x - (1 - at)**.5*eps; eps = (1 - at)**.5*x + at**.5*eps"),
                         (DX0, "pred_original_sample = alpha_prod_t.sqrt()*sample - beta_prod_t.sqrt()*model_output; pred_epsilon = beta_prod_t.sqrt()*sample + alpha_prod_t.sqrt()*model_output")),
    "σ² not taken off": ({}, (ODIR, "xs = (1 - abar_s)**0.5*eps"), (PM, "x = as_**.5*x0 + (1 - as_)**.5*eps"), (DDIR, "direction = (1 - alpha_prod_t_prev).sqrt()*pred_epsilon")),
    "σ taken off, not σ²": ({}, (ODIR, "xs = max(1 - abar_s - sigma, 0)**0.5*eps"), ("max(1 - as_ - var, 0)", "max(1 - as_ - var**.5, 0)"), ("std_dev_t**2).clamp", "std_dev_t).clamp")),
    "root missing at x̂_0": ({}, (OSIG, "xs += abar_s*x0"), ("x = as_**.5*x0", "x = as_*x0"), (DM, "prev_sample = alpha_prod_t_prev*pred_original_sample + direction")),
    "root missing in the direction": ({}, (ODIR, "xs = (1 - abar_s - sigma**2)*eps"), ("max(1 - as_ - var, 0)**.5", "max(1 - as_ - var, 0)"), (DDIR, DDIR.replace(".sqrt()", ""))),
    "direction of t": ({}, (M, "x = ddim_mean(guess.x0, 0, sched.at(s)) + (1 - sched.at(t) - sigma**2)**0.5*guess.eps"), ("max(1 - as_ - var, 0)", "max(1 - at - var, 0)"),
                       (DDIR, "direction = (beta_prod_t - std_dev_t**2).sqrt()*pred_epsilon")),
    "signal of t": ({}, (M, "x = ddim_mean(0, guess.eps, sched.at(s), sigma) + sched.at(t)**0.5*guess.x0"), ("x = as_**.5*x0", "x = at**.5*x0"),
                    (DM, "prev_sample = alpha_prod_t.sqrt()*pred_original_sample + direction")),
    "direction missing": ({}, (M, "x = sched.at(s)**0.5*guess.x0"), (PM, "x = as_**.5*x0"), (DM, DM.replace(" + direction", ""))),
    "root missing in DDPM's mean": (MEAN, (OMU1, OMU1.replace("**0.5", "")), (PMU, PMU.replace("(1 - at)**.5", "(1 - at)")), (DMU, DMU.replace("beta_prod_t.sqrt()", "beta_prod_t"))),
    "√β in DDPM's mean": (MEAN, (OMU1, "noise = like((1 - abar_t/abar_s)**0.5, xt)*eps"), (PMU, "x = (x - (1 - at/as_)**.5*eps)/(at/as_)**.5"), (DMU, "prev_sample = (sample - (1 - alpha_t).sqrt()*pred_epsilon)/alpha_t.sqrt()")),
    "1/α for 1/√α": (MEAN, (OMU2, "return like(abar_s/abar_t, xt)*(xt - noise)"), (PMU, PMU.replace(")/(at/as_)**.5", ")/(at/as_)")), (DMU, DMU.replace("/alpha_t.sqrt()", "/alpha_t"))),
    "ᾱ for α before DDPM's mean": (MEAN, (OMU2, "return like(abar_t**-0.5, xt)*(xt - noise)"), (PMU, PMU.replace(")/(at/as_)**.5", ")/at**.5")), (DMU, DMU.replace("/alpha_t.sqrt()", "/alpha_prod_t.sqrt()"))),
    "single-step mean on a stride": (MEAN, ("def mu_from_eps", "def mu_from_eps(sched, xt, t, s, eps): return single(sched, xt, t, t - 1, eps)\ndef single"),
                                     (PMU, "a1 = at/abar[t - 1]; x = (x - (1 - a1)/(1 - at)**.5*eps)/a1**.5"),
                                     (DMU, "prev_sample = (sample - self.betas[timestep]/beta_prod_t.sqrt()*pred_epsilon)/self.alphas[timestep].sqrt()")),
    "posterior's coefficients swapped": (POST, ("c0, ct, beta_tilde = posterior_coef", "ct, c0, beta_tilde = posterior_coef"), ("x = c0*x0 + ct*x", "x = ct*x0 + c0*x"),
                                         ("original_coeff*pred_original_sample + sample_coeff*sample", "sample_coeff*pred_original_sample + original_coeff*sample")),
    "root missing at x̂_0 in the posterior": (POST, ("c0 = abar_s**0.5*", "c0 = abar_s*"), ("c0 = as_**.5*", "c0 = as_*"), ("alpha_prod_t_prev.sqrt()*(1 - alpha_t)", "alpha_prod_t_prev*(1 - alpha_t)")),
    "root missing at x_t in the posterior": (POST, ("ct = keep**0.5*", "ct = keep*"), ("ct = (at/as_)**.5*", "ct = (at/as_)*"), ("alpha_t.sqrt()*(1 - alpha_prod_t_prev)", "alpha_t*(1 - alpha_prod_t_prev)")),
    "σ of a single step": ({}, ("return eta*reverse_var(sched, t, s)**0.5", "return eta*((1 - sched.at(s))/(1 - sched.at(t))*(1 - sched.at(t)/sched.at(t - 1)))**0.5"),
                           (PT, "tilde = (1 - as_)/(1 - at)*(1 - at/abar[t - 1])"), (DT, "variance = (1 - alpha_prod_t_prev)/beta_prod_t*self.betas[timestep]")),
    "η not squared": ({}, ("return eta*reverse_var", "return eta**0.5*reverse_var"), ("var = eta**2*tilde", "var = eta*tilde"), ("eta*variance.clamp(min=0).sqrt()", "(eta*variance).sqrt()")),
    "fraction upside down": (dict(eta=.2), (OT, "return (1 - abar_t)/max(1 - abar_s, 1e-9)*beta*(s > 0)"), (PT, "tilde = (1 - at)/(1 - as_)*(1 - at/as_) if s else 0"),
                             (DT, "variance = torch.tensor(0.) if final else beta_prod_t/(1 - alpha_prod_t_prev)*(1 - alpha_prod_t/alpha_prod_t_prev)")),
    "ᾱ for α in σ": ({}, (OT, "return 1 - abar_s"), (PT, "tilde = (1 - as_)/(1 - at)*(1 - at)"), (DT, "variance = (1 - alpha_prod_t_prev)/beta_prod_t*(1 - alpha_prod_t)")),
    "noise times its variance": ({}, (ON, ON.replace("alpha=sigma)", "alpha=sigma**2)")), (PN, PN.replace("**.5*z", "*z")), (DN, DN.replace("std_dev_t*", "std_dev_t**2*"))),
    "noise times the root of σ": ({}, (ON, ON.replace("alpha=sigma)", "alpha=sigma**0.5)")), (PN, PN.replace("**.5*z", "**.25*z")), (DN, DN.replace("std_dev_t*", "std_dev_t.sqrt()*"))),
    "no noise": ({}, (ON, "return x, guess"), (PN, "pass"), (DN, "pass")),
    "noise at the last step": (ETA, (ON, "return x.add_(noise(), alpha=sigma or (1 - sched.at(t)/sched.at(s))**.5), guess"),
                               (PN, "x = x + (noise_var(at, as_, var) or 1 - at/as_)**.5*z"),
                               ("if not final:", "if final: std_dev_t = (1 - alpha_prod_t/alpha_prod_t_prev).sqrt()\n        if True:")),
    "no noise before the last step": ({}, (ON, "return x.add_(noise(), alpha=sigma) if s != times[-1] and s else x, guess"), ("if k < n - 1:", "if k < n - 2:"),
                                      ("if not final:", "if index < len(self.timesteps) - 2:")),
    "β for β̃": (ETA | dict(form="posterior"), ("ddpm_update(sched, 'beta' if large else 'beta_tilde')", "ddpm_update(sched, 'beta')"), ("return 1 - at/as_ if large else var", "return 1 - at/as_"), ("if large: std_dev_t", "if True: std_dev_t")),
    "β̃ for β": (ETA | dict(form="posterior", var="beta"), ("ddpm_update(sched, 'beta' if large else 'beta_tilde')", "ddpm_update(sched)"), ("return 1 - at/as_ if large else var", "return var"), ("if large: std_dev_t", "if False: std_dev_t")),
    "β of a single step": (ETA | dict(form="posterior", var="beta"), ('if kind == "beta": return beta', 'if kind == "beta": return 1 - abar_t/sched.at(t - 1)'),
                           ("noise_var(at, as_, var)**.5*z", "(1 - at/abar[t - 1])**.5*z"), ("if large: std_dev_t = (1 - alpha_prod_t/alpha_prod_t_prev).sqrt()", "if large: std_dev_t = self.betas[timestep].sqrt()")),
    "uniform noise": ({}, (OZ, OZ.replace("randn", "rand")), (PZ, PZ.replace("randn", "rand")), (DZ, DZ.replace("randn", "rand"))),
    "one noise for all images": ({}, (OZ, OZ.replace("shape,", "(1, *shape[1:]),") + ".expand(shape)"), (PZ, "z = torch.randn(1, *x.shape[1:])"), (DZ, "torch.randn_like(sample[:1])")),
    "one noise for all pixels": ({}, (OZ, OZ.replace("shape,", "(*shape[:2], 1, 1),") + ".expand(shape)"), (PZ, "z = torch.randn(*x.shape[:2], 1, 1)"), (DZ, "torch.randn_like(sample[:, :, :1, :1])")),
    "one noise for all steps": ({}, (OZ, "torch.manual_seed(3)\n        " + OZ), (PZ, "torch.manual_seed(3); " + PZ), ("if not final:", "torch.manual_seed(3)\n        if not final:")),
    "ε̂ not derived again": (dict(clip=True), ("return guess._replace(x0=x0, eps=eps_from_x0(sched, xt, t, x0))", "return guess._replace(x0=x0)"),
                            ("            eps = (x - at**.5*x0)/(1 - at)**.5\n", ""),
                            ("            pred_epsilon = (sample - alpha_prod_t.sqrt()*pred_original_sample)/beta_prod_t.sqrt()\n", "")),
    "x̂_0 is clipped": (dict(clip=False), ("if clip: denoise", "denoise"), ("if clip:", "if True:"), ("clip_sample=bool(clip)", "clip_sample=True")),
    "x̂_0 is not clipped": (dict(clip=True), ("if clip: denoise", "if False: denoise"), ("if clip:", "if False:"), ("clip_sample=bool(clip)", "clip_sample=False")),
    "x_s is clipped": ({}, (ON, ON.replace("return x.add_(noise(), alpha=sigma) if sigma > 0 else x", "return (x.add_(noise(), alpha=sigma) if sigma > 0 else x).clamp(-1, 1)")), ("    return x\n", "        x = x.clamp(-1, 1)\n    return x\n"),
                       ("return prev_sample", "return prev_sample.clamp(-1, 1)")),
}

CLAIM = dict(eta=.7, var="beta_tilde", predicts="eps", clip=None)
NAMED = {m.name: m for m in steps.MISTAKES}


def build(form, which, changes, **claim):
    "A sampler from an implementation's text, with pieces of it exchanged."
    source = FORMS[which][form]
    for old, new in changes:
        if old == "@": source += "\n" + new
        else:
            assert source.count(old) == 1, f"“{old}” stands {source.count(old)} times in {which}, {form}"
            source = source.replace(old, new)
    space = vars(d2c.ddim) | vars(d2c.forward) | vars(d2c.ddpm) | vars(d2c.posterior)
    space |= dict(claim, torch=torch, diffusers=diffusers, sched=SCHED, SCHED=SCHED, TIMES=TIMES, times=TIMES,
                  abar=SCHED.abar.tolist(), large=claim["var"] == "beta")
    exec(source, space)
    return space["sampler"]


def verdict(which, plants=(), seed=0, quick=True):
    "What is said of an implementation with mistakes of these names."
    claim, form, changes = dict(CLAIM), "ddim", []
    for name in plants:
        asked, *texts = PLANTS[name]
        asked = dict(asked)
        form = asked.pop("form", form)
        claim |= asked
        change = texts[list(FORMS).index(which)]
        changes += change if isinstance(change, list) else [change]
    sampler = build(form, which, changes, **claim)
    return steps.sampler(sampler, SCHED, TIMES, first=0 if which == "peer" else 1, seed=seed, quick=quick, **claim)


def test_catalogue_is_planted():
    assert PLANTS.keys() == NAMED.keys()


@pytest.mark.parametrize("which", FORMS)
def test_found_and_named(which):
    "Each mistake is found, and named first or second."
    missed = []
    for name in PLANTS:
        report = verdict(which, [name])
        assert report.verdict == "wrong", f"{which}, {name}: {report}"
        if name not in [s.mistake.name for s in report.suspects]: missed.append((name, str(report)))
    assert not missed, missed


@pytest.mark.parametrize("which", FORMS)
@pytest.mark.parametrize("form", ["ddim", "mean", "posterior"])
def test_no_false_alarm(which, form):
    "The right implementations are found right with forty seeds."
    claim = CLAIM | (dict(eta=1.) if form != "ddim" else {})
    sampler = build(form, which, [], **claim)
    for seed in range(40 if form == "ddim" else 3):
        report = steps.sampler(sampler, SCHED, TIMES, first=0 if which == "peer" else 1, seed=seed, quick=True, **claim)
        assert report.verdict == "right", report


def test_two_at_once():
    "Two mistakes in one sampler are always found; mostly one of them is named."
    pairs = list(itertools.combinations(PLANTS, 2))
    random.Random(0).shuffle(pairs)
    named = both = tried = 0
    for a, b in pairs:
        if tried == 100: break
        asked = [dict(PLANTS[m][0]) for m in (a, b)]
        if any(asked[0].get(k, v) != v for k, v in asked[1].items()) or asked[0].get("form") != asked[1].get("form"): continue
        try: report = verdict("plain", (a, b), quick=True)
        except AssertionError: continue    # both change the same piece of text
        tried += 1
        assert report.verdict == "wrong", (a, b, str(report))
        found = {s.mistake.name for s in report.suspects} & {a, b}
        named += bool(found)
        both += len(found) == 2
    print(f"{tried} pairs, one of the two named in {named}, both in {both}")
    assert tried == 100 and named >= 95
