"""Weights in and out, as far as the chapter does not check it: all published layouts, the lines of the cards. (ONNX: test_live.py)"""
import importlib
import sys

import pytest
import torch

from conftest import ROOT
from d2c import exchange
from d2c.ddpm import sample
from d2c.exchange import PUBLISHED, config_from_diffusers, diffusers_entries, fill, read_diffusers, write_diffusers
from d2c.saving import Loaded
from d2c.schedule import cosine
from d2c.unet import UNet

diffusers = pytest.importorskip("diffusers")


def tiny(**changes):
    torch.manual_seed(0)
    net = UNet(**{**dict(size=8, width=8, mults=(1, 2), attention=(4,), groups=4), **changes}).eval()
    for p in net.parameters(): torch.nn.init.normal_(p, std=.2 if p.ndim < 2 else p[0].numel()**-.5)
    return net


@pytest.mark.parametrize("family", PUBLISHED, ids=lambda family: family.names[0])
def test_layout_of_a_published_network(family):
    with torch.device("meta"): theirs, ours = diffusers.UNet2DModel(**family.config), UNet(**config_from_diffusers(family.config))
    for old in (False, True):
        tensors = theirs.state_dict()
        if old:
            for new, before in zip(exchange.NEW, exchange.OLD): tensors = {k.replace(f".{new}.", f".{before}."): v for k, v in tensors.items()}
        fill(ours, diffusers_entries(ours, old), tensors)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) == family.parameters


@pytest.mark.parametrize("options, size", [({}, None), (dict(num_classes=3), (1, 1, 8, 8)), (dict(learned_var=True), None)])
def test_the_lines_of_the_card_work(tmp_path, options, size):
    write_diffusers(Loaded(tiny(**options), cosine(6), "eps"), tmp_path, name=str(tmp_path))
    lines = (tmp_path/"README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(lines.replace('"one.png"', repr(str(tmp_path/"one.png"))), scope := {})
    if size: assert scope["x"].shape == size and scope["x"].isfinite().all()
    else: assert (tmp_path/"one.png").is_file() and "8, 8" in (tmp_path/"README.md").read_text(encoding="utf-8")


def test_reading_needs_no_diffusers(tmp_path, monkeypatch):
    write_diffusers(Loaded(tiny(), cosine(6), "v"), tmp_path)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    loaded = importlib.reload(exchange).read_diffusers(tmp_path)
    from d2c.ddim import ddim_steps
    assert sample(ddim_steps(loaded.denoiser(), loaded.sched, torch.randn(2, 1, 8, 8))).shape == (2, 1, 8, 8)


def test_a_failed_write_leaves_no_pipeline(tmp_path, monkeypatch):
    def full(path, data): raise OSError("The disk is full.")
    monkeypatch.setattr(exchange, "write_whole", full)
    with pytest.raises(OSError): exchange.write_diffusers(Loaded(tiny(), cosine(6), "v"), tmp_path)
    with pytest.raises(FileNotFoundError, match="is no folder of diffusers"): read_diffusers(tmp_path)


def test_the_live_export_is_this_one(monkeypatch):
    monkeypatch.syspath_prepend(ROOT/"book"/"live")
    import export
    assert export.to_onnx.__module__ == "d2c.exchange"
