"""Every mistake in the catalogues of losses and bounds, planted into an implementation, is found wrong and named; right
implementations are found right. There are three, independent of each other, and a mistake takes them in turn.

An implementation is a few lines of code, and a mistake is another line in the place of one of them, as somebody would
write it. Two mistakes at once are two such lines.
"""
import itertools, math, random
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TURN
from d2c import elbo, forward, schedule
from d2c.objectives import BOUNDS, LOSSES, likelihood, loss

T = 25
SCHED = schedule.linear(T, .004, .4)

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
PLAIN_LOOK = "ab = torch.cumprod(1 - torch.linspace(.004, .4, T), 0)[t.clamp(0, T - 1)]"

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
    return diffusers.DDPMScheduler(num_train_timesteps=T, beta_start=.004, beta_end=.4)


def report(style, setting, *edits, seed=0):
    predicts, weight, *reduction = setting
    f, first = made(style, predicts, weight, *edits)
    return loss(f, SCHED, predicts, first, weight, *reduction or ["mean"], seed=seed)


# Bounds. Every implementation takes its times as tensors, so it can add up all terms or draw some.
SHORT = 20
SMALL = schedule.linear(SHORT, .01, .4)
SUM, ESTIMATE, SPLIT = "sum", "estimate", "split"

OURS_BOUND = dict(
    look="ab = c(sched.abar[t])",
    xt="e = torch.randn_like(x0); xt = q_sample(sched, x0, t, e)",
    net="g = net(xt, t)",
    guess="guess = x0_from_eps(sched, xt, t, g)",
    mean="mean, v1 = q_posterior(sched, guess, xt, t, t - 1); true, _ = q_posterior(sched, x0, xt, t, t - 1)",
    var="v2 = c(model_var(sched, t, var))",
    kl="kl = gaussian_kl(true, v1, mean, v2)",
    first="first = -(discretised_log_prob(x0, mean, v2**.5) if levels else Normal(mean, v2**.5).log_prob(x0))",
    prior="last = prior_kl(sched, x0)",
    unit="out = nats if unit == 'nats' else bits_per_dim(nats, D, levels)",
    end="return out")

PLAIN_BOUND = dict(
    look="ab, as_ = c(table[t]), c(table[t - 1])",
    xt="e = torch.randn(x0.shape).double(); xt = ab**.5*x0 + (1 - ab)**.5*e",
    net="g = net(xt, t - 1)",
    guess="guess = (xt - (1 - ab)**.5*g)/ab**.5",
    mean="be = 1 - ab/as_; c0, ct = as_**.5*be/(1 - ab), (1 - be)**.5*(1 - as_)/(1 - ab); "
         "mean, true = c0*guess + ct*xt, c0*x0 + ct*xt; v1 = (1 - as_)/(1 - ab)*be",
    var="v2 = be if var == 'beta' else torch.where(c(t) == 1, (1 - table[1])/(1 - table[2])*(1 - table[2]/table[1]), v1)",
    kl="kl = .5*((true - mean)**2/v2 + v1/v2 - 1 - (v1/v2).log())",
    first="cdf = lambda z: .5*(1 + torch.erf((z - mean)/(2*v2)**.5)); "
          "hi, lo = torch.where(x0 > .999, 1., cdf(x0 + 1/255)), torch.where(x0 < -.999, 0., cdf(x0 - 1/255)); "
          "first = -(hi - lo).log() if levels else .5*((x0 - mean)**2/v2 + (2*math.pi*v2).log())",
    prior="a = table[-1]; last = .5*(a*x0**2 - a - (1 - a).log()).sum((1, 2, 3))",
    unit="out = nats if unit == 'nats' else nats/D/math.log(2) + (0 if levels else math.log2(127.5))",
    end="return out.mean()")

