"What d2c.data promises about files that a notebook does not have: the package's own, torchvision's, cameras'."
import gzip, lzma, shutil
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
