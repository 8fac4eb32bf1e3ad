"""Samplers of other libraries, and code by name: what is right is found right, what is wrong wrong."""
import re, subprocess, sys
from functools import partial
from pathlib import Path
import numpy as np
import pytest
import torch
import diffusers
from d2c import verify
from d2c.conventions import level
from d2c.schedule import linear, spaced

diffusers.utils.logging.set_verbosity_error()
BOOK = Path(__file__).parent.parent/"book"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")    # of diffusers, with numpy
HERE = [n for n in sorted(dir(diffusers)) if n.endswith("Scheduler") and n not in verify.NOT_HERE
        and n != "SchedulerMixin"]


def made(name, **options):
    try: kind = getattr(diffusers, name)
    except ImportError: pytest.skip(f"{name} needs what is not installed")
    try: return kind(**options)
    except ImportError: pytest.skip(f"{name} needs what is not installed")


@pytest.mark.parametrize("name", HERE)
def test_every_scheduler_draws_from_the_right_law(name):
    "Or it is left out with a sentence: none is forgotten when the library grows."
    few, more = (verify.law(verify.diffusers_sampler(made(name), n)) for n in (32, 128))
    assert more.excess < .15 and more.error < .8*few.error + 5e-3
    assert more.evaluations >= 127


@pytest.mark.parametrize("name", ["DDIMScheduler", "DDIMParallelScheduler", "CogVideoXDDIMScheduler"])
@pytest.mark.parametrize("spacing, steps, right", [("leading", 20, True), ("leading", 7, True), ("trailing", 20, True),
                                                   ("trailing", 7, False), ("linspace", 20, False)])
def test_the_list_of_times_that_is_not_walked(name, spacing, steps, right):
    report = verify.scheduler(made(name, timestep_spacing=spacing, clip_sample=False), steps, quick=True)
    assert bool(report) == right, report
    if not right: assert report.suspects[0].mistake.name == "stride of fixed width"


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_ddpm_is_right_where_it_is(spacing, variance):
    "With trailing times the last is not 0, and noise of variance β is added to what comes out."
    report = verify.scheduler(made("DDPMScheduler", timestep_spacing=spacing, variance_type=variance, clip_sample=False),
                              13, quick=True)
    assert bool(report) == ((spacing, variance) != ("trailing", "fixed_large")), report
    if not report: assert report.suspects[0].mistake.name == "noise at the last step"


class Forgets(diffusers.HeunDiscreteScheduler):
    "Takes off a tenth of the first of two slopes."
    def step(self, *given, **kw):
        if not self.state_in_first_order: self.prev_derivative = .9*self.prev_derivative
        return super().step(*given, **kw)


class Narrow(diffusers.EulerAncestralDiscreteScheduler):
    "Makes all a hundredth smaller at every step."
    def step(self, *given, **kw): return (.99*super().step(*given, **kw).prev_sample,)


class Slow(diffusers.FlowMatchEulerDiscreteScheduler):
    "Every step is a twentieth too short."
    def step(self, g, t, x, **kw): return super().step(.95*g, t, x, **kw)


class Shifted(diffusers.DPMSolverMultistepScheduler):
    "Reads its answers as those of another time."
    def convert_model_output(self, g, *others, sample=None, **kw):
        return super().convert_model_output(1.05*g, *others, sample=sample, **kw)


@pytest.mark.parametrize("kind", [Forgets, Narrow, Slow, Shifted])
def test_solvers_with_a_mistake_do_not_arrive(kind):
    report = verify.converges(lambda n: verify.diffusers_sampler(kind(), n))
    assert report.verdict == "wrong", report


@pytest.mark.parametrize("kind", ["HeunDiscreteScheduler", "EulerAncestralDiscreteScheduler", "FlowMatchEulerDiscreteScheduler",
                                  "DPMSolverMultistepScheduler", "EDMEulerScheduler", "PNDMScheduler"])
def test_solvers_without_one_do(kind):
    report = verify.converges(lambda n: verify.diffusers_sampler(made(kind), n))
    assert report.verdict == "right", report


class Chain:
    "As guided-diffusion has it."
    def __init__(self, kept, wrong=False):
        betas = np.linspace(1e-4, .02, 1000)
        abar = np.cumprod(1 - betas)
        self.timestep_map, self.num_timesteps = sorted(kept), len(kept)
        self.abar = torch.from_numpy(np.append(1., abar[self.timestep_map]))
        self.betas, self.wrong = 1 - (self.abar[1:]/self.abar[:-1]).numpy(), wrong

    def ask(self, model, x, t):
        i = int(t[0])
        eps = model(x, torch.tensor(self.timestep_map)[t])
        a, b = self.abar[i + 1], self.abar[i]
        return i, a, b, eps, (x - (1 - a)**.5*eps)/a**.5

    def p_sample(self, model, x, t, clip_denoised=True):
        i, a, b, eps, x0 = self.ask(model, x, t)
        if clip_denoised: x0 = x0.clamp(-1, 1)
        beta = 1 - a/b
        mean = b**.5*beta/(1 - a)*x0 + (a/b)**.5*(1 - b)/(1 - a)*x
        sigma = (beta*(1 - b)/(1 - a))**.5
        if self.wrong: sigma = sigma**2
        return {"sample": mean + sigma*torch.randn_like(x)*(i > 0)}

    def ddim_sample(self, model, x, t, clip_denoised=True, eta=0.):
        i, a, b, eps, x0 = self.ask(model, x, t)
        if clip_denoised:
            x0 = x0.clamp(-1, 1)
            eps = (x - a**.5*x0)/(1 - a)**.5
        sigma = eta*((1 - b)/(1 - a)*(1 - a/b))**.5
        return {"sample": b**.5*x0 + (1 - b - sigma**2)**.5*eps + sigma*torch.randn_like(x)*(i > 0)}


