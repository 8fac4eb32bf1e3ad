"""Everything that touches a network must run on a device without float64, such as Apple's GPU.

A stand-in is such a device: PyTorch believes in it, the values lie in ordinary memory, and it refuses float64 in any form.
"""
import contextlib, copy, math
import pytest
import torch
from accelerate import PartialState
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend
from d2c import cli, measurements, pretrained
from d2c.classifier import Classifier, train_classifier
from d2c.cli import sample_writer
from d2c.data import Images, mnist, normalise, seeded
from d2c.ddim import ddim_steps, encode_steps, slerp
from d2c.ddpm import ddpm_steps, sample
from d2c.elbo import bound, bound_estimate
from d2c.forward import clipped, denoiser, q_sample
from d2c.guidance import class_log_prob, classifier_free_guidance, classifier_guidance, mean_shift_steps
from d2c.memorisation import ideal
from d2c.metrics import evaluate
from d2c.schedule import cosine, like
from d2c.saving import Loaded, load, save
from d2c.runs import this_process
from d2c.training import loss_at, simple_loss, train
from d2c.unet import UNet


class Kind(_DummyBackendModule):
    def get_amp_supported_dtype(self): return [torch.float16, torch.bfloat16]


_setup_privateuseone_for_python_backend("standin", Kind())
LIBRARY = torch.library.Library("_", "IMPL")
LIBRARY.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
DEVICE = torch.device("standin", 0)


class There(torch.Tensor):
    "A tensor on the stand-in; `here` holds its values."
    @staticmethod
    def __new__(cls, here):
        return torch.Tensor._make_wrapper_subclass(cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype, device=DEVICE)

    def __init__(self, here): self.here = here

    def __repr__(self): return f"{self.here} on {DEVICE}"

    def __format__(self, spec): return format(self.cpu(), spec)

    def tolist(self): return self.cpu().tolist()

    def __reduce_ex__(self, protocol): return self.cpu().__reduce_ex__(protocol)    # for torch.save

    def __deepcopy__(self, memo):
        new = self.detach().clone().requires_grad_(self.requires_grad)
        new._is_param = getattr(self, "_is_param", False)
        return memo.setdefault(id(self), new)

    @classmethod
    def __torch_dispatch__(cls, op, types, args=(), kw=None): return work(op, args, kw or {})


def is_there(x): return isinstance(x, There) or isinstance(x, torch.device) and x.type == DEVICE.type


def work(op, args, kw):
    "Do an operation in ordinary memory, if a device could: no float64, and all tensors but numbers in one place."
    leaves = tree_leaves((args, kw))
    if not any(map(is_there, leaves)): return op(*args, **kw)
    moves, target = op._schema.name in ("aten::_to_copy", "aten::copy_"), kw.get("device")
    for x in leaves:
        if isinstance(x, torch.Tensor) and not is_there(x) and x.ndim and not moves and not target:
            raise RuntimeError(f"{op}: Expected all tensors to be on the same device, and one is on the CPU.")
        if isinstance(x, torch.Generator): raise RuntimeError(f"{op}: the stand-in has no generators.")
    known = {id(x.here): x for x in leaves if isinstance(x, There)}
    def fetch(x): return x.here if isinstance(x, There) else torch.device("cpu") if is_there(x) else x
    def put(x):
        if not isinstance(x, torch.Tensor): return x
        return known[id(x)] if id(x) in known else There(x)
    out = op(*tree_map(fetch, args), **tree_map(fetch, kw))
    if target is not None and not is_there(target) or op._schema.name == "aten::copy_" and not is_there(args[0]): return out
    for x in [*tree_leaves(out), *leaves]:
        if isinstance(x, torch.Tensor) and x.dtype in (torch.float64, torch.complex128):
            raise RuntimeError(f"{op}: the stand-in does not support float64.")
    return tree_map(put, out)


class Without64(TorchDispatchMode):
    def __torch_dispatch__(self, op, types, args=(), kw=None): return work(op, args, kw or {})


