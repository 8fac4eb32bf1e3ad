"""Every mistake of the catalogue of guidance, planted in three programs that know nothing of each other, must be found and named.

The programs: this library's own guidance; plain functions of a few lines; and diffusers' guider, or, where it has nothing
of the kind, functions in the manner of guided-diffusion, with tables of numpy. A mistake is an edit of the program's text.
"""
import inspect, itertools, random
import numpy as np
import pytest
import torch
from d2c import guidance as library
from d2c.guides import CATALOGUE, ask, catalogue, guidance, mistaken, parts
from d2c.oracle import Guess
from d2c.schedule import cosine, linear

SCHED = linear()


def text(f): return inspect.getsource(f)


# ---- the programs: text that defines `guide` -------------------------------------------------------------------------------

OURS_FREE = text(library.classifier_free_guidance) + """
def guide(without, given, scale):
    def asked(x, t, y):
        some = lambda f: f.repeat(len(y)//3, 1, 1, 1)
        return Guess(x, torch.where((y == 9).reshape(-1, 1, 1, 1), some(without), some(given)))
    return classifier_free_guidance(asked, torch.arange(3), 9, scale)(without, 5).eps
"""
OURS_NETWORK = text(library.classifier_free_guidance) + """
def guide(model, x, t, y, scale):
    asked = lambda x, t, y: Guess(x, model(x, torch.full((len(x),), t), y))
    return classifier_free_guidance(asked, y, 10, scale)(x, int(t[0])).eps
"""
OURS_CLASSIFIER = text(library.classifier_guidance) + """
def guide(answer, grad, t, scale):
    log_prob = lambda x, t: (grad*x).flatten(1).sum(1)
    return classifier_guidance(lambda x, t: Guess(0*answer, answer), log_prob, SCHED, scale)(0*answer, int(t[0])).eps
"""
OURS_MEAN = text(library.mean_shift_update) + """
def guide(mean, var, grad, scale):
    global reverse_var, q_posterior
    reverse_var = lambda *a: var[i, 0, 0, 0].item()
    q_posterior = lambda *a: (mean[i:i + 1], None)
    out = []
    for i in range(3):
        log_prob = lambda x, t: (grad[i:i + 1]*x).flatten(1).sum(1)
        one = scale[i].item() if torch.is_tensor(scale) else scale
        update = mean_shift_update(SCHED, log_prob, one)
        out.append(update(lambda x, t: Guess(x, x), mean[i:i + 1], 5, 0, None)[0])
    return torch.cat(out)
"""
OURS_GRADIENT = text(library.class_log_prob) + text(library.gradient) + """
def guide(classifier, x, t, y, scale):
    return scale*gradient(class_log_prob(classifier, y), x, t)
"""
PLAIN_FREE = """
def guide(u, c, s):
    return u + s*(c - u)
"""
PLAIN_NETWORK = """
def guide(model, x, t, y, s):
    u = model(x, t, None)
    c = model(x, t, y)
    return u + s*(c - u)
"""
PLAIN_CLASSIFIER = """
a = SCHED.abar.float()
def guide(eps, grad, t, s):
    k = t.view(-1, 1, 1, 1)
    return eps - s*(1 - a[k]).sqrt()*grad
"""
PLAIN_MEAN = """
def guide(mean, var, grad, s):
    return mean + s*var*grad
"""
PLAIN_GRADIENT = """
def guide(f, x, t, y, s):
    with torch.enable_grad():
        x.requires_grad_(True)
        z = f(x, t)
        l = z[range(3), y] - torch.logsumexp(z, 1)
        l.sum().backward()
    return s*x.grad
"""
DIFFUSERS = """
from diffusers.guiders import ClassifierFreeGuidance
from diffusers.guiders.classifier_free_guidance import GuiderOutput, rescale_noise_cfg
class Guider(ClassifierFreeGuidance):
    def _is_cfg_enabled(self): return True
    def prepared(self, scale):
        self.guidance_scale = scale
        return self
"""
OTHER_FREE = lambda: DIFFUSERS + text(diffusers_guider().forward) + """
guider = Guider()
def guide(without, given, scale):
    return guider.prepared(scale).forward(given, without).pred
"""
OTHER_NETWORK = lambda: DIFFUSERS + text(diffusers_guider().forward) + """
guider = Guider()
def guide(unet, latents, t, labels, scale):
    labels_in = torch.cat([torch.full((3,), 10), labels])
    model_in = torch.cat([latents]*2)
    answers = unet(model_in, torch.cat([t]*2), labels_in)
    uncond, cond = answers.chunk(2)
    return guider.prepared(scale).forward(cond, uncond).pred
"""
OTHER_CLASSIFIER = """
class Diffusion:
    alphas_cumprod = SCHED.abar[1:].numpy()
    alphas_cumprod_prev = np.append(1., alphas_cumprod[:-1])
    def condition_score(self, cond_fn, eps, t, scale):
        alpha_bar = extract(self.alphas_cumprod, t, eps.shape)
        eps = eps - (1 - alpha_bar).sqrt() * cond_fn(scale)
        return eps
def extract(array, t, shape):
    res = torch.from_numpy(array)[(t - 1).clamp(0, 999)].float()
    while len(res.shape) < len(shape): res = res[..., None]
    return res.expand(shape)
def guide(eps, grad, t, scale):
    return Diffusion().condition_score(lambda scale: grad * scale, eps, t, scale)
"""
OTHER_MEAN = """
def condition_mean(cond_fn, p_mean_var):
    gradient = cond_fn()
    new_mean = p_mean_var["mean"].float() + p_mean_var["variance"] * gradient.float()
    return new_mean
def guide(mean, var, grad, scale):
    return condition_mean(lambda: grad * scale, {"mean": mean, "variance": var, "log_variance": var.log()})
"""
OTHER_GRADIENT = """
import torch.nn.functional as F
def guide(classifier, x, t, y, classifier_scale):
    with torch.enable_grad():
        x_in = x.detach().requires_grad_(True)
        logits = classifier(x_in, t)
        log_probs = F.log_softmax(logits, dim=-1)
        selected = log_probs[range(len(logits)), y.view(-1)]
        return torch.autograd.grad(selected.sum(), x_in)[0] * classifier_scale
"""


