"""Editing: every method with three ways to ask for a class, each exact on the oracle, in both precisions."""
import pytest, torch
from d2c.ddim import ddim_update
from d2c.ddpm import ddpm_update, sample
from d2c.editing import edit_distance, of_guess, sdedit_steps, translate_steps
from d2c.guidance import class_log_prob, classifier_free_guidance, classifier_guidance
from d2c.inverse import posterior_given
from d2c.oracle import GaussianMixture, moments, pinwheel
from d2c.schedule import cosine, spaced
from d2c.solvers import dpmpp_2m_update, heun_update
from d2c.variance import x0_cov

gm, sched, N, GIVEN, CLASS = pinwheel(), cosine(1000), 800, 0, 3
one = lambda k: GaussianMixture([1.], gm.m[k:k + 1], gm.S[k:k + 1])
arm, arms = one(CLASS), [*(one(k).denoiser(sched) for k in range(6)), gm.denoiser(sched)]
seed = lambda k: torch.Generator().manual_seed(k)


def of_class(xt, t, y):
    "The exact model of a class, or of any for 6; the samples of one class lie side by side."
    parts = [arms[k](xt[y == k], t) for k in y.unique_consecutive().tolist()]
    return type(parts[0])(*map(torch.cat, zip(*parts)))


def asked(k, way):
    "Three ways to the exact model of a class: its own, by a classifier, and without one."
    y = torch.full((N,), k)
    if way == "none": return arms[k]
    if way == "free": return classifier_free_guidance(of_class, y, 6, torch.ones(N))    # of tensors, so that both answers are mixed
    return classifier_guidance(gm.denoiser(sched), class_log_prob(lambda x, t: gm.classify(x, sched.at(int(t[0]))).to(x.dtype), y), sched)


def has_law(x, law, rough=0.):
    "Mean and covariance are those of the law, to four standard errors and a share of its size for the steps."
    mean, cov = moments(law)
    x, scale = x.double(), torch.linalg.cholesky(cov).inverse().T
    z = (x - mean) @ scale
    assert z.mean(0).abs().max() < 4/len(x)**.5 + rough
    assert (torch.cov(z.T) - torch.eye(2)).abs().max() < 4*(2/len(x))**.5 + 2*rough


MAKERS = {"DDPM": ddpm_update, "DDIM": ddim_update, "Heun": heun_update, "DPM-Solver++ 2M": dpmpp_2m_update}
WAYS, TYPES = ["none", "classifier", "free"], [torch.float32, torch.float64]
both = lambda test: pytest.mark.parametrize("dtype", TYPES)(pytest.mark.parametrize("way", WAYS)(test))


def share(x): return (gm.classify(x).argmax(1) == CLASS).double().mean()


@pytest.mark.parametrize("maker", MAKERS)
@both
def test_sdedit(maker, way, dtype):
    "Right pictures keep their law; others come to the class, the further the more is forgotten."
    def edited(law, t):
        x0 = law.sample(N, seed(0))[0].to(dtype)
        x = sample(sdedit_steps(MAKERS[maker], asked(CLASS, way), sched, x0, spaced(t, 25), seed(1)))
        assert x.dtype == dtype and x.shape == x0.shape
        return x0, x
    has_law(edited(arm, 600)[1], arm, .1)
    little, much = edited(one(GIVEN), 250), edited(one(GIVEN), 900)
    assert share(much[1]) > .99 and share(little[0]) == 0
    assert (little[1] - little[0]).norm(dim=1).mean() < .8*(much[1] - much[0]).norm(dim=1).mean()


@both
def test_sdedit_distance(way, dtype):
    "DDPM moves a point as far as the formula says, from another class and from its own."
    t, of = 500, asked(CLASS, way)
    for law in (one(GIVEN), arm):
        x0 = law.sample(N, seed(2))[0].to(dtype)
        x = sample(sdedit_steps(ddpm_update, of, sched, x0, spaced(t, 50), seed(3)))
        moved = (x - x0).double().square().sum(1)
        xt = sched.at(t)**.5*x0 + (1 - sched.at(t))**.5*torch.randn(N, 2, generator=seed(4))
        want = edit_distance(law, arm, xt.double(), sched.at(t))
        assert (moved.mean() - want.mean()).abs() < 4*((moved.var() + want.var())/N)**.5


@both
def test_bridge(way, dtype):
    "The bridge ends in the wanted law, needs no chance, and leads back to the picture."
    given, wanted, x0 = asked(GIVEN, way), asked(CLASS, way), one(GIVEN).sample(N, seed(5))[0].to(dtype)
    across = sample(translate_steps(given, wanted, sched, x0, spaced(1000, 80)))
    back = sample(translate_steps(wanted, given, sched, across, spaced(1000, 80)))
    assert across.dtype == back.dtype == dtype and share(across) > .99
    has_law(across, arm, .1)
    size = moments(one(GIVEN))[1].trace()**.5
    assert (back - x0).norm(dim=1).max() < .4*size < (across - x0).norm(dim=1).min()


A, WISH, TAU = torch.tensor([[.8, -.6]], dtype=torch.float64), -1.1, .1


def wish(x): return ((x @ A.to(x).T)[:, 0] - WISH)**2/(2*TAU**2)


def open_var(t):
    "Variance of the wished number, given x_t: a constant, as the class is one Gaussian."
    return (A @ x0_cov(arm, torch.zeros(1, 2).double(), sched.at(t))[0] @ A.T).item()


@both
def test_wish(way, dtype):
    "Scaled by 1/(1 + v/τ²) a wish by the guess draws its law exactly; as it is, it goes too far."
    model = asked(CLASS, way)
    guess = model if way == "free" else arms[CLASS]    # what a classifier adds is cut off from autograd
    def steered(scale):
        by_wish = classifier_guidance(model, of_guess(guess, wish), sched, scale)
        start = torch.randn(N, 2, generator=seed(6), dtype=torch.float64).to(dtype)
        return sample(sdedit_steps(ddpm_update, by_wish, sched, start, spaced(1000, 100), seed(7)))
    law = posterior_given(arm, A, torch.tensor([WISH]).double(), TAU)
    exact, plain = steered(lambda t: 1/(1 + open_var(t)/TAU**2)), steered(1.)
    assert exact.dtype == dtype and share(exact) > .99
    has_law(exact, law, .08)
    assert (plain @ A.to(dtype).T).var() < .8*(exact @ A.to(dtype).T).var() and wish(plain).mean() < .8*wish(exact).mean()


def test_autograd_ends_at_a_classifier():
    "A model steered by a classifier gives its guess the right value, and a derivative that lacks the classifier's."
    x = torch.randn(N, 2, generator=seed(8), dtype=torch.float64)
    def slope(model):
        at = x.clone().requires_grad_()
        return torch.autograd.grad(model(at, 400).x0.sum(), at)[0]
    torch.testing.assert_close(asked(CLASS, "classifier")(x, 400).x0, arms[CLASS](x, 400).x0)
    torch.testing.assert_close(slope(asked(CLASS, "free")), slope(arms[CLASS]))
    torch.testing.assert_close(slope(asked(CLASS, "classifier")), slope(gm.denoiser(sched)))
