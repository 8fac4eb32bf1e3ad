"What d2c.data promises about files that a notebook does not have: the package's own, torchvision's, cameras'."
import gzip, json, lzma, os, shutil, signal, subprocess, sys, time
from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
import d2c
from d2c import data

PACKAGED = Path(d2c.__file__).parent/"datasets"/"mnist"


@pytest.fixture
def package(tmp_path, monkeypatch):
    "A copy of the package's data that may be damaged."
    folder = tmp_path/"datasets"/"mnist"
    shutil.copytree(PACKAGED, folder)
    monkeypatch.setattr(data, "files", lambda name: tmp_path)
    return folder


def test_licence_beside_the_data():
    assert "CC BY-SA 3.0" in (PACKAGED/"README.md").read_text()


@pytest.mark.parametrize("damage, message", [
    (lambda f: f.write_bytes(f.read_bytes()[:-9]), "cannot be unpacked"),
    (lambda f: f.write_bytes(b""), "cannot be unpacked"),
    (lambda f: f.write_bytes(lzma.compress(lzma.decompress(f.read_bytes())[:-1])), "differs from the published file"),
    (lambda f: f.write_bytes(gzip.compress(b"other")), "cannot be unpacked"),
])
def test_damaged_package(package, damage, message):
    damage(package/"t10k-labels-idx1-ubyte.xz")
    with pytest.raises(ValueError, match=message): data.mnist("test")


def test_missing_from_package(package):
    (package/"t10k-images-idx3-ubyte.xz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-images-idx3-ubyte"): data.mnist("test")


@pytest.mark.parametrize("zipped", [False, True])
def test_folder_as_torchvision_lays_it_out(tmp_path, zipped):
    raw = tmp_path/"MNIST"/"raw"
    raw.mkdir(parents=True)
    for name in data.MNIST_MD5:
        content = lzma.decompress((PACKAGED/f"{name}.xz").read_bytes())
        if zipped: (raw/f"{name}.gz").write_bytes(gzip.compress(content, 1))
        else: (raw/name).write_bytes(content)
    ours, packaged = data.mnist("test", tmp_path), data.mnist("test")
    assert torch.equal(ours.x, packaged.x) and torch.equal(ours.y, packaged.y)
    if not zipped:
        from torchvision.datasets import MNIST
        theirs = MNIST(tmp_path, train=False)
        assert torch.equal(ours.x[:, 0], theirs.data) and torch.equal(ours.y, theirs.targets)


def test_cameras_photograph(tmp_path):
    "A JPEG that lies on its side comes upright: the bright end is at the bottom."
    photo = Image.fromarray(np.tile(np.linspace(255, 0, 64).astype(np.uint8), (64, 1))).convert("RGB")
    exif = photo.getexif(); exif[0x112] = 8                      # turn by 90° to the left to view
    photo.save(tmp_path/"p.jpg", exif=exif, quality=95)
    x = data.image_folder(tmp_path, 16, channels=1, progress=False).x[0, 0].float()
    assert x[-1].mean() > 220 and x[0].mean() < 35 and x.std(1).max() < 5


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_modes(tmp_path, mode):
    suffix = {"CMYK": "jpg", "YCbCr": "jpg"}.get(mode, "png")
    Image.new("RGB", (9, 12), (255, 255, 255)).convert("RGBA" if "A" in mode else "RGB").convert(mode).save(tmp_path/f"p.{suffix}")
    for channels in (1, 3):
        x = data.image_folder(tmp_path, 8, channels, progress=False).x
        assert x.shape == (1, channels, 8, 8) and x.min() >= 250