def diffusers_guider():
    guiders = pytest.importorskip("diffusers.guiders", reason="This diffusers has no guiders.")
    return guiders.ClassifierFreeGuidance


PROGRAMS = {
    "free": (OURS_FREE, PLAIN_FREE, OTHER_FREE), "network": (OURS_NETWORK, PLAIN_NETWORK, OTHER_NETWORK),
    "classifier": (OURS_CLASSIFIER, PLAIN_CLASSIFIER, OTHER_CLASSIFIER), "mean": (OURS_MEAN, PLAIN_MEAN, OTHER_MEAN),
    "gradient": (OURS_GRADIENT, PLAIN_GRADIENT, OTHER_GRADIENT),
}
STYLES = "ours", "plain", "other"

# ---- the edits: (of ours, of the plain one, of the third), each (old, new) or several -------------------------------------------

SUM, SUM_PLAIN, SUM_OTHER = "without + like(gamma, xt)*(given - without)", "u + s*(c - u)", "pred = pred + self.guidance_scale * shift"
BOTH, GAMMA = "torch.cat([nothing, y])", "like(gamma, xt)"
SHORT = ("if not torch.is_tensor(gamma) and gamma in (0, 1):", "if False:")   # one answer is not enough for a wrong sum
def three(ours, plain, other): return [SHORT, (SUM, ours)], (SUM_PLAIN, plain), (SUM_OTHER, "pred = " + other)
def same_sum(f):
    "One formula in three hands."
    return three(f("without", "given", GAMMA), f("u", "c", "s"), f("pred_uncond", "pred_cond", "self.guidance_scale"))
