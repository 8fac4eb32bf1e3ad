"""Every mistake in the catalogues of losses and bounds, planted into three independent implementations, is found wrong
and named; right implementations are found right.

An implementation is a few lines of code, and a mistake is another line in the place of one of them, as somebody would
write it. Two mistakes at once are two such lines.
"""
import itertools, random
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from d2c import elbo, forward, schedule
from d2c.objectives import LOSSES, loss

T = 100
SCHED = schedule.linear(T, 1e-3, .2)

# Ours: times 1 … T, functions of the library
OURS = dict(
    time="t = torch.randint(1, T + 1, (B,))",
    noise="e = torch.randn(x0.shape)",
    xt="xt = q_sample(sched, x0, t, e)",
    net="g = net(xt, t)",
    aim="z = target(sched, x0, t, e, predicts)",
    weight="w = weight(ab)",
    error="each = (g - z).square().flatten(1).mean(1)",
    end="return (w*each).mean()")
OURS_SETUP = "B = len(x0)"
OURS_LOOK = "ab = sched.abar[t.clamp(0, T)].float()"

# A plain loop over nothing but tensors, times 0 … T − 1, one value for each sample
PLAIN = dict(
    time="t = (torch.rand(B)*T).long()",
    noise="e = torch.empty_like(x0).normal_()",
    xt="xt = col(ab).sqrt()*x0 + col(1 - ab).sqrt()*e",
    net="g = net(xt, t)",
    aim="z = {'eps': e, 'x0': x0, 'v': col(ab).sqrt()*e - col(1 - ab).sqrt()*x0}[predicts]",
    weight="w = weight(ab)",
    error="each = ((z - g)**2).mean(dim=(1, 2, 3))",
    end="return w*each")
PLAIN_SETUP = "B = x0.size(0)"
PLAIN_LOOK = "ab = torch.cumprod(1 - torch.linspace(1e-3, .2, T), 0)[t.clamp(0, T - 1)]"

# diffusers: its scheduler adds the noise; times 0 … T − 1
PEER = dict(
    time="t = torch.randint(0, scheduler.config.num_train_timesteps, (B,)).long()",
    noise="e = torch.from_numpy(np.random.standard_normal(tuple(x0.shape)).astype('float32'))",
    xt="xt = scheduler.add_noise(x0, e, t)",
    net="g = net(xt, t)",
    aim="z = dict(eps=e, x0=x0, v=scheduler.get_velocity(x0, e, t))[predicts]",
    weight="w = weight(ab)",
    error="each = F.mse_loss(g, z, reduction='none').mean(list(range(1, 4)))",
    end="return (w*each).mean()")
PEER_SETUP = "B = x0.shape[0]"
PEER_LOOK = "ab = scheduler.alphas_cumprod[t.clamp(0, T - 1)]"

STYLES = {"ours": (OURS, OURS_SETUP, OURS_LOOK, 1), "plain": (PLAIN, PLAIN_SETUP, PLAIN_LOOK, 0),
          "diffusers": (PEER, PEER_SETUP, PEER_LOOK, 0)}
WEIGHTS = {None: lambda predicts: lambda ab: torch.ones_like(ab),
           "min_snr": lambda predicts: lambda ab: (ab/(1 - ab)).clamp(max=5)*{
               "eps": (1 - ab)/ab, "x0": 1., "v": 1 - ab}[predicts]}
# min(SNR, 5) is the weight of x_0's square, /SNR that of ε's, /(SNR + 1) that of v's

def mixed(a, b): return dict(xt=f"xt = ({a})*x0 + ({b})*e")