def test_order_of_many(tmp_path):
    "Decoding in parallel keeps the order of the names; classes are the folders in order, nested ones included."
    for k in range(60):
        path = tmp_path/f"c{k%3}"/("deep" if k%2 else ".")/f"{k:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8 + k%5, 8), k).save(path)
    images = data.image_folder(tmp_path, 8, channels=1, progress=False)
    assert images.classes == ["c0", "c1", "c2"] and (images.x[:, 0, 0, 0]%3 == images.y).all()
    assert sorted(images.x[:, 0, 0, 0].tolist()) == list(range(60))
    names = sorted(tmp_path.rglob("*.png"))
    assert images.x[:, 0, 0, 0].tolist() == [int(p.stem) for p in names]


def test_truncated_photograph_is_named(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(20): Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path/f"{k:02}.jpg")
    bad = tmp_path/"13.jpg"
    bad.write_bytes(bad.read_bytes()[:600])
    with pytest.raises(ValueError, match="13.jpg cannot be read"): data.image_folder(tmp_path, 32, progress=False)


def put(path, *size, value=0, mode="RGB"):
    "Write a picture of noise, wide and high as its size says, above a value."
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size[::-1], 3) if mode == "RGB" else size[::-1]
    noise = np.random.default_rng(len(path.name)).integers(0, 40, shape, dtype=np.uint8)
    Image.fromarray(noise + np.uint8(value)).save(path)


def deep(path, *size, dtype=np.uint16, high=65_535):
    "Write a picture of more than 8 bits, black to white from left to right."
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.tile(np.linspace(0, high, size[0]).astype(dtype), (size[1], 1))).save(path)


def twenty(one, suffix="png"): return lambda folder: [one(folder/f"{k:02}.{suffix}") for k in range(20)]
def parts(folder, *names): [put(folder/name/kind/f"{k}.png", 16, 16) for name in names for kind in "ab" for k in range(10)]


# A folder as somebody has it; options of `split_folder`; the shapes to train and to validate on, or the words of a refusal
FOLDERS = {
    "grey": (twenty(lambda p: put(p, 16, 16, mode="L")), {}, (19, 1, 8, 8), (1, 1, 8, 8)),
    "grey, called colour": (twenty(lambda p: Image.new("RGB", (16, 16), (9, 9, 9)).save(p)), {}, (19, 1, 8, 8), (1, 1, 8, 8)),
    "one in colour": (lambda f: (twenty(lambda p: put(p, 16, 16, mode="L"))(f), put(f/"z.jpg", 16, 16)), {}, (20, 3, 8, 8), (1, 3, 8, 8)),
    "train and val": (lambda f: parts(f, "train", "val"), {}, (20, 3, 8, 8), (20, 3, 8, 8)),
    "train and Valid": (lambda f: parts(f, "train", "Valid"), {}, (20, 3, 8, 8), (20, 3, 8, 8)),
    "train, validation, test": (lambda f: parts(f, "train", "validation", "test"), {}, (20, 3, 8, 8), (20, 3, 8, 8)),
    "train and test": (lambda f: parts(f, "train", "test"), {}, (19, 3, 8, 8), (1, 3, 8, 8)),
    "train only": (lambda f: parts(f, "train"), {}, (19, 3, 8, 8), (1, 3, 8, 8)),
    "test only": (lambda f: parts(f, "test"), {}, "has test and no train"),
    "trains and buses": (lambda f: parts(f, "train", "bus"), {}, (38, 3, 8, 8), (2, 3, 8, 8)),
    "parts and more": (lambda f: parts(f, "train", "val", "raw"), {}, "has raw beside train, val"),
    "not square": (twenty(lambda p: put(p, 24, 16)), dict(size=(8, 12)), (19, 3, 8, 12), (1, 3, 8, 12)),
    "16 bits": (twenty(lambda p: deep(p, 16, 16)), {}, (19, 1, 8, 8), (1, 1, 8, 8)),
    "floats": (twenty(lambda p: deep(p, 16, 16, dtype=np.float32, high=1), "tif"), {}, (19, 1, 8, 8), (1, 1, 8, 8)),
    "floats to 5": (twenty(lambda p: deep(p, 16, 16, dtype=np.float32, high=5), "tif"), {}, "20 of 20 pictures cannot be used"),
    "floats to 5, with a range": (twenty(lambda p: deep(p, 16, 16, dtype=np.float32, high=5), "tif"), dict(value_range=(0, 5)), (19, 1, 8, 8), (1, 1, 8, 8)),
    "small": (twenty(lambda p: put(p, 6, 9)), {}, "04.png and 15 more. The first: "),
    "small, enlarged": (twenty(lambda p: put(p, 6, 9)), dict(enlarge=True), (19, 3, 8, 8), (1, 3, 8, 8)),
    "one": (lambda f: put(f/"0.png", 9, 9), {}, "has 1 picture; at least 20"),
}