@pytest.fixture(autouse=True)
def standin(monkeypatch):
    "For the time of a test the stand-in is what accelerate finds."
    PartialState._reset_state()
    monkeypatch.setattr(PartialState, "default_device", property(lambda self: DEVICE))
    torch._C._set_only_lift_cpu_tensors(True)        # torch.tensor(…, device=…) is made on the CPU, then moved
    with Without64(): yield
    torch._C._set_only_lift_cpu_tensors(False)
    PartialState._reset_state()


SCHED, T = cosine(20), 20
TIMES = [20, 9, 1]


def network(**more):
    torch.manual_seed(0)
    net = UNet(size=8, width=8, groups=4, attention=(4,), num_classes=3, **more).eval()
    torch.nn.init.normal_(net.leave[2].weight, std=.1)
    return net


def data(n=20):
    g = seeded(0)
    return Images(torch.randint(256, (n, 1, 8, 8), generator=g, dtype=torch.uint8), torch.randint(3, (n,), generator=g), list("abc"))


def noise(n=4): return torch.randn(n, 1, 8, 8, generator=seeded(1))


def agrees(make):
    "make(device, network): on the stand-in it must give what it gives on the CPU."
    net = network()
    want = make(torch.device("cpu"), copy.deepcopy(net))
    got = make(DEVICE, net.to(DEVICE))
    assert got.device.type == DEVICE.type, got.device
    torch.testing.assert_close(got.cpu(), want, atol=1e-5, rtol=1e-5)


def test_the_stand_in_refuses():
    x = torch.ones(3, device=DEVICE)
    assert x.device == DEVICE and x.cpu().device.type == "cpu" and (2*x + 1).sum().item() == 9
    for wrong in (lambda: x.double(), lambda: x.sum(dtype=torch.float64), lambda: torch.zeros(3, dtype=torch.float64, device=DEVICE),
                  lambda: torch.zeros(3).double().to(DEVICE), lambda: torch.zeros(3).double().to(DEVICE, torch.float32),
                  lambda: x*torch.tensor(2., dtype=torch.float64)):
        with pytest.raises(RuntimeError, match="float64"): wrong()
    with pytest.raises(RuntimeError, match="same device"): x + torch.ones(3)
    with pytest.raises(RuntimeError, match="no generators"): torch.randn(3, generator=seeded(0), device=DEVICE)
    with pytest.raises(RuntimeError): torch.Generator(DEVICE)


def test_network_and_loss():
    x, t, y = noise(), torch.tensor([1, 5, 9, 20]), torch.tensor([0, 1, 2, 3])
    for style in ("openai", "ddpm"):
        net = network(style=style)
        want = net(x, t, y)
        assert (net.to(DEVICE)(x.to(DEVICE), t.to(DEVICE), y.to(DEVICE)).cpu() - want).abs().max() < 1e-5
    for predicts in ("eps", "x0", "v"):
        agrees(lambda d, net: simple_loss(net, SCHED, x.to(d), t.to(d), noise().to(d), y.to(d), predicts))
    agrees(lambda d, net: loss_at(net, SCHED, x.to(d), TIMES, y.to(d), "v", seeded(2)))
    agrees(lambda d, net: like(SCHED.at(t), x.to(d)))
    agrees(lambda d, net: q_sample(SCHED, x.to(d), t.to(d), x.to(d)) + q_sample(SCHED, x.to(d), torch.tensor(3), x.to(d)))


@pytest.mark.parametrize("generator", [seeded(2), [seeded(2, i) for i in range(4)], None], ids=["one", "each", "none"])
def test_samplers(generator):
    state = copy.deepcopy([g.get_state() for g in generator] if isinstance(generator, list) else generator and generator.get_state())
    def again():
        if isinstance(generator, list): return [torch.Generator().set_state(s) for s in copy.deepcopy(state)]
        return generator and torch.Generator().set_state(state.clone())
    def run(d, net):
        net1, x = (lambda xt, t: net(xt, t, 1)), noise().to(d)
        raw = denoiser(net1, SCHED)
        model = clipped(raw, SCHED)
        out = [sample(ddim_steps(model, SCHED, x, TIMES)), sample(encode_steps(raw, SCHED, x.clamp(-1, 1), TIMES)), slerp(x, x.flip(0), .3)]
        if generator: out += [sample(ddpm_steps(model, SCHED, x, TIMES, var, generator=again())) for var in ("beta", "beta_tilde")]
        else: assert sample(ddpm_steps(model, SCHED, x, TIMES)).isfinite().all()
        return torch.cat(out + [sample(ddim_steps(model, SCHED, x, TIMES, 1., generator=again()))] if generator else out)
    agrees(run)