# as in guided-diffusion: logarithms of variances, posterior coefficients in tables, times from 0; betas by diffusers
GUIDED_BOUND = dict(
    look="i = t - 1; ab = c(cum[i])",
    xt="e = torch.from_numpy(np.random.randn(*x0.shape)); xt = c(np_sqrt(cum)[i])*x0 + c(np_sqrt(1 - cum)[i])*e",
    net="g = net(xt, i)",
    guess="guess = c((1/cum).sqrt()[i])*xt - c((1/cum - 1).sqrt()[i])*g",
    mean="prev = torch.cat([torch.ones(1), cum[:-1]]); pv = betas*(1 - prev)/(1 - cum); "
         "plv = torch.cat([pv[1:2], pv[1:]]).log(); k1, k2 = betas*prev.sqrt()/(1 - cum), (1 - prev)*(1 - betas).sqrt()/(1 - cum); "
         "mean, true = c(k1[i])*guess + c(k2[i])*xt, c(k1[i])*x0 + c(k2[i])*xt; v1 = c(plv[i]).exp()",
    var="v2 = c(betas[i]) if var == 'beta' else c(plv[i]).exp()",
    kl="l1, l2 = v1.log(), v2.log(); kl = .5*(-1. + l2 - l1 + (l1 - l2).exp() + (true - mean)**2*(-l2).exp())",
    first="n = Normal(mean, (.5*v2.log()).exp()); plus, minus = n.cdf(x0 + 1/255), n.cdf(x0 - 1/255); "
          "p = torch.where(x0 < -.999, plus, torch.where(x0 > .999, 1 - minus, plus - minus)); "
          "first = -(p.log() if levels else n.log_prob(x0))",
    prior="m, l = c(np_sqrt(cum)[-1:].expand(B))*x0, (1 - cum[-1]).log(); "
          "last = .5*(-1. - l + l.exp() + m**2).sum((1, 2, 3))",
    unit="out = nats if unit == 'nats' else nats/(D*np.log(2.)) + (0 if levels else np.log2(127.5))",
    end="return out")

BOUND_STYLES = {"ours": (OURS_BOUND, 1), "plain": (PLAIN_BOUND, 0), "guided": (GUIDED_BOUND, 0)}
WAYS = {SUM: ("[torch.full((B,), k) for k in range(1, T + 1)]", "total"),
        ESTIMATE: ("[torch.randint(1, T + 1, (B,))]", "T*total"),
        SPLIT: ("[torch.ones(B).long(), torch.randint(2, T + 1, (B,))]", "terms[0] + (T - 1)*terms[1]")}

def kl(expression): return dict(kl=f"kl = {expression}")
def probability(half, low=0., high=1., cdf="Normal(0., 1.).cdf"):
    ends = lambda sign, outer: f"torch.where({'x0 > .999' if sign == '+' else 'x0 < -.999'}, {outer}, cdf((x0 {sign} {half} - mean)/v2**.5))"
    return dict(first=f"cdf = {cdf}; first = -({ends('+', high)} - {ends('-', low)}).log()")