@pytest.mark.filterwarnings("ignore:Pictures of more than 8 bits")
@pytest.mark.parametrize("name", FOLDERS)
def test_folders_as_people_have_them(tmp_path, name):
    make, options, *wanted = FOLDERS[name]
    make(tmp_path)
    if isinstance(wanted[0], str):
        with pytest.raises(ValueError, match=wanted[0]): data.split_folder(tmp_path, 8, progress=False, **options)
        return
    got = data.split_folder(tmp_path, **dict(size=8, progress=False) | options)
    assert [tuple(part.x.shape) for part in got] == wanted
    assert got[0].classes == got[1].classes == {"trains and buses": ["bus", "train"]}.get(name, ["a", "b"]*name.startswith("t"))
    if "16" in name or "floats" in name: assert got[0].x[0, 0, 0].float().diff().min() > 20 and got[0].x.min() < 20 and got[0].x.max() > 235


def test_on_its_side_and_not_square(tmp_path):
    "What is asked for is the shape of the upright picture."
    photo = Image.fromarray(np.tile(np.linspace(255, 0, 64).astype(np.uint8), (32, 1))).convert("RGB")
    exif = photo.getexif(); exif[0x112] = 8
    photo.save(tmp_path/"p.jpg", exif=exif, quality=95)              # 64 wide, 32 high; upright 32 wide, 64 high
    x = data.image_folder(tmp_path, (64, 32), progress=False).x
    assert x.shape == (1, 1, 64, 32) and x[0, 0, -1].min() > 220 and x[0, 0, 0].max() < 35
    with pytest.raises(ValueError, match="64 × 32 pixels .height × width., smaller than the 32 × 64"): data.image_folder(tmp_path, (32, 64), progress=False)


READER = """
import hashlib, json, os, sys, time
from pathlib import Path
import torch
from d2c import data
torch.set_num_threads(1)
decode, decoded = data._decode, []
def counted(*args): decoded.append(args); time.sleep(float(os.environ.get("SLOW", 0))); return decode(*args)
data._decode, data.IN_MEMORY = counted, 10_000
def memory():
    "Kilobytes that count for this process: its own, and its share of what several map."
    return next(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Pss:"))
paths = sorted(Path(sys.argv[1]).glob("*"))
def digest(x):
    "Of all bytes, fetched batch by batch, as training does."
    out = hashlib.sha256()
    for i in torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).split(8): out.update(x[i].numpy())
    return out.hexdigest()
digest(torch.zeros(99, 3, 128, 128).byte())          # so that the code for it is there
print("ready", flush=True); input()
before, start = memory(), time.perf_counter()
x, good = data.pictures(paths, int(sys.argv[2]), 3, progress=False)
print(json.dumps(dict(seconds=time.perf_counter() - start, decoded=len(decoded))), flush=True); input()
print(json.dumps(dict(digest=digest(x))), flush=True); input()
print(json.dumps(dict(kilobytes=memory() - before)), flush=True); input()
"""