@pytest.mark.parametrize("options", [dict(method="p_sample"), dict(method="ddim_sample"),
                                     dict(method="ddim_sample", eta=.5), dict(method="p_sample", clip_denoised=False)])
def test_objects_of_guided_diffusion(options):
    peer = verify.guided_diffusion_sampler(Chain(range(0, 1000, 50)), sched=linear(), **options)
    assert verify.sampler(peer, quick=True)
    with pytest.raises(ValueError, match="skips times"): verify.guided_diffusion_sampler(Chain(range(0, 1000, 50)))


def test_a_mistake_in_an_object_of_guided_diffusion():
    peer = verify.guided_diffusion_sampler(Chain(range(0, 1000, 50), wrong=True), sched=linear())
    report = verify.sampler(peer, quick=True)
    assert report.verdict == "wrong" and report.suspects[0].mistake.name == "noise times its variance"
    with pytest.raises(AssertionError, match="noise times its variance"): report.raise_if_wrong()


def euler(model, x, sigmas, noise_sampler=None, noise=0., slip=1.):
    "As k-diffusion has it; with noise, ancestral."
    for s, to in zip(sigmas, sigmas[1:]):
        up = noise*(to**2*(s**2 - to**2)/s**2)**.5
        down = (to**2 - up**2)**.5
        x = x + slip*(x - model(x, s*torch.ones(len(x))))/s*(down - s)
        if up > 0: x = x + up*noise_sampler(s, to)
    return x


@pytest.mark.parametrize("noise", [0., 1.])
def test_functions_of_k_diffusion(noise):
    peer = verify.k_diffusion_sampler(partial(euler, noise=noise), linear(), spaced(1000, 20), eta=noise)
    assert verify.sampler(peer, quick=True)
    sigmas = lambda n: torch.tensor([*torch.linspace(80**(1/7), .002**(1/7), n).double()**7, 0.])
    make = lambda slip: lambda n: verify.k_diffusion_sampler(partial(euler, noise=noise, slip=slip), sigmas(n))
    assert verify.converges(make(1.)).verdict == "right"
    assert verify.converges(make(.9)).verdict == "wrong"


def endless(network, x):
    while True: network(x, 500)


def in_place(network, x):
    x += 1
    return network(x, 500)


def on_a_gpu(network, x): raise RuntimeError("Found no NVIDIA driver on your system")


@pytest.mark.parametrize("sample, said", [
    (lambda network, x: x*float("nan"), "not finite"), (lambda network, x: network(x, 500)[:, :1, :1, :0], "shape"),
    (endless, "without an end"), (in_place, "in place"), (on_a_gpu, "needs a GPU"), (lambda network, x: None, "tensor is needed"),
    (lambda network, x: 1/0, "ZeroDivisionError")])
def test_bad_input_gets_a_sentence(sample, said):
    sched = linear()
    peer = verify.Peer("theirs", sample, "eps", lambda t: level(sched.at(int(t))), sched=sched, times=(500,), eta=0.)
    for look in (verify.law, partial(verify.sampler, quick=True)):
        with pytest.raises(ValueError, match=said) as error: look(peer)
        assert "\n" not in str(error.value)


def test_the_generators_are_put_back():
    peer = verify.diffusers_sampler(made("EulerAncestralDiscreteScheduler"), 5)
    functions = torch.randn, torch.randn_like
    torch.manual_seed(3)
    expected = torch.randn(2)
    torch.manual_seed(3)
    first = verify.law(peer)
    assert torch.equal(torch.randn(2), expected) and (torch.randn, torch.randn_like) == functions
    assert verify.law(peer) == first


@pytest.mark.parametrize("arguments, status, said", [
    (["diffusers:DDIMScheduler", "--steps", "20", "--spacing", "linspace", "--eta", "0.5", "--quick"], 1, "stride of fixed width"),
    (["diffusers:DDPMScheduler", "--steps", "10", "--quick", "--option", "clip_sample=false"], 0, "right"),
    (["diffusers:LCMScheduler"], 2, "distilled"), (["no/file.py:f"], 2, "no file")])
def test_the_command_has_an_exit_status(arguments, status, said):
    done = subprocess.run([sys.executable, "-c", "from d2c.cli import main; import sys; sys.exit(main())", "verify", *arguments],
                          capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == status and said in done.stdout + done.stderr, done


def reports():
    "The findings of the conformance page, and the code in each."
    text = (BOOK/"conformance.md").read_text(encoding="utf-8")
    for part in re.split(r"^### ", text, flags=re.M)[1:]:
        for code in re.findall(r"```python\n(.*?)```", part, re.S): yield pytest.param(code, id=part[0])


@pytest.mark.parametrize("code", list(reports()))
def test_what_is_reported_of_others_is_so(code):
    "With another version of the library it may not be: then the page has to be made again."
    assert "assert" in code
    exec(compile(code, "report", "exec"), {})