NATS, BETA = ("nats", "beta_tilde", "levels", SUM), ("nats", "beta", "levels", SUM)
BITS, DENSITY = ("bits", "beta_tilde", "levels", SUM), ("bits", "beta_tilde", "density", SUM)
DRAWN, APART = ("nats", "beta_tilde", "levels", ESTIMATE), ("nats", "beta_tilde", "levels", SPLIT)
TWICE = "Normal(torch.zeros(()).double(), 1.).cdf"
CLOSED = "cdf = Normal(0., 1.).cdf; first = -(cdf((x0 + 1/255 - mean)/v2**.5) - cdf((x0 - 1/255 - mean)/v2**.5)).log()"
BOUND_PLANTED = {
    "L_T missing": (NATS, dict(prior="last = 0.")),
    "L_0 missing": (NATS, dict(count="term = torch.where(t == 1, 0., term)")),
    "L_0 twice": (NATS, dict(count="term = torch.where(t == 1, 2*term, term)")),
    "L_1 missing": (NATS, dict(count="term = torch.where(t == 2, 0., term)")),
    "last term missing": (NATS, dict(count="term = torch.where(t == T, 0., term)")),
    "sign": (NATS, dict(nats="nats = -(last + total)")),
    "told one too few": (NATS, lambda first: dict(net=f"g = net(xt, t - 2 + {first})")),
    "told one too many": (NATS, lambda first: dict(net=f"g = net(xt, t + {first})")),
    "no half": (BETA, kl("(true - mean)**2/v2 + v1/v2 - 1 - (v1/v2).log()")),
    "sign of the logarithm": (BETA, kl(".5*((true - mean)**2/v2 + v1/v2 - 1 + (v1/v2).log())")),
    "no logarithm": (BETA, kl(".5*((true - mean)**2/v2 + v1/v2 - 1)")),
    "no −1": (BETA, kl(".5*((true - mean)**2/v2 + v1/v2 - (v1/v2).log())")),
    "means only": (BETA, kl(".5*(true - mean)**2/v2")),
    "divergence reversed": (BETA, kl(".5*((true - mean)**2/v1 + v2/v1 - 1 - (v2/v1).log())")),
    "σ for σ²": (NATS, kl(".5*((true - mean)**2/v2**.5 + v1/v2 - 1 - (v1/v2).log())")),
    "the other variance": (BETA, dict(var="v2 = c(model_var(sched, t, 'beta_tilde'))")),
    "β for the true variance": (NATS, kl(".5*((true - mean)**2/v2 + c(sched.beta[t])/v2 - 1 - (c(sched.beta[t])/v2).log())")),
    "x̂_0 for the mean": (NATS, kl(".5*((x0 - guess)**2/v2 + v1/v2 - 1 - (v1/v2).log())")),
    "no root in the mean": (NATS, dict(guess="guess = (xt - (1 - ab)**.5*g)/ab**.5; true_guess = guess",
                                       kl="root = c(sched.abar[t - 1])**.5; kl = .5*(((true - mean)*root)**2/v2 + v1/v2 - 1 - (v1/v2).log())")),
    "density for levels": (NATS, dict(first="first = .5*((x0 - mean)**2/v2 + (2*math.pi*v2).log())")),
    "density times the bin": (NATS, dict(first="first = .5*((x0 - mean)**2/v2 + (2*math.pi*v2).log()) - math.log(2/255)")),
    "bins of half the width": (NATS, probability("1/510")),
    "bins of twice the width": (NATS, probability("2/255")),
    "outer bins closed": (NATS, dict(first=CLOSED)),
    "Φ by a tanh": (NATS, probability("1/255", cdf="lambda z: .5*(1 + torch.tanh((2/math.pi)**.5*(z + .044715*z**3)))")),
    "variance for deviation": (NATS, dict(first="first = -discretised_log_prob(x0, mean, v2)")),
    "β̃_2 at t = 1": (BETA, dict(first="first = -discretised_log_prob(x0, mean, model_var(sched, 1)**.5)")),
    "β_1 at t = 1": (NATS, dict(first="first = -discretised_log_prob(x0, mean, sched.beta[1].item()**.5)")),
    "T missing": (DRAWN, dict(nats="nats = last + total")),
    "T − 1 for T": (DRAWN, dict(nats="nats = last + (T - 1)*total")),
    "T for T − 1": (APART, dict(nats="nats = last + terms[0] + T*terms[1]")),
    "T never drawn": (DRAWN, dict(times="ts = [torch.randint(1, T, (B,))]")),
    "1 never drawn": (DRAWN, dict(times="ts = [torch.randint(2, T + 1, (B,))]")),
    "nats for bits": (BITS, dict(unit="out = nats/D")),
    "nats of the whole picture": (BITS, dict(unit="out = nats")),
    "bits per dimension": (NATS, dict(unit="out = nats/D/math.log(2)")),
    "bits for nats": (NATS, dict(unit="out = nats/math.log(2)")),
    "times ln 2": (BITS, dict(unit="out = nats*math.log(2)/D")),
    "not per dimension": (BITS, dict(unit="out = nats/math.log(2)")),
    "per dimension": (NATS, dict(unit="out = nats/D")),
    "channels forgotten": (BITS, dict(unit="out = nats/math.log(2)/x0[0, 0].numel()")),
    "scale forgotten": (DENSITY, dict(unit="out = nats/math.log(2)/D")),
    "256 levels on [−1, 1]": (DENSITY, dict(unit="out = nats/math.log(2)/D + 7")),
    "sum over the batch": (NATS, dict(end="return out.sum()")),
}


