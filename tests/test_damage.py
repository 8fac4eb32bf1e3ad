"What every reader of files says to damaged or hostile ones: a sentence, with nothing executed and nothing overwritten."
import gzip, io, json, os, pickle, re, shutil, sys, types
from pathlib import Path
import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image, PngImagePlugin
from torch import nn
from d2c import cli, data, metrics, training
from d2c.data import Images
from d2c.faces import LISTS, celeba, write_celeba
from d2c.schedule import cosine
from d2c.unet import UNet

pytestmark = pytest.mark.filterwarnings("ignore")   # of torch's and torchvision's
TRAIN = "train pics --size 8 --width 8 --T 20 --steps 3 --batch-size 4 --save-every 1 --keep-last 3"
DATA, FACES, SAMPLE = "data pics --size 8", "data celeba --root . --size 32", "sample net.safetensors --n 1 --steps 2"
CONFIG, RUN = TRAIN + " --config options.yaml", "experiments/run/checkpoint-*.pt"
NET = dict(size=8, width=8, groups=4, attention=(), num_classes=3)


class Own(nn.Module):
    "A network that does not say how it was built."
    def __init__(self, n): super().__init__(); self.layers = nn.Sequential(nn.Linear(2, n), nn.Linear(n, 2))
    def forward(self, xt, t): return self.layers(xt)


class Trap:
    "Makes the folder `executed` when it is unpickled by a reader that trusts it."
    def __reduce__(self): return os.mkdir, ("executed",)


def own(n): training.train(Own(n), cosine(20), Images(torch.zeros(8, 2), torch.zeros(8).long(), []), 2, batch_size=4, folder="own", progress=False)
def digits(): return data.mnist("test", ".")
def features(): return metrics.inception("inception.pth")
def idx(*shape): return bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)


def written(save, thing, *args, **kw):
    "The bytes of what a function writes to a file."
    out = io.BytesIO(); save(thing, out, *args, **kw); return out.getvalue()


def picture(*size, mode="RGB", suffix="PNG", **kw): return written(lambda v, f: v.save(f, suffix, **kw), Image.new(mode, size))


def floats(value): return written(lambda v, f: v.save(f, "TIFF"), Image.fromarray(np.full((9, 9), value, np.float32)))


def holding(tensors=None, **about):
    "A network's file that says something else of itself; or anything, for d2c=…"
    torch.manual_seed(0)
    net = UNet(**NET)
    said = json.dumps(dict(network="UNet", config=net.config, predicts="v", abar=cosine(20).abar.tolist()) | about)
    return safetensors.torch.save(tensors or {k: v.contiguous() for k, v in net.state_dict().items()}, {"d2c": about.get("d2c", said)})


def much_text():
    info = PngImagePlugin.PngInfo(); info.add_text("workflow", "x"*2**21, zip=True)
    return picture(9, 9, pnginfo=info)


def row_short(path): path.write_text(path.read_text()[:-1].rsplit("\n", 1)[0] + "\n")
def word_short(path): path.write_text(path.read_text().rsplit(None, 1)[0])
def into_subfolder(path): (path.parent/"sub").mkdir(); path.rename(path.parent/"sub"/path.name)
def as_is(path): "Leave it; something else does not fit."


def without_network(path):
    state = torch.load(path); del state["model"]; torch.save(state, path)


HOSTILE, ZIPPED = pickle.dumps(Trap()), written(torch.save, {"model": Trap()})
CODE = b"steps: !!python/object/apply:os.system ['mkdir executed']\n"
ZEROS, GARBAGE, HALF = bytes(200_000), b"\x93garbage\xff\n"*50, .5


