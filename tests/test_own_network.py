"""A network by a stranger, with a `forward(x, t)` or `forward(x, t, y)` and nothing for our sake, goes all the way."""
import pytest, torch
from torch import nn
from d2c.data import Images
from d2c.ddim import ddim_steps, encode_steps
from d2c.ddpm import ddpm_steps, sample
from d2c.guidance import class_log_prob, classifier_free_guidance, classifier_guidance, mean_shift_steps
from d2c.oracle import pinwheel
from d2c.schedule import cosine, spaced
from d2c.saving import load, save
from d2c.training import train

SCHED, TIMES = cosine(100), spaced(100, 10)


class Points(nn.Module):
    "An MLP on the plane."
    def __init__(self, num_classes=None):
        super().__init__()
        self.num_classes = num_classes
        self.net = nn.Sequential(nn.Linear(3 + (num_classes or -1) + 1, 32), nn.SiLU(), nn.Linear(32, 2))
    def forward(self, x, t, y=None):
        told = [nn.functional.one_hot(y, self.num_classes + 1).float()] if self.num_classes else []
        return self.net(torch.cat([x, t.float()[:, None]/1000, *told], 1))


class Signals(nn.Module):
    "Convolutions along a line, with a normalisation that counts."
    num_classes = None
    def __init__(self):
        super().__init__()
        self.time, self.norm = nn.Embedding(101, 8), nn.BatchNorm1d(8)
        self.into, self.out = nn.Conv1d(2, 8, 3, padding=1), nn.Conv1d(8, 2, 3, padding=1)
    def forward(self, x, t): return self.out(self.norm(self.into(x) + self.time(t)[..., None]).relu())


class Films(nn.Module):
    "Convolutions in time and space."
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 1, 3, padding=1)
    def forward(self, x, t): return self.conv(x)*(t/100.)[:, None, None, None, None]


class Latents(nn.Module):
    "A transformer on the 4 channels of an autoencoder's latents."
    def __init__(self, num_classes=3):
        super().__init__()
        self.num_classes, self.label = num_classes, nn.Embedding(num_classes + 1, 16)
        self.tokens, self.place, self.out = nn.Linear(4, 16), nn.Parameter(torch.zeros(16, 16)), nn.Linear(16, 4)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    def forward(self, x, t, y):
        h = self.tokens(x.flatten(2).mT) + self.place + self.label(y)[:, None] + torch.sin(t[:, None, None]/10)
        return self.out(self.layer(h)).mT.reshape(x.shape)


@pytest.mark.parametrize("build, shape", [
    (Points, (2,)), (lambda: Points(3), (2,)), (Signals, (2, 12)), (Films, (1, 2, 4, 4)), (Latents, (4, 4, 4))])
@pytest.mark.parametrize("predicts", ["eps", "v"])
def test_trained_saved_loaded_sampled_guided(build, shape, predicts, tmp_path):
    torch.manual_seed(0)
    net, K = build(), getattr(build(), "num_classes", None)
    data = Images(torch.randn(40, *shape), torch.arange(40)%3, ["a", "b", "c"] if K else [])
    trained = train(net, SCHED, data, 3, predicts, batch_size=8, progress=False, folder=tmp_path/"run").model
    save(trained, tmp_path/"own.safetensors", SCHED, predicts)
    with pytest.raises(ValueError, match=f"weights of a {type(net).__name__}, which does not say how it was built"): load(tmp_path/"own.safetensors")
    loaded = load(tmp_path/"own.safetensors", into=build())
    for a, b in zip(trained.state_dict().values(), loaded.model.state_dict().values(), strict=True): assert a.equal(b)

    y, xT = torch.arange(6)%3, torch.randn(6, *shape)
    model = loaded.denoiser(y if K else None)
    log_prob = class_log_prob(lambda xt, t: torch.stack([xt.flatten(1).sum(1), 0*xt.flatten(1)[:, 0], xt.flatten(1)[:, 1]], 1), y)
    for steps in (ddpm_steps(model, SCHED, xT, TIMES), ddim_steps(model, SCHED, xT, TIMES), encode_steps(model, SCHED, xT, TIMES),
                  ddim_steps(classifier_guidance(model, log_prob, SCHED, 2.), SCHED, xT, TIMES), mean_shift_steps(model, log_prob, SCHED, xT, TIMES),
                  *([ddpm_steps(classifier_free_guidance(loaded.denoiser(), y, K, 2.), SCHED, xT, TIMES)] if K else [])):
        x = sample(steps)
        assert x.shape == xT.shape and x.isfinite().all() and not x.equal(xT)


def test_a_small_network_learns_the_pinwheel(tmp_path):
    "And what it learnt comes out: points of the plane, drawn by a stranger's network, lie where the mixture does."
    gm, sched = pinwheel(), cosine()
    points, arm = gm.sample(20_000, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    class Plane(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
        def forward(self, x, t): return self.net(torch.cat([x, t.float()[:, None]/1000], 1))
    trained = train(Plane(), sched, Images(points.float(), arm, []), 800, "v", batch_size=512, lr=5e-3, progress=False).model
    save(trained, tmp_path/"plane.safetensors", sched, "v")
    loaded = load(tmp_path/"plane.safetensors", into=Plane())
    x = sample(ddim_steps(loaded.denoiser(), loaded.sched, torch.randn(4000, 2, generator=torch.Generator().manual_seed(1)), spaced(1000, 50)))
    better = gm.log_prob(x).mean() - gm.log_prob(torch.randn(4000, 2)*x.std()).mean()
    assert better > .5 and (x.mean(0) - points.mean(0).float()).abs().max() < .1