def made_bound(style, setting, *edits):
    "A bound in some style, with lines exchanged."
    unit, var, decoder, way = setting
    lines, first = BOUND_STYLES[style]
    ts, total = WAYS[way]
    code = dict(lines, times=f"ts = {ts}", nats=f"nats = last + {total}", count="pass")
    for edit in edits: code |= edit(first) if callable(edit) else edit
    inner = [code[k] for k in ("look", "xt", "net", "guess", "mean", "var", "kl", "first")]
    inner += ["term = torch.where(c(t == 1), first, kl).flatten(1).sum(1)", code["count"],
              "total = total + term; terms.append(term)"]
    source = "\n".join(["def f(net, x0):", "    B, D, total, terms = len(x0), x0[0].numel(), 0., []", f"    {code['prior']}",
                        f"    {code['times']}", "    for t in ts:", *(f"        {line}" for line in inner),
                        *(f"    {code[k]}" for k in ("nats", "unit", "end"))])
    space = {**vars(elbo), **vars(forward), "torch": torch, "np": np, "math": math, "Normal": torch.distributions.Normal,
             "sched": SMALL, "T": SHORT, "unit": unit, "var": var, "levels": decoder == "levels",
             "c": lambda v: torch.as_tensor(v).reshape(-1, 1, 1, 1), "np_sqrt": torch.sqrt, "table": SMALL.abar}
    if style == "guided":
        diffusers = pytest.importorskip("diffusers")
        betas = diffusers.DDPMScheduler(SHORT, beta_start=.01, beta_end=.4).betas.double()
        space |= dict(betas=betas, cum=(1 - betas).cumprod(0))
    exec(source, space)
    return space["f"], first


def bound_report(style, setting, *edits, seed=0):
    f, first = made_bound(style, setting, *edits)
    unit, var, decoder, _ = setting
    return likelihood(f, SMALL, unit, var, decoder, first=first, seed=seed)


FAMILIES = {"loss": (LOSSES, PLANTED, report, STYLES), "bound": (BOUNDS, BOUND_PLANTED, bound_report, BOUND_STYLES)}
families = pytest.mark.parametrize("family", FAMILIES)
SETTINGS = {"loss": [EPS, V, ("x0", None), MIN, MINV, ("x0", "min_snr")],
            "bound": [NATS, BETA, BITS, DENSITY, DRAWN, APART, ("bits", "beta", "density", ESTIMATE)]}


@families
def test_catalogue_is_planted(family):
    mistakes, planted, _, _ = FAMILIES[family]
    assert {m.name for m in mistakes} == set(planted)


@families
def test_right_is_right(family):
    _, _, judged, styles = FAMILIES[family]
    for seeds, style in zip((40, 3, 3), styles):
        for seed in range(seeds):
            setting = SETTINGS[family][seed % len(SETTINGS[family])]
            result = judged(style, setting, seed=seed)
            assert result.verdict == "right", (style, setting, seed, str(result))


@families
def test_each_mistake_is_named(family):
    "Each in one of the implementations, which changes with the library."
    _, planted, judged, styles = FAMILIES[family]
    missed = []
    for k, (name, (setting, edit)) in enumerate(planted.items(), TURN):
        style = list(styles)[k % len(styles)]
        found = judged(style, setting, edit)
        assert found.verdict == "wrong", (style, name, str(found))
        if name not in [s.mistake.name for s in found.suspects]: missed.append((style, name))
    assert not missed, missed


@families
def test_two_mistakes_at_once(family):
    _, planted, judged, styles = FAMILIES[family]
    g = random.Random(0)
    def lines(edit): return set(edit(1) if callable(edit) else edit)
    pairs = [(a, b) for a, b in itertools.combinations(planted, 2)
             if planted[a][0] == planted[b][0] and not lines(planted[a][1]) & lines(planted[b][1])]
    named = 0
    for a, b in (some := g.sample(pairs, 100)):
        found = judged(g.choice(list(styles)), planted[a][0], planted[a][1], planted[b][1])
        assert found.verdict == "wrong", (a, b, str(found))
        named += bool({a, b} & {s.mistake.name for s in found.suspects})
    print(f"{family}: one of two named in {named} of {len(some)}")
    assert named >= 90