# What is damaged; the files; how (their new content, bytes to keep, HALF, None for removed, a function); what is then done; words of the answer
CASES = [
    *[(f"picture, {what}", "pics/07.jpg", how, DATA, "07.jpg cannot be read as a picture") for what, how in (
        ("empty", b""), ("zeros", ZEROS), ("cut JPEG", HALF), ("cut PNG", picture(9, 9)[:-30]), ("text", b"a text"), ("pickle", HOSTILE),
        ("bomb", picture(20_000, 10_000, mode="1")))],
    ("picture in training", "pics/07.jpg", HALF, TRAIN + " --name other", "07.jpg cannot be read as a picture"),
    ("picture, text named .png", "pics/08.png", b"a text", DATA, "08.png cannot be read as a picture"),
    ("picture of floats, not finite", "pics/08.png", floats(float("nan")), DATA, "not finite"),
    ("picture of floats, beyond 1", "pics/08.png", floats(7), DATA, "from 7 to 7, outside 0 … 1"),
    ("picture, too small", "pics/08.png", picture(9, 5), DATA, "5 × 9"),
    ("pictures, many", "pics/*.png", b"", DATA, "and 6 more. The first"),
    ("pictures, a range that falls", "pics", as_is, DATA + " --range 9 1", "9 and 1"),
    ("pictures, no height", "pics", as_is, "data pics --size 0x8", "at least 1 pixel, not 0"),
    ("pictures, a part that lacks one to train on", "pics", lambda p: p.rename("moved") and p.mkdir() or Path("moved").rename("pics/test"), DATA, "has test and no train"),
    ("pictures beside subfolders", "pics/08.png", into_subfolder, DATA, "both in subfolders and beside"),
    ("pictures, 2 channels", "pics", as_is, DATA + " --channels 2", "not 2."),
    ("pictures, 19", "pics/0[3-5].*", None, DATA, "has 19 pictures; at least 20"),
    ("pictures, 1", "pics", lambda p: [other.unlink() for other in sorted(p.iterdir())[1:]], DATA, "has 1 picture"),
    ("pictures, none", "pics/*", None, DATA, "no pictures in pics"),
    ("pictures, no folder", "pics", None, DATA, "no folder pics"),
    ("pictures, a file as folder", "pics", b"", DATA, "no folder pics"),
    ("picture, PNG with much text", "pics/08.png", much_text(), DATA, "08.png"),
    ("picture, PNG with a short head", "pics/08.png",
        b"\x89PNG\r\n\x1a\n\0\0\0\x05IHDR" + bytes(9), DATA, "08.png"),
    ("picture, PGM with a bad head", "pics/08.png", b"P5\n6\xff 8\n255\n" + bytes(64), DATA, "08.png"),

    *[(f"MNIST's pictures, {what}", "MNIST/raw/t10k-images-idx3-ubyte", how, digits, words) for what, how, words in (
        ("empty", b"", "not an IDX file"), ("zeros", ZEROS, "not an IDX file"), ("garbage", GARBAGE, "not an IDX file"), ("cut", -1, "cut short"),
        ("head only", 9, "cut short"), ("other magic", b"\0\0\x0d\x03" + bytes(12), "not an IDX file"),
        ("too long", idx(2, 28, 28) + bytes(9999), "cut short"), ("absurd shape", idx(*[2**32 - 1]*3), "cut short"),
        ("other shape", idx(2, 28, 27) + bytes(2*28*27), "not MNIST's"), ("missing", None, "There is no"))],
    *[(f"MNIST's labels, {what}", "MNIST/raw/t10k-labels-idx1-ubyte.gz", how, digits, words) for what, how, words in (
        ("empty", b"", "not an IDX file"), ("cut gzip", -9, "cannot be unpacked"), ("no gzip", GARBAGE, "cannot be unpacked"),
        ("wrong sum", lambda p: p.write_bytes(p.read_bytes()[:-8] + bytes(8)), "cannot be unpacked"), ("missing", None, "There is no"),
        ("one more", gzip.compress(idx(3) + b"\0\1\2"), "not MNIST's"), ("a class 10", gzip.compress(idx(2) + b"\3\x0a"), "not MNIST's"))],

    *[(f"checkpoints, {what}", RUN, how, TRAIN, "not a whole checkpoint") for what, how in (
        ("empty", b""), ("zeros", ZEROS), ("cut", HALF), ("cut at the end", -1), ("garbage", GARBAGE), ("hostile", HOSTILE),
        ("hostile, zipped", ZIPPED), ("a tensor", written(torch.save, torch.zeros(3))), ("safetensors", holding()),
        ("weights", written(torch.save, {"weight": torch.zeros(3)})))],
    ("checkpoints, other settings in them", RUN, written(torch.save, {"settings": {"steps": 3}}), TRAIN, "resume it with its own settings"),
    ("checkpoints, other learning rate", RUN, as_is, TRAIN + " --lr 1", "has lr = 0.001 and not 1.0"),
    ("checkpoints, other network", RUN, as_is, TRAIN + " --width 16", "'width': 8"),
    ("checkpoints, other pictures", "pics/21.jpg", None, TRAIN, "has examples = 21 and not 20"),
    ("checkpoints, parts missing", RUN, without_network, TRAIN, "is of another network"),
    ("checkpoints, other network without a config", "own", as_is, lambda: own(3), "own"),

    *[(f"weights, {what}", "net.safetensors", how, SAMPLE, "cut short or is something else") for what, how in (
        ("empty", b""), ("zeros", ZEROS), ("cut", HALF), ("cut by one byte", -1), ("garbage", GARBAGE), ("a head too long", b"\xff"*8 + GARBAGE),
        ("hostile", HOSTILE), ("hostile, zipped", ZIPPED), ("npz", written(lambda v, f: np.savez(f, v), np.zeros(3))))],
    *[(f"weights, {what}", "net.safetensors", how, SAMPLE, "does not say which network") for what, how in (
        ("no metadata", safetensors.torch.save({"a": torch.zeros(1)})), ("no JSON", holding(d2c="nonsense")), ("a list", holding(d2c="[1]")))],
    *[(f"weights, {what}", "net.safetensors", how, SAMPLE, "another network than it says") for what, how in (
        ("another width", holding(config=NET | {"width": 16})), ("an unknown option", holding(config=NET | {"depth": 3})),
        ("a billion channels", holding(config=NET | {"width": 10**9})),
        ("tensors missing", holding({"a": torch.zeros(1)})), ("a schedule that rises", holding(abar=[.1, .9])))],
    ("weights, no config", "net.safetensors", holding(config=None), SAMPLE, "does not say how it was built"),
    ("weights of another class", "net.safetensors", holding(network="Classifier"), SAMPLE, "holds a Classifier"),
    ("weights, an unknown target", "net.safetensors", holding(predicts="all"), SAMPLE, "not “all”"),
    ("weights, missing", "net.safetensors", None, SAMPLE, "no file net.safetensors"),
    ("weights, a folder", "net.safetensors", lambda p: p.unlink() or p.mkdir(), SAMPLE, "net.safetensors is no folder of diffusers"),
    ("weights, no groups", "net.safetensors", holding(config=NET | {"groups": 0}), SAMPLE, "another network"),
    ("weights, deep JSON", "net.safetensors", holding(d2c="["*100_000), SAMPLE, "which network"),
    ("weights without a schedule", "net.safetensors", holding(abar=None), SAMPLE, "schedule"),

    *[(f"options, {what}", "options.yaml", how, CONFIG, "options.yaml is not a YAML file of options") for what, how in (
        ("not YAML", b"steps: [1"), ("a list", b"- steps\n- 5"), ("empty", b""), ("hostile", CODE), ("binary", picture(9, 9)), ("zeros", ZEROS))],
    ("options, missing", "options.yaml", None, CONFIG, "no file options.yaml"),
    ("options, a folder", "options.yaml", lambda p: p.unlink() or p.mkdir(), CONFIG, "no file options.yaml"),
    ("options, no batches in a step", "options.yaml", b"accumulate: 0", CONFIG, "at least 1"),
    *[(f"options, {what}", "options.yaml", how, CONFIG, "options.yaml") for what, how in (
        ("unknown", b"stepz: 5"), ("steps in words", b"steps: many"), ("not a choice", b"schedule: round"), ("no date", b"name: 2024-13-45"),
        ("no truth value", b"mirror: !!bool maybe"), ("a truth for a number", b"steps: true"), ("deep", b"["*500))],

    *[(f"{name}, {what}", f"celeba/{name}", how, FACES, "lacks" if how is None else "celeba") for name in LISTS
      for what, how in (("empty", b""), ("cut", HALF), ("cut by a number", word_short),
                        ("a row short", row_short), ("missing", None), ("garbage", GARBAGE))],
    ("CelebA's picture, missing", "celeba/img_align_celeba/000002.jpg", None, FACES, "lacks 1 of the 4 pictures, such as 000002.jpg"),
    ("CelebA's picture, cut", "celeba/img_align_celeba/000002.jpg", HALF, FACES, "000002.jpg cannot be read"),
    ("CelebA's pictures, missing", "celeba/img_align_celeba", None, FACES, "lacks img_align_celeba"),
    ("CelebA's list a row short, all splits", f"celeba/{LISTS[2]}", row_short,
        lambda: celeba(".", "all", 32, "Young", progress=False), "cannot be read"),
    ("CelebA's list of zeros", "celeba/identity_CelebA.txt", ZEROS, FACES, "cannot be read"),

    *[(f"Inception, {what}", "inception.pth", how, features, "does not hold Inception's weights") for what, how in (
        ("empty", b""), ("zeros", ZEROS), ("garbage", GARBAGE), ("cut", HALF), ("hostile", HOSTILE), ("hostile, zipped", ZIPPED),
        ("HTML", b"<html>Not found</html>"), ("a number", written(torch.save, 5)),
        ("other weights", written(torch.save, {"weight": torch.zeros(3)})))],
    ("Inception, missing", "inception.pth", None, features, "no file"),
    ("Inception, text", "inception.pth", b"this is no file of weights", features, "does not hold"),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    "A folder in which all is well."
    folder = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("pics").mkdir(); Path("MNIST/raw").mkdir(parents=True)
        rng = np.random.default_rng(0)
        for k in range(22): Image.fromarray(rng.integers(256, size=(40, 40, 3), dtype=np.uint8)).save(f"pics/{k:02}.{('png', 'jpg')[k%2]}")
        Path("MNIST/raw/t10k-images-idx3-ubyte").write_bytes(idx(2, 28, 28) + bytes(2*28*28))
        Path("MNIST/raw/t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(2) + b"\3\7"))
        write_celeba(".", torch.zeros(6, 1, 218, 178).byte(), torch.arange(6), torch.arange(6)//4, {"Young": torch.arange(6)%2})
        Path("net.safetensors").write_bytes(holding()); Path("options.yaml").write_text("steps: 3\n")
        torch.save(nn.Linear(2, 2).state_dict(), "inception.pth")
        own(2)
        for line in (TRAIN, DATA, FACES, SAMPLE, CONFIG): assert cli.main(line.split()) == 0
        assert len(digits().x) == 2
    return folder


@pytest.fixture
def here(good, tmp_path, monkeypatch):
    "A copy of it that may be damaged, where the program runs; a small network stands for Inception's."
    class Extractor(nn.Linear):
        def __init__(self, name, features_list, feature_extractor_weights_path):
            super().__init__(2, 2); self.load_state_dict(torch.load(feature_extractor_weights_path))
    fake = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3"); fake.FeatureExtractorInceptionV3 = Extractor
    for module in (types.ModuleType("torch_fidelity"), fake): monkeypatch.setitem(sys.modules, module.__name__, module)
    shutil.copytree(good, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def harm(files, how):
    "Damage files as a case says."
    assert (paths := list(Path().glob(files)))
    for path in paths:
        if callable(how): how(path); continue
        old = path.read_bytes() if path.is_file() else None
        path.unlink() if path.is_file() else shutil.rmtree(path)
        if how is None: continue
        path.write_bytes(how if isinstance(how, bytes) else old[:len(old)//2] if how == HALF else old[:how])


def everything(): return {str(p): p.read_bytes() if p.is_file() else None for p in Path().rglob("*")}


@pytest.mark.parametrize("what, files, how, do, words", [pytest.param(*c, id=c[0]) for c in CASES])
def test_refused_in_a_sentence(here, capsys, what, files, how, do, words):
    harm(files, how)
    before = everything()
    if callable(do):
        with pytest.raises((ValueError, FileNotFoundError)) as refused: do()
        text = str(refused.value)
    else:
        assert cli.main(do.split()) == 1
        line, = [line for line in re.split("[\r\n]+", capsys.readouterr().err) if line and "%|" not in line]   # but for progress bars
        assert line.startswith("d2c: ")
        text = line[5:]
    assert words in text and text.endswith(".") and "\n" not in text and not re.search("Errno|Error|object at", text)
    assert len(re.findall(r"\.(?= [A-Z]|$)", text)) <= 2
    assert everything() == before                                        # nothing executed, changed, removed or added


def test_a_full_disk(here, capsys, monkeypatch):
    "Nothing is half written, and the run goes on when there is room again."
    before, sync = everything(), os.fsync
    def full(fd): raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    assert cli.main((TRAIN + " --name full").split()) == 1
    line, = [line for line in re.split("[\r\n]+", capsys.readouterr().err) if line and "%|" not in line]
    assert line.startswith("d2c: The disk is full, and experiments/full/checkpoint-00000001.pt was not written")
    assert {k: v for k, v in everything().items() if v is not None} == {k: v for k, v in before.items() if v is not None}
    monkeypatch.setattr(os, "fsync", sync)
    assert cli.main((TRAIN + " --name full").split()) == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(here, capsys):
    os.chmod("experiments", 0o500)
    assert cli.main((TRAIN + " --name no").split()) == 1
    assert "Permission denied." in capsys.readouterr().err


@pytest.mark.parametrize("how", [b"", HALF, -1, HOSTILE, ZIPPED, ZEROS], ids=["empty", "half", "cut", "hostile", "zipped", "zeros"])
def test_an_older_whole_checkpoint_is_gone_on_from(here, how):
    "Two damaged newest checkpoints are a warning each, and the run ends as it would have."
    before = everything()
    harm("experiments/run/checkpoint-0000000[23].pt", how)
    with pytest.warns(UserWarning, match="is not a whole checkpoint and is passed over") as warned: assert cli.main(TRAIN.split()) == 0
    assert [re.search(r"\d{8}", str(w.message))[0] for w in warned if "passed over" in str(w.message)] == ["00000003", "00000002"]
    after = everything()
    assert set(after) == set(before) and all(after[name] == before[name] for name in before if "checkpoint" not in name)


def test_the_traps_are_real(tmp_path, monkeypatch):
    "A reader that trusts its file does execute what the hostile ones hold."
    monkeypatch.chdir(tmp_path)
    for trust in (lambda: pickle.loads(HOSTILE), lambda: torch.load(io.BytesIO(ZIPPED), weights_only=False), lambda: yaml.unsafe_load(CODE)):
        trust()
        os.rmdir("executed")