def readers(folder, size, n, cache, **env):
    "What n processes say that read a folder at once: the seconds and pictures decoded, a digest of the bytes, the memory."
    env = {**os.environ, "OMP_NUM_THREADS": "1", "D2C_CACHE": str(cache), **env}
    all_of = [subprocess.Popen([sys.executable, "-c", READER, str(folder), str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
              for _ in range(n)]
    said = [{} for _ in all_of]
    try:
        for one in all_of: assert one.stdout.readline() == "ready\n"
        for _ in range(3):                               # each step is over in all before the next begins in any
            for one in all_of: one.stdin.write("\n"); one.stdin.flush()
            for one, about in zip(all_of, said): about.update(json.loads(one.stdout.readline()))
    finally:
        for one in all_of: one.kill(); one.wait()
    return said


@pytest.fixture
def many(tmp_path):
    "Four hundred pictures that make 19.7 MB."
    for k in range(400): put(tmp_path/"pics"/f"{k:03}.png", 128, 128, value=k%200)
    return tmp_path


def test_mapped_data_are_decoded_once_and_shared(many):
    "Four processes at once decode each picture once and take the memory of one; the second start decodes none."
    first = readers(many/"pics", 128, 4, many/"cache")
    assert sorted(one["decoded"] for one in first) == [0, 0, 0, 400] and len({one["digest"] for one in first}) == 1
    assert sum(p.stat().st_size for p in (many/"cache").glob("*.bytes")) == 400*3*128*128
    alone, = readers(many/"pics", 128, 1, many/"cache")
    together = readers(many/"pics", 128, 4, many/"cache")
    assert {one["decoded"] for one in [alone, *together]} == {0} and {one["digest"] for one in [alone, *together]} == {first[0]["digest"]}
    assert 19_000 < alone["kilobytes"] < 26_000
    assert sum(one["kilobytes"] for one in together) < 1.3*alone["kilobytes"]
    assert alone["seconds"] < 2


def test_a_dead_writer_does_not_block(many):
    "A process that is killed while it decodes leaves nothing that counts; another starts afresh."
    env = {**os.environ, "D2C_CACHE": str(many/"cache"), "SLOW": ".05", "OMP_NUM_THREADS": "1"}
    writer = subprocess.Popen([sys.executable, "-c", READER, str(many/"pics"), "128"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    assert writer.stdout.readline() == "ready\n"
    writer.stdin.write("\n"); writer.stdin.flush()
    for _ in range(200):
        if list((many/"cache").glob("*.part")): break
        time.sleep(.02)
    writer.send_signal(signal.SIGKILL); writer.wait()
    assert list((many/"cache").glob("*.part")) and not list((many/"cache").glob("*.bytes"))
    one, = readers(many/"pics", 128, 1, many/"cache")
    assert one["decoded"] == 400 and not list((many/"cache").glob("*.part"))


def test_a_full_disk_while_decoding(many, monkeypatch):
    "It is said in a sentence, and nothing half written is left."
    monkeypatch.setattr(data, "IN_MEMORY", 10_000)
    monkeypatch.setenv("D2C_CACHE", str(many/"cache"))
    def full(fd): raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="^The disk is full, and .*bytes was not written; free some space"): data.image_folder(many/"pics", 16, progress=False)
    assert [p.suffix for p in (many/"cache").iterdir()] == [".lock"]


def test_more_than_this_machine_has_can_be_mapped(tmp_path, monkeypatch):
    "A file larger than the memory, sparse so that it takes no disk."
    monkeypatch.setenv("D2C_CACHE", str(tmp_path))
    n = 2*os.sysconf("SC_PHYS_PAGES")*os.sysconf("SC_PAGE_SIZE")//(3*1024*1024)
    with open(tmp_path/"k.bytes", "wb") as f: f.truncate(n*3*1024*1024)
    (tmp_path/"k.json").write_text(json.dumps(dict(shape=[n, 3, 1024, 1024], good=list(range(n)), notes=[])))
    x, _ = data._mapped("k", None)
    assert len(x) == n and x[torch.tensor([0, n - 1])].sum() == 0
    fit, valid = x[:n - 1], x[n - 1:]                # views
    assert valid.data_ptr() == x.data_ptr() + (n - 1)*3*1024*1024 and fit.data_ptr() == x.data_ptr()
