"What d2c.training promises across processes: crashes, signals, repetition, several at once."
import os, signal, subprocess, sys, time
import pytest
import torch
from d2c.saving import load

SETUP = """
import sys, time, torch
torch.set_num_threads(1)
from d2c.data import Images
from d2c.schedule import cosine
from d2c.saving import save
from d2c.training import train
from d2c.unet import UNet
def network(seed=0, **kw): torch.manual_seed(seed); return UNet(size=8, width=8, groups=4, attention=(), num_classes=3, **kw)
g = torch.Generator().manual_seed(0)
data = Images(torch.randint(0, 256, (100, 1, 8, 8), dtype=torch.uint8, generator=g), torch.randint(0, 3, (100,), generator=g), list("abc"))
def run(steps, **kw): return train(network(dropout=.1), cosine(100), data, steps, batch_size=8, warmup=2, **kw)
"""
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def python(code, *args, **kw):
    return subprocess.Popen([sys.executable, "-c", SETUP + code, *map(str, args)], stdout=subprocess.PIPE, text=True, env=ENV, **kw)


def said(process):
    "What a process wrote until it ended well."
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, f"it ended with {process.returncode}"
    return out


def test_a_kill_while_saving_leaves_a_whole_file(tmp_path):
    "Two networks are saved to one name in turn; whenever the process dies, the name holds one of them, whole."
    path = tmp_path/"net.safetensors"
    writer = python("""
nets = [network(seed) for seed in (0, 1)]
for net in nets: torch.nn.init.constant_(net.leave[2].bias, float(net is nets[1]))
save(nets[0], sys.argv[1]); print("go", flush=True)
while True:
    for net in nets: save(net, sys.argv[1])
""", path)
    assert writer.stdout.readline() == "go\n"
    for _ in range(8):                               # look while it is being replaced
        time.sleep(.03)
        assert load(path).model.leave[2].bias.unique().item() in (0, 1)
    writer.kill(); writer.wait()
    assert load(path).model.leave[2].bias.unique().item() in (0, 1)


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    from d2c.saving import save
    from d2c.unet import UNet
    net, path = UNet(size=8, width=8, groups=4, attention=()), tmp_path/"net.safetensors"
    save(net, path)
    before = path.read_bytes()
    def full(fd): raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="^The disk is full, and .*net.safetensors was not written"): save(UNet(size=8, width=16, groups=4, attention=()), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


TELL = """
import d2c.training as t
decay = t.ema_decay
def tell(k, d):
    if k == 5: print("five", flush=True)
    return decay(k, d)
t.ema_decay = tell
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_learned(tmp_path, number):
    path = tmp_path/"net.safetensors"
    process = python(TELL + """
r = run(1_000_000, progress=False)
save(r.model, sys.argv[1]); print("saved after", len(r.log["loss"]))
""", path)
    assert process.stdout.readline() == "five\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "Stopped after step" in out and "saved after" in out and load(path)


def test_killed_at_any_moment_and_taken_up_again(tmp_path):
    "A run killed without warning, again and again, ends with the bits of one that was left alone."
    code = """
import hashlib
r = run(60, progress=False, folder=sys.argv[1], save_every=3, accumulate=2)
print(len(r.log["loss"]), hashlib.sha256(b"".join(p.numpy().tobytes() for p in r.model.parameters())).hexdigest())
"""
    folder, newest = tmp_path/"killed", lambda: max(folder.glob("checkpoint-*.pt"), default=None)
    for kill in range(3):
        process, before = python(code, folder), newest()
        while process.poll() is None and newest() == before: time.sleep(.002)
        time.sleep(.01*kill)
        process.kill(); process.communicate()
    killed, alone = (said(python(code, folder)) for folder in (folder, tmp_path/"alone"))
    assert killed == alone and killed.startswith("60 ")
    lines = (tmp_path/"killed"/"log.csv").read_text().splitlines()
    assert len(lines) == 61 and lines == (tmp_path/"alone"/"log.csv").read_text().splitlines()


def test_same_seed_same_bits_in_another_process():
    code = """
import hashlib
r = run(20, progress=False, seed=int(sys.argv[1]))
print(hashlib.sha256(b"".join(p.numpy().tobytes() for p in r.model.parameters())).hexdigest())
"""
    one, two, other = (python(code, seed) for seed in (0, 0, 1))
    one, two, other = (p.communicate(timeout=120)[0] for p in (one, two, other))
    assert one == two != other and len(one) == 65


TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
GLOO = {**ENV, "ACCELERATE_USE_CPU": "true"}


def test_two_processes_do_what_one_does(tmp_path):
    "The same global batch gives the same losses and weights, whoever computes them; a run is taken up on two as well."
    script = tmp_path/"run.py"
    script.write_text(SETUP + """
import os
def plain(steps, B, **kw): return train(network(), cosine(100), data, steps, batch_size=B, warmup=2, accumulate=2, progress=False, mirror=True, **kw)
folder, B = sys.argv[1], 16//int(os.environ.get("WORLD_SIZE", 1))
plain(20, B, folder=folder, save_every=7)
os.remove(folder + "/checkpoint-00000020.pt") if os.environ.get("RANK", "0") == "0" else time.sleep(1)
r = plain(20, B, folder=folder, save_every=7)
save(r.model, f"{folder}/{os.environ.get('RANK', 0)}.safetensors")
torch.save(torch.tensor(r.log["loss"]), f"{folder}/{os.environ.get('RANK', 0)}.loss")
""")
    for launch, folder in (([sys.executable], "one"), (TWO, "two")):
        done = subprocess.run([*launch, str(script), str(tmp_path/folder)], capture_output=True, text=True, env=GLOO, timeout=240)
        assert done.returncode == 0, done.stderr[-2000:]
    one, a, b = (torch.load(tmp_path/name) for name in ("one/0.loss", "two/0.loss", "two/1.loss"))
    assert len(one) == 20 and (one - a).abs().max() < 1e-5 and torch.equal(a, b)
    one, a, b = (load(tmp_path/f"{name}.safetensors").model.parameters() for name in ("one/0", "two/0", "two/1"))
    for v, w, u in zip(one, a, b): assert torch.allclose(v, w, atol=1e-4) and torch.equal(w, u)


@pytest.mark.parametrize("killed", [0, 1])
def test_if_one_of_two_dies_the_other_says_so(tmp_path, killed):
    code = TELL + "run(1_000_000, progress=False, folder=sys.argv[1])"
    where = {**GLOO, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(29_600 + os.getpid()%1000 + killed)}
    both = [subprocess.Popen([sys.executable, "-c", SETUP + code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, env={**where, "RANK": str(r), "LOCAL_RANK": str(r)}) for r in (0, 1)]
    for process in both: assert process.stdout.readline() == "five\n"
    both[killed].kill()
    _, err = both[1 - killed].communicate(timeout=60)
    assert both[1 - killed].returncode == 1 and "ConnectionError: The connection to another process of this run is lost" in err, err[-2000:]


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    out, _ = python("run(3, progress=False, folder=sys.argv[1], tensorboard=True)", tmp_path).communicate(timeout=120)
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_compiled():
    "A compiled network learns the same, and what comes back is the plain network."
    out, _ = python("""
from torch import nn
class Line(nn.Module):
    def __init__(self): super().__init__(); torch.manual_seed(0); self.layer = nn.Linear(2, 2)
    def forward(self, xt, t): return self.layer(xt)
points = Images(torch.randn(100, 2, generator=g), torch.zeros(100, dtype=torch.long), [])
plain, compiled = (train(Line(), cosine(100), points, 5, batch_size=8, warmup=2, progress=False, compile=c).model for c in (False, True))
print(type(compiled).__name__, all(torch.allclose(a, b, atol=1e-5) for a, b in zip(plain.parameters(), compiled.parameters())))
""").communicate(timeout=400)
    assert out == "Line True\n"


@pytest.mark.parametrize("process", ["ddpm", "vp", "flow", "edm"])
def test_each_process_goes_on_with_the_same_bits(tmp_path, process):
    "With a break or without one, the weights are the same; the file says the process, and is drawn from."
    from d2c.data import Images
    from d2c.measurements import draw
    from d2c.processes import KINDS, process_table, train_network
    from d2c.saving import Loaded, save
    from d2c.schedule import cosine
    from d2c.unet import UNet
    g = torch.Generator().manual_seed(0)
    data = Images(torch.randint(0, 256, (100, 1, 8, 8), dtype=torch.uint8, generator=g), torch.randint(0, 3, (100,), generator=g), list("abc"))
    sched = cosine(50) if process == "ddpm" else process_table(process, 50)
    def new():
        torch.manual_seed(0)
        return Loaded(UNet(size=8, width=8, groups=4, attention=(), num_classes=3), sched, KINDS[process].predicts[0], process, .7)
    def run(folder, **more):
        net = new()
        return net._replace(model=train_network(net, data, 30, folder=tmp_path/folder, save_every=10, batch_size=8, warmup=2, progress=False, **more).model)
    whole, _ = run("whole"), run("broken")
    (tmp_path/"broken"/"checkpoint-00000030.pt").unlink()
    again = run("broken")
    bits = [torch.cat([p.flatten() for p in net.model.parameters()]) for net in (whole, again, new())]
    assert bits[0].equal(bits[1]) and not bits[0].equal(bits[2])
    if process == "flow":
        with pytest.raises(ValueError, match="has times = uniform and not logit-normal"): run("broken", times="logit-normal")
    path, y = tmp_path/"net.safetensors", torch.arange(4)%3
    save(whole.model, path, sched, whole.predicts, process=process, sigma_data=.7)
    loaded = load(path)
    assert loaded[2:] == (whole.predicts, process, .7) and draw(loaded, 4, y, steps=3).equal(draw(whole, 4, y, steps=3))