FREE = {
    "halves swapped": ([SHORT, ("without, given = answers", "given, without = answers")], ("u, c, s", "c, u, s"), ("shift = pred_cond - pred_uncond", "pred_cond, pred_uncond = pred_uncond, pred_cond\n            shift = pred_cond - pred_uncond")),
    "the other weight": ([SHORT, (SUM, "given + like(gamma, xt)*(given - without)")], (SUM_PLAIN, "(1 + s)*c - s*u"), ("self.use_original_formulation else", "True else")),
    "sign of the difference": ([SHORT, (SUM, "without + like(gamma, xt)*(without - given)")], (SUM_PLAIN, "u + s*(u - c)"), ("shift = pred_cond - pred_uncond", "shift = pred_uncond - pred_cond")),
    "unconditional answer forgotten": same_sum(lambda u, g, s: f"{s}*{g}"),
    "scaled answer added": same_sum(lambda u, g, s: f"{u} + {s}*{g}"),
    "difference alone": same_sum(lambda u, g, s: f"{s}*({g} - {u})"),
    "weighted mean": same_sum(lambda u, g, s: f"({u} + {s}*{g})/(1 + {s})"),
    "off up to 1": ([("return denoise(xt, t, y if gamma else nothing)", "return denoise(xt, t, y)")] + [(SUM, f"torch.where(torch.as_tensor({GAMMA}) > 1, {SUM}, given)")],
                    (SUM_PLAIN, "(u + s*(c - u))*(torch.as_tensor(s) > 1) + c*(torch.as_tensor(s) <= 1)"), ("pred = pred + self.guidance_scale * shift", "on = (torch.as_tensor(self.guidance_scale) > 1).float(); pred = on*(pred + self.guidance_scale * shift) + (1 - on)*pred_cond")),
    "scale twice": same_sum(lambda u, g, s: f"{u} + {s}*{s}*({g} - {u})"),
    "whole numbers": same_sum(lambda u, g, s: f"{u} + (torch.as_tensor({s})//1)*({g} - {u})"),
    "rescaled": ([SHORT, (f"return {SUM}", f"guided = {SUM}; return .7*guided*given.std((1, 2, 3), keepdim=True)/guided.std((1, 2, 3), keepdim=True) + .3*guided")],
                 (f"return {SUM_PLAIN}", "z = u + s*(c - u); d = lambda v: v.flatten(1).std(1)[:, None, None, None]; return z*(.3 + .7*d(c)/d(z))"), ("Guider()", "Guider(guidance_rescale=.7)")),
    "clipped": ([SHORT, (SUM, f"({SUM}).clamp(-1, 1)")], (SUM_PLAIN, "(u + s*(c - u)).clamp(-1, 1)"), ("return GuiderOutput(", "pred = pred.clamp(-1, 1)\n        return GuiderOutput(")),
    "three channels": ([SHORT, (SUM, f"torch.cat([({SUM})[:, :3], given[:, 3:]], 1)")], (SUM_PLAIN, "torch.cat([(u + s*(c - u))[:, :3], c[:, 3:]], 1)"), ("return GuiderOutput(", "pred[:, 3:] = pred_cond[:, 3:]\n        return GuiderOutput(")),
}
ALONE = {
    "conditional answer alone": ([SHORT, (BOTH, "torch.cat([y, y])")], (SUM_PLAIN, "c"), ("shift = pred_cond - pred_uncond", "pred_uncond = pred_cond; shift = 0")),
    "unconditional answer alone": ([SHORT, (BOTH, "torch.cat([nothing, nothing])")], (SUM_PLAIN, "u"), ("shift = pred_cond - pred_uncond", "shift = 0*pred_cond")),
}
NULLS, LABELS = "torch.full((3,), 10)", "torch.cat([torch.full((3,), 10), labels])"
NETWORK = {
    "null class not passed": ([SHORT, (BOTH, "torch.cat([y, y])")], ("t, None)", "t, y)"), (NULLS, "labels")),
    "class not passed": ([SHORT, (BOTH, "torch.cat([nothing, nothing])")], ("t, y)", "t)"), (LABELS, "torch.full((6,), 10)")),
    "class 0 for none": ([("torch.full_like(y, null)", "torch.zeros_like(y)")], ("t, None)", "t, 0*y)"), (NULLS, "torch.zeros(3, dtype=int)")),
    "class after": ([SHORT, (BOTH, "torch.cat([nothing, y + 1])")], ("t, y)", "t, y + 1)"), (LABELS, "torch.cat([torch.full((3,), 10), labels + 1])")),
    "halves interleaved": ([SHORT, ("without, given = answers.chunk(2)", "without, given = torch.stack(answers.chunk(2), 1).flatten(0, 1).chunk(2)")],
                           ("return", "u, c = torch.stack([u, c], 1).reshape(6, 4, 8, 8).split(3)\n    return"), [("torch.cat([latents]*2)", "latents.repeat_interleave(2, 0)"), (LABELS, "torch.stack([torch.full((3,), 10), labels], 1).flatten()")]),
    "two times": ([SHORT, ("both = denoise(torch.cat([xt, xt]), t, torch.cat([nothing, y]))", "both = Guess(*(torch.cat(v) for v in zip(denoise(xt, t - 1, nothing), denoise(xt, t, y))))")],
                  ("t, None)", "t - 1, None)"), ("torch.cat([t]*2)", "torch.cat([t - 1, t])")),
    "time before": ([("asked, y, 10, scale)(x, int(t[0]))", "asked, y, 10, scale)(x, int(t[0]) - 1)")], ("    u = ", "    t = t - 1\n    u = "), ("torch.cat([t]*2)", "torch.cat([t]*2) - 1")),
    "time after": ([("asked, y, 10, scale)(x, int(t[0]))", "asked, y, 10, scale)(x, int(t[0]) + 1)")], ("    u = ", "    t = t + 1\n    u = "), ("torch.cat([t]*2)", "torch.cat([t]*2) + 1")),
    **{name: edits for name, edits in FREE.items() if name != "halves swapped"},
    "halves swapped": ([SHORT, ("without, given = answers", "given, without = answers")], (SUM_PLAIN, "(1 - s)*c + s*u"), ("uncond, cond = answers", "cond, uncond = answers")),
}
OFF = ("if abar == 0 or not torch.is_tensor(gamma) and gamma == 0: return guess", "")
EPS, ROOT, DIRECT = "eps = guess.eps - like(gamma, xt)*root", "like((1 - abar)**0.5, xt)", "(1 - a[k]).sqrt()"
ROOT_OTHER, COND = "(1 - alpha_bar).sqrt()", "grad * scale"
CLASSIFIER = {
    "sign of the guidance": ((EPS, EPS.replace(" - ", " + ")), ("eps - s", "eps + s"), ("eps = eps - ", "eps = eps + ")),
    "factor forgotten": ((EPS, "eps = guess.eps - like(gamma, xt)"), (DIRECT + "*", ""), (ROOT_OTHER + " * ", "")),
    "ᾱ for 1 − ᾱ": ((ROOT, "like(abar**0.5, xt)"), (DIRECT, "a[k].sqrt()"), (ROOT_OTHER, "alpha_bar.sqrt()")),
    "a root missing": ((ROOT, "like(1 - abar, xt)"), (DIRECT, "(1 - a[k])"), (ROOT_OTHER, "(1 - alpha_bar)")),
    "a root too many": ((ROOT, "like((1 - abar)**0.25, xt)"), (DIRECT, DIRECT + ".sqrt()"), (ROOT_OTHER, ROOT_OTHER + "**.5")),
    "divided": ((ROOT, "like((1 - abar)**-0.5, xt)"), ("*" + DIRECT, "/" + DIRECT), (ROOT_OTHER, "1 / (1 - alpha_bar).sqrt()")),
    "time before": ((ROOT, "like((1 - sched.at(t - 1))**0.5, xt)"), (DIRECT, "(1 - a[k - 1]).sqrt()"), ("extract(self.alphas_cumprod, t", "extract(self.alphas_cumprod_prev, t")),
    "time after": ((ROOT, "like((1 - sched.at(t + 1))**0.5, xt)"), ("k = t.", "k = (t + 1).clamp(max=1000)."), ("(t - 1)", "t")),
    "α for ᾱ": ((ROOT, "like(sched.beta[t]**0.5, xt)"), (DIRECT, "SCHED.beta.float()[k].sqrt()"), (ROOT_OTHER, "extract(1 - self.alphas_cumprod/self.alphas_cumprod_prev, t, eps.shape).sqrt()")),
    "factor of x0": ((EPS + "*", "eps = guess.eps + like(gamma, xt)*like((1 - abar)/abar**0.5, xt)*"), ("- s*" + DIRECT, "+ s*(1 - a[k])/a[k].sqrt()"), ("- " + ROOT_OTHER, "+ (1 - alpha_bar) / alpha_bar.sqrt()")),
    "factor of v": ((ROOT, "like(((1 - abar)/abar)**0.5, xt)"), (DIRECT, "(1/a[k] - 1).sqrt()"), (ROOT_OTHER, "(1 - alpha_bar).sqrt() / alpha_bar.sqrt()")),
    "factor of score": ((EPS, "eps = guess.eps + like(gamma, xt)"), ("- s*" + DIRECT, "+ s"), ("- " + ROOT_OTHER + " *", "+")),
    "scale from 1": ([OFF, (EPS, "eps = guess.eps - (1 + like(gamma, xt))*root")], ("- s*", "- (1 + s)*"), (COND, "grad * (scale + 1)")),
    "scale ignored": ([OFF, (EPS, "eps = guess.eps - root")], ("- s*", "- "), (COND, "grad")),
    "scale twice": ((EPS, "eps = guess.eps - like(gamma, xt)**2*root"), ("- s*", "- s*s*"), (ROOT_OTHER, ROOT_OTHER + " * scale")),
    "gradient alone": ([OFF, (EPS, "eps = -like(gamma, xt)*root")], ("eps - s", "-s"), ("eps = eps - ", "eps = -")),
}
SHIFT, ONCE = "mean = mean + like(gamma, x)*sigma2*", "if sigma2 > 0 and (torch.is_tensor(gamma) or gamma != 0):"
def amount(ours, plain, other): return ("like(gamma, x)*sigma2*", f"like(gamma, x)*{ours}"), ("*var*", f"*{plain}"), ('p_mean_var["variance"] * ', other)
MEAN = {
    "standard deviation for variance": amount("sigma2**0.5*", "var**.5*", '(0.5 * p_mean_var["log_variance"]).exp() * '),
    "variance forgotten": amount("", "", ""),
    "variance twice": amount("sigma2**2*", "var*var*", 'p_mean_var["variance"] ** 2 * '),
    "log-variance": amount("torch.tensor(sigma2).log()*", "var.log()*", 'p_mean_var["log_variance"] * '),
    "variance taken for its logarithm": amount("torch.tensor(sigma2).exp()*", "var.exp()*", 'p_mean_var["variance"].exp() * '),
    "sign of the guidance": ((SHIFT, SHIFT.replace(" + ", " - ")), ("mean + s", "mean - s"), (".float() + p", ".float() - p")),
    "sign and root of the noise's form": ((SHIFT, "mean = mean - like(gamma, x)*sigma2**0.5*"), ("+ s*var", "- s*var**.5"), ('+ p_mean_var["variance"]', '- p_mean_var["variance"].sqrt()')),
    "scale from 1": ([(ONCE, "if True:"), (SHIFT, "mean = mean + (1 + like(gamma, x))*sigma2*")], ("+ s*", "+ (1 + s)*"), (COND, "grad * (scale + 1)")),
    "scale ignored": ([(ONCE, "if True:"), (SHIFT, "mean = mean + sigma2*")], ("+ s*", "+ "), (COND, "grad")),
    "scale twice": ((SHIFT, "mean = mean + like(gamma, x)**2*sigma2*"), ("+ s*", "+ s**2*"), (COND, "grad * scale * scale")),
    "gradient alone": ([(ONCE, "if True:"), (SHIFT, "mean = like(gamma, x)*sigma2*")], ("mean + s", "s"), ('p_mean_var["mean"].float() + ', "")),
}
PICK, LINE, LOG = "logits.log_softmax(1).gather(1, y[:, None])[:, 0]", "z[range(3), y] - torch.logsumexp(z, 1)", "F.log_softmax(logits, dim=-1)"
GRADIENT = {
    "mean over the batch": (("log_prob(x, t).sum()", "log_prob(x, t).mean()"), ("l.sum()", "l.mean()"), ("selected.sum()", "selected.mean()")),
    "gradient of the logit": ((PICK, "logits.gather(1, y[:, None])[:, 0]"), (LINE, "z[range(3), y]"), (LOG, "logits")),
    "gradient of the probability": ((PICK, PICK.replace("log_softmax", "softmax")), (LINE, f"({LINE}).exp()"), (LOG, "F.softmax(logits, dim=-1)")),
    "softmax over the batch": ((PICK, PICK.replace("(1)", "(0)")), (LINE, "z[range(3), y] - torch.logsumexp(z, 0)[y]"), ("dim=-1", "dim=0")),
    "scale inside the softmax": ([(PICK, PICK.replace("logits", "(factor*logits)")), ("def class_log_prob(", "factor = 1.\ndef class_log_prob("), ("return scale*gradient", "global factor; factor = torch.as_tensor(scale).reshape(-1, 1); return gradient")],
                                 [("f(x, t)", "torch.as_tensor(s).view(-1, 1)*f(x, t)"), ("s*x.grad", "x.grad")], [("classifier(x_in, t)", "classifier(x_in, t) * torch.as_tensor(classifier_scale).reshape(-1, 1)"), ("[0] * classifier_scale", "[0]")]),
    "the likeliest class": ((PICK, "logits.log_softmax(1).amax(1)"), (LINE, "z.max(1)[0] - torch.logsumexp(z, 1)"), ("y.view(-1)]", "logits.argmax(1)]")),
    "class after": ((PICK, PICK.replace("y[:", "1 + y[:")), (LINE, LINE.replace("y]", "y + 1]")), ("y.view(-1)", "y.view(-1) + 1")),
    "sign of the guidance": (("scale*gradient", "-scale*gradient"), (LINE, "torch.nn.functional.cross_entropy(z, y, reduction='none')"), ("log_probs[", "-log_probs[")),
    "gradient normalised": (("return scale*gradient(class_log_prob(classifier, y), x, t)", "return scale*torch.nn.functional.normalize(gradient(class_log_prob(classifier, y), x, t).flatten(1)).view(3, 4, 8, 8)"), ("s*x.grad", "s*x.grad/x.grad.square().sum((1, 2, 3), keepdim=True).sqrt()"),
                            ("return torch.autograd.grad(selected.sum(), x_in)[0]", "g = torch.autograd.grad(selected.sum(), x_in)[0]; return g / torch.linalg.vector_norm(g, dim=(1, 2, 3), keepdim=True)")),
    "sign of the gradient alone": (("return scale*gradient(class_log_prob(classifier, y), x, t)", "return scale*gradient(class_log_prob(classifier, y), x, t).sign()"), ("x.grad", "x.grad.sign()"), ("x_in)[0]", "x_in)[0].sign()")),
    "clipped input": (("xt.detach()", "xt.detach().clamp(-1, 1)"), ("x.requires_grad_(True)", "x = x.clip(-1, 1).requires_grad_(True)"), ("x.detach()", "x.clamp(-1, 1).detach()")),
    "time before": (("times_like(t, xt)", "times_like(t, xt) - 1"), ("f(x, t)", "f(x, t - 1)"), ("classifier(x_in, t)", "classifier(x_in, t - 1)")),
    "time after": (("times_like(t, xt)", "times_like(t, xt) + 1"), ("f(x, t)", "f(x, t + 1)"), ("classifier(x_in, t)", "classifier(x_in, t + 1)")),
    "clean classifier": (("times_like(t, xt)", "0*times_like(t, xt)"), ("f(x, t)", "f(x, 0*t)"), ("classifier(x_in, t)", "classifier(x_in, torch.zeros(3))")),
    "scale from 1": (("return scale*", "return (1 + scale)*"), ("s*x.grad", "(s + 1)*x.grad"), ("* classifier_scale", "* (classifier_scale + 1)")),
    "scale ignored": (("return scale*", "return "), ("s*x.grad", "x.grad"), (" * classifier_scale", "")),
    "scale twice": (("return scale*", "return scale*scale*"), ("s*x.grad", "s*s*x.grad"), ("* classifier_scale", "* classifier_scale**2")),
}
EDITS = {"free": {**FREE, **ALONE}, "network": NETWORK, "classifier": CLASSIFIER, "mean": MEAN, "gradient": GRADIENT}