# name: (setting, the lines that a mistake has; a function of (first) where the count matters)
EPS, V, MIN, MINV = ("eps", None), ("v", None), ("eps", "min_snr"), ("v", "min_snr")
def told(k): return dict(net=f"g = net(xt, t{k:+})")
def early(k): return lambda first: dict(xt=f"ab_ = AB[(t - {first} + 1 + {k}).clamp(0, T)]; xt = col(ab_).sqrt()*x0 + col(1 - ab_).sqrt()*e")
PLANTED = {
    "told one too few": (EPS, told(-1)),
    "told one too many": (EPS, told(1)),
    "table one early": (EPS, early(-1)),
    "table one late": (EPS, early(1)),
    "times from 0": (EPS, lambda first: dict(time=f"t = torch.randint({first - 1}, T - 1 + {first}, (B,))", **early(0)(first))),
    "T never drawn": (EPS, lambda first: dict(time=f"t = torch.randint({first}, T - 1 + {first}, (B,))")),
    "1 never drawn": (EPS, lambda first: dict(time=f"t = torch.randint({first} + 1, T + {first}, (B,))")),
    "times rounded": (EPS, lambda first: dict(time=f"t = (torch.rand(B)*T).round().long() - 1 + {first}", **early(0)(first))),
    "one time for the batch": (EPS, lambda first: dict(time=f"t = torch.randint({first}, T + {first}, (1,)).expand(B)")),
    "time as a share": (EPS, dict(net="g = net(xt, t/T)")),
    "time backwards": (EPS, lambda first: dict(net=f"g = net(xt, T - 1 + 2*{first} - t)")),
    "time drawn again": (EPS, lambda first: dict(net=f"g = net(xt, torch.randint({first}, T + {first}, (B,)))")),
    "no roots": (EPS, mixed("col(ab)", "col(1 - ab)")),
    "no root of ᾱ": (EPS, mixed("col(ab)", "col(1 - ab)**.5")),
    "no root of 1 − ᾱ": (EPS, mixed("col(ab)**.5", "1 - col(ab)")),
    "1 − √ᾱ": (EPS, mixed("col(ab)**.5", "1 - col(ab)**.5")),
    "α for ᾱ": (EPS, lambda first: dict(xt=f"al = (AB[t + 1 - {first}]/AB[t - {first}]).float(); xt = col(al)**.5*x0 + col(1 - al)**.5*e")),
    "coefficients swapped": (EPS, mixed("col(1 - ab)**.5", "col(ab)**.5")),
    "data not shrunk": (EPS, mixed("1", "col(1 - ab)**.5")),
    "noise not shrunk": (EPS, mixed("col(ab)**.5", "1")),
    "noised twice": (EPS, dict(xt="xt = col(ab)**.5*x0 + col(1 - ab)**.5*e; xt = col(ab)**.5*xt + col(1 - ab)**.5*e")),
    "clean input": (EPS, dict(net="g = net(x0, t)")),
    "noise as input": (EPS, dict(net="g = net(e, t)")),
    "noise from [0, 1)": (EPS, dict(noise="e = torch.rand_like(x0)")),
    "uniform noise": (EPS, dict(noise="e = 2*torch.rand_like(x0) - 1")),
    "noise of the batch": (EPS, dict(noise="e = torch.randn(x0.shape[1:]).expand(x0.shape)")),
    "noise of the sample": (EPS, dict(noise="e = torch.randn(B, 1, 1, 1).expand(x0.shape)")),
    "same noise every time": (EPS, dict(noise="torch.manual_seed(0); e = torch.randn(x0.shape)")),
    "fresh noise in the target": (EPS, dict(aim="z = torch.randn_like(x0)")),
    "target ε": (V, dict(aim="z = e")),
    "target x_0": (EPS, dict(aim="z = x0")),
    "target v": (EPS, dict(aim="z = col(ab)**.5*e - col(1 - ab)**.5*x0")),
    "target ε − x_0": (EPS, dict(aim="z = e - x0")),
    "target x_t": (EPS, dict(aim="z = xt")),
    "target the score": (EPS, dict(aim="z = -e/col(1 - ab)**.5")),
    "sign of the target": (V, dict(aim="z = col(1 - ab)**.5*x0 - col(ab)**.5*e")),
    "v with a plus": (V, dict(aim="z = col(ab)**.5*e + col(1 - ab)**.5*x0")),
    "v with swapped roles": (V, dict(aim="z = col(ab)**.5*x0 - col(1 - ab)**.5*e")),
    "v without roots": (V, dict(aim="z = col(ab)*e - col(1 - ab)*x0")),
    "weighted twice": (MIN, dict(end="return (w*w*each).mean()")),
    "not weighted": (MIN, dict(end="return each.mean()")),
    "weight inverted": (MIN, dict(end="return (each/w).mean()")),
    "root of the weight": (MIN, dict(end="return (each*w**.5).mean()")),
    "weight of x_0": (MIN, dict(weight="w = (ab/(1 - ab)).clamp(max=5)")),
    "weight of ε": (MINV, dict(weight="w = (5*(1 - ab)/ab).clamp(max=1)")),
    "weight of v": (MIN, dict(weight="w = (ab/(1 - ab)).clamp(max=5)*(1 - ab)")),
    "max for min": (MIN, dict(weight="w = (ab/(1 - ab)).clamp(min=5)*(1 - ab)/ab")),
    "weights averaged apart": (MIN, dict(end="return (w*each[:, None]).mean()")),
    "sum for mean": (EPS, dict(error="each = (g - z).square().sum((1, 2, 3))")),
    "mean for sum": (("eps", None, "sum"), dict(error="each = (g - z).square().mean((1, 2, 3))")),
    "half": (EPS, dict(error="each = .5*(g - z).square().mean((1, 2, 3))")),
    "sum over the batch": (EPS, dict(end="return (w*each).sum()")),
    "divided by the batch twice": (EPS, dict(end="return (w*each).mean()/B")),
    "root of the mean": (EPS, dict(end="return (w*each).mean().sqrt()")),
    "absolute error": (EPS, dict(error="each = (g - z).abs().mean((1, 2, 3))")),
}


def made(style, predicts, weight=None, *edits):
    "A loss in some style, with lines exchanged."
    lines, setup, look, first = STYLES[style]
    code = dict(lines)
    for edit in edits: code |= edit(first) if callable(edit) else edit
    if predicts == "eps" and "get_velocity" in code["aim"]: code["aim"] = "z = e"
    order = ("time", "look", "noise", "xt", "net", "aim", "weight", "error", "end")
    code["look"] = look
    source = "def f(net, x0):\n" + "".join(f"    {line}\n" for line in [setup, *(code[k] for k in order)])
    space = dict(torch=torch, np=np, F=F, T=T, sched=SCHED, q_sample=forward.q_sample, target=forward.target,
                 predicts=predicts, weight=WEIGHTS[weight](predicts), col=lambda v: v.reshape(-1, 1, 1, 1),
                 AB=SCHED.abar.float())
    if style == "diffusers": space["scheduler"] = scheduler()
    exec(source, space)
    return space["f"], first


def scheduler():
    diffusers = pytest.importorskip("diffusers")
    return diffusers.DDPMScheduler(num_train_timesteps=T, beta_start=1e-3, beta_end=.2)


def report(style, setting, *edits, seed=0):
    predicts, weight, *reduction = setting
    f, first = made(style, predicts, weight, *edits)
    return loss(f, SCHED, predicts, first, weight, *reduction or ["mean"], seed=seed)


def test_catalogue_is_planted():
    assert {m.name for m in LOSSES} == set(PLANTED)
