"""Flow matching against diffusers, where it has the notion."""
import diffusers, pytest, torch
from diffusers.training_utils import compute_density_for_timestep_sampling
from d2c.conventions import shift
from d2c.ddpm import sample
from d2c.flow import field, flow_steps, logit_normal_times, moving
from d2c.oracle import pinwheel
from d2c.sde import straight

normal = lambda *shape, k=0: torch.randn(*shape, generator=torch.Generator().manual_seed(k), dtype=torch.float64)


@pytest.mark.parametrize("c", [1., 3.])
@pytest.mark.parametrize("n", [1, 5, 20])
def test_euler(c, n):
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=c)
    theirs.set_timesteps(n)
    times = theirs.sigmas[:-1].double()
    # its last time is that of training, shifted already, and is shifted once more
    if n > 1: torch.testing.assert_close(times, shift(torch.linspace(1, shift(.001, c), n).double(), c), rtol=0, atol=1e-6)
    gm, path = pinwheel(), straight()
    u, x = field(gm.denoiser(path), path), normal(50, 2)
    for step in flow_steps(u, path, x, times):
        want = theirs.step(u(x, step.t), torch.tensor(1000*step.t).float(), x).prev_sample
        torch.testing.assert_close(step.xs, want, rtol=0, atol=1e-6)
        x = step.xs
    assert theirs.sigmas[-1] == 0 and step.s == 0


def test_noise():
    theirs = diffusers.FlowMatchEulerDiscreteScheduler()
    x0, eps = normal(4, 1, 3, 3), normal(4, 1, 3, 3, k=1)
    timesteps = theirs.timesteps[[0, 300, 700, 999]]
    got = theirs.scale_noise(x0, timesteps, eps)
    torch.testing.assert_close(moving(straight(), x0, timesteps.double()/1000, eps)[0], got.double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("m, s", [(0., 1.), (.5, .7)])
def test_logit_normal(m, s):
    g = torch.Generator().manual_seed(0)
    theirs = compute_density_for_timestep_sampling("logit_normal", 20_000, m, s, generator=g).double().sort().values
    ours = logit_normal_times(m, s)(20_000, g).sort().values
    assert (theirs - ours).abs()[200:-200].max() < .02


def test_float32_and_pictures():
    u = lambda x, t: x.tanh()
    x = normal(3, 1, 5, 5).float()
    out = sample(flow_steps(u, straight(), x, [1., .5, .1]))
    assert out.dtype == torch.float32 and out.shape == x.shape