def program(kind, style, *edits):
    "A guide, with edits of its text."
    source = PROGRAMS[kind][STYLES.index(style)]
    source = source() if callable(source) else source
    for old, new in edits:
        assert source.count(old) >= 1, (kind, style, old)
        source = source.replace(old, new)
    space = {**vars(library), "torch": torch, "np": np, "Guess": Guess, "SCHED": SCHED}
    exec(compile(source, f"<{kind}, {style}>", "exec"), space)
    return space["guide"]


def asked(kind, style):
    return dict(kind=kind, sched=SCHED, null=10 if kind == "network" and style != "plain" else None)


def edits_of(kind, name, style):
    found = EDITS[kind][name][STYLES.index(style)]
    return [found] if isinstance(found, tuple) else found


ALL = [(kind, style) for kind in PROGRAMS for style in STYLES]


@pytest.mark.parametrize("kind,style", ALL)
def test_what_is_right_is_found_right(kind, style):
    report = guidance(program(kind, style), **asked(kind, style))
    assert report.verdict == "right", report


@pytest.mark.parametrize("kind,style", ALL)
def test_every_mistake_is_found_and_named(kind, style):
    known = {m.name: m for m in catalogue(kind)}
    assert set(EDITS[kind]) == set(known)
    for name in known:
        report = guidance(program(kind, style, *edits_of(kind, name, style)), **asked(kind, style))
        assert report.verdict == "wrong", (name, report)
        assert name in [s.mistake.name for s in report.suspects], (name, str(report))


UNDONE = {("a root missing", "a root too many")}    # together they are right


def test_two_mistakes_are_wrong_and_one_is_named():
    right, pairs = parts(SCHED), []
    for kind in CATALOGUE:
        pairs += [(kind, *two) for two in itertools.combinations(catalogue(kind).items(), 2)]
    named, counted = 0, 0
    for kind, (one, change), (other, more) in random.Random(0).sample(pairs, 120):
        if (one.name, other.name) in UNDONE: continue
        both = mistaken(right, change, more)
        try: report = guidance(ask(both, kind), kind, SCHED)
        except ValueError: continue           # two mistakes that do not fit on one another
        assert report.verdict == "wrong", (kind, one.name, other.name)
        counted += 1
        named += bool({s.mistake for s in report.suspects} & {one, other})
    print(f"{named} of {counted} pairs have one of their mistakes named")
    assert counted > 100 and named > .9*counted