def test_guidance():
    torch.manual_seed(0)
    judge, y = Classifier(size=8, width=8, groups=4, mults=(1,), num_classes=3).eval(), torch.tensor([0, 1, 2, 0])
    def run(d, net):
        model, log_prob, x = denoiser(net, SCHED), class_log_prob(copy.deepcopy(judge).to(d), y.to(d)), noise().to(d)
        of_each = torch.tensor([0., 1., 2., 3.], dtype=torch.float64)
        return torch.cat([
            *[sample(ddim_steps(clipped(classifier_guidance(model, log_prob, SCHED, scale), SCHED), SCHED, x, TIMES)) for scale in (2., of_each, of_each[1])],
            *[sample(mean_shift_steps(clipped(model, SCHED), log_prob, SCHED, x, TIMES, scale, generator=seeded(3))) for scale in (2., of_each)],
            *[sample(ddim_steps(clipped(classifier_free_guidance(model, y.to(d), 3, scale), SCHED), SCHED, x, TIMES)) for scale in (2., of_each, lambda t: t/10)],
            sample(ddim_steps(ideal(SCHED, normalise(data().x)), SCHED, x, TIMES))])
    agrees(run)


def test_bound_and_metrics():
    net, images = network(), data(40)
    def figures(d):
        model, x0 = denoiser(net.to(d), SCHED), normalise(images.x).to(d)
        return (bound(clipped(model, SCHED), SCHED, x0, 4, seeded(4)), bound_estimate(model, SCHED, x0, None, seeded(5)))
    for want, got in zip(figures("cpu"), figures(DEVICE)):
        assert got.dtype == torch.float64 and got.device.type == "cpu"
        torch.testing.assert_close(got, want, atol=1e-3, rtol=1e-3)
    torch.manual_seed(0)
    judge = Classifier(size=8, width=8, groups=4, mults=(1,), num_classes=3).eval()
    with pytest.warns(UserWarning, match="few"):
        want, got = (evaluate(judge.to(d), images.x[:20].to(d), images.y[:20].to(d), images, images) for d in ("cpu", DEVICE))
    for name in want: assert all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4) for a, b in zip(want[name], got[name])), (name, want[name], got[name])


def test_training(tmp_path):
    plain = dict(batch_size=4, progress=False, folder=tmp_path, save_every=1, log_every=1)
    show = sample_writer(tmp_path, Loaded(None, SCHED, "v"), (1, 8, 8), torch.tensor([0, 1]), 2, steps=3)
    net = network()
    result = train(net, SCHED, data(), 2, "v", mirror=True, on_save=show, **plain)
    assert next(net.parameters()).device == DEVICE and len(result.log["loss"]) == 2 and (tmp_path/"samples-0000002.png").exists()
    assert torch.load(tmp_path/"checkpoint-00000002.pt")["opt"]["param_groups"][0]["fused"] is None
    (tmp_path/"checkpoint-00000002.pt").unlink()
    again = train(network(), SCHED, data(), 2, "v", mirror=True, **plain)
    for a, b in zip(result.model.parameters(), again.model.parameters()): assert torch.equal(a, b)
    path = tmp_path/"net.safetensors"
    save(result.model, path, SCHED, "v")
    for a, b in zip(result.model.parameters(), load(path).model.parameters()): assert torch.equal(a.cpu(), b)
    judge = Classifier(size=8, width=8, groups=4, mults=(1,), num_classes=3)
    assert len(train_classifier(judge, data(), 2, SCHED, batch_size=4, progress=False).log["loss"]) == 2


def test_the_processor_if_asked(monkeypatch):
    "With ACCELERATE_USE_CPU, as with --gpu_id -1, nothing goes to the device."
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert this_process().device.type == "cpu"
    net = network()
    train(net, SCHED, data(), 1, batch_size=4, progress=False)
    assert {v.device.type for v in net.parameters()} == {"cpu"}


def test_command_line(tmp_path, monkeypatch, capsys):
    "d2c train, sample and evaluate, on a folder of pictures; the networks must be on the device that accelerate finds."
    monkeypatch.chdir(tmp_path)
    where, forward = set(), UNet.forward
    monkeypatch.setattr(UNet, "forward", lambda self, xt, t, y=None: (where.add(xt.device), forward(self, xt, t, y))[1])
    images = data(60)
    for i, x in enumerate(images.x):
        (tmp_path/"some"/str(i%2)).mkdir(parents=True, exist_ok=True)
        cli.write_grid(tmp_path/"some"/str(i%2)/f"{i}.png", x[None])
    def d2c(*words):
        assert cli.main([*map(str, words)]) == 0, capsys.readouterr().err
    cli.write_grid(tmp_path/"mask.png", 255*(images.x[:1] > 127).to(torch.uint8))
    best = "experiments/run/best.safetensors"
    d2c("train", "some", "--size", 8, "--channels", 1, "--width", 8, "--steps", 2, "--batch-size", 4, "--T", 10)
    d2c("sample", best, "--n", 4, "--steps", 2, "--scale", 2)
    d2c("sample", best, "--n", 3, "--steps", 2, "--eta", 0)
    d2c("evaluate", best, "some", "--n", 6, "--steps", 2)
    d2c("fill", "some/0/0.png", "--mask", "mask.png", "--weights", best, "--n", 2, "--steps", 2)
    d2c("restore", "some/0/0.png", "--blur", 1, "--weights", best, "--of", 1, "--n", 2, "--steps", 2)
    assert where == {DEVICE} and (tmp_path/"samples.png").exists() and "copies" in capsys.readouterr().out


def test_samples_are_those_of_the_processor(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    loaded, y = Loaded(network(), SCHED, "v"), torch.tensor([0, 1, 2, 1])
    for how in (dict(), dict(eta=.5), dict(scale=2., eta=0.)):
        here, there = (measurements.draw(loaded._replace(model=loaded.model.to(d)), 4, y, steps=3, **how).int() for d in ("cpu", DEVICE))
        assert (here - there).abs().max() <= 1


def test_numbers(monkeypatch):
    "What `d2c measure` and `d2c bits` do: the networks that ship, with few digits."
    some = mnist("test")
    few = Images(some.x[:300], some.y[:300], some.classes)
    monkeypatch.setattr(measurements, "mnist", lambda split: few)
    monkeypatch.setattr(measurements, "write_card", lambda name, **_: None)
    monkeypatch.setattr(measurements, "evaluate", lambda judge, x, y: next(judge.parameters()).device)
    cond, uncond, judge = (pretrained.load(name) for name in ("mnist-cond", "mnist-uncond", "mnist-noisy-classifier"))
    want = measurements.accuracy(judge, range(0, 1001, 500))
    for loaded in (cond, uncond, judge): loaded.model.to(DEVICE)
    assert measurements.accuracy(judge, range(0, 1001, 500)) == pytest.approx(want, abs=.01)
    assert measurements.quality(cond, 4, steps=2) == DEVICE
    assert measurements.draw(uncond, 4, torch.arange(4), steps=2, eta=0., scale=2., classifier="mnist-noisy-classifier").device.type == "cpu"
    short = uncond._replace(sched=cosine(3))
    assert math.isfinite(measurements.likelihood(short, n=2)["bits per dimension"])
    where = []
    def likelihood(loaded, var): where.append(loaded.device); return {"bits per dimension": 1., "95 %": 1.}
    for module in (measurements, cli): monkeypatch.setattr(module, "likelihood", likelihood)
    with monkeypatch.context() as m:
        m.setattr(measurements, "MEASUREMENTS", {"mnist-uncond": [("likelihood", dict(var="beta"))]})
        measurements.measure("mnist-uncond", again=True, progress=False)
    assert cli.main(["bits", "mnist-uncond"]) == 0 and where == [DEVICE]*3
