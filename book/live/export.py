"""Write what the book's live figures run: `python book/live/export.py`.

The class-conditional digits network in ONNX, what must be known to use it, ten digits of the test set, and the films
that the figures show before a click and where scripts cannot run. It needs onnx and onnxscript, which `pip install -e '.[dev]'`
brings; the book is built without them.
"""
import hashlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from d2c import pretrained
from d2c.data import mnist, normalise, to_bytes, write_whole
from d2c.ddim import ddim_steps, encode_steps
from d2c.exchange import to_onnx
from d2c.forward import clipped, q_sample
from d2c.guidance import classifier_free_guidance
from d2c.saving import Loaded
from d2c.schedule import spaced

HERE = Path(__file__).resolve().parent
NAME = "mnist-cond"


# ---- the network --------------------------------------------------------------------------------

def about(
    loaded: Loaded,
    weights: str, # fingerprint of the file that the network came from
    onnx: bytes,  # what `to_onnx` made of it
) -> dict:
    "What a program must know of a network to sample from it."
    model = loaded.model
    return dict(weights=weights, onnx=hashlib.sha256(onnx).hexdigest(), predicts=loaded.predicts,
                shape=[model.channels, *model.size], range=[-1, 1], classes=model.num_classes, null=model.num_classes,
                abar=loaded.sched.abar.tolist())


# ---- the films ----------------------------------------------------------------------------------

def tiled(x, ncols):
    "Pictures side by side: (N, 1, H, W) in [−1, 1] → bytes (rows·H, ncols·W)."
    n, _, h, w = x.shape
    return to_bytes(x).reshape(n//ncols, ncols, h, w).transpose(1, 2).reshape(n//ncols*h, ncols*w).numpy()


def sprite(frames, ncols, quality=25):
    "WebP of a film: a frame a column, what its panels show a row."
    sheet = np.block([[tiled(panel, ncols) for panel in row] for row in zip(*frames)])
    file = io.BytesIO()
    Image.fromarray(sheet).convert("RGB").save(file, "webp", quality=quality, method=6)
    return file.getvalue()


def way(steps, start):
    "(x_t, x̂_0) at each time that a sampler stops at, x̂_0 being what the model makes of x_t."
    xt = start
    for step in steps:
        yield xt, step.x0
        xt = step.xs
    yield xt, xt


def films(loaded, ten):
    "The three films: drawing ten digits; noising one and going back, four times; encoding one and decoding it."
    g, sched, black = torch.Generator().manual_seed(5), loaded.sched, lambda n: -torch.ones(n, 1, 28, 28)
    def told(y, scale=1.5):
        return clipped(classifier_free_guidance(loaded.denoiser(), y, loaded.model.num_classes, scale), sched)

    xT = torch.randn(10, 1, 28, 28, generator=g)
    sample = list(way(ddim_steps(told(torch.arange(10)), sched, xT, spaced(sched.T, 14), 1., g), xT))

    x0, eps, top = ten[3].expand(4, 1, 28, 28), torch.randn(4, 1, 28, 28, generator=g), 700
    up = [(x0, q_sample(sched, x0, top*k//8, eps), black(4)) for k in range(8)]
    xt = q_sample(sched, x0, top, eps)
    down = way(ddim_steps(told(torch.full((4,), 3)), sched, xt, spaced(top, 12), 1., g), xt)
    noise = up + [(x0, *frame) for frame in down]

    x0, times = ten[4:5], spaced(sched.T, 20)
    model = loaded.denoiser(4)
    up = list(way(encode_steps(model, sched, x0, times), x0))[:-1]
    code = list(encode_steps(model, sched, x0, times))[-1].xs
    encode = [(x0, *frame) for frame in up + list(way(ddim_steps(model, sched, code, times), code))]
    return {"sample": sprite(sample, 5), "noise": sprite(noise, 2), "encode": sprite(encode, 1)}, \
        {"sample": len(sample), "noise": len(noise), "encode": len(encode)}


def one_of_each():
    "A clear test digit of each class, the third, bytes (10, 28, 28)."
    test = mnist("test")
    return torch.stack([test.x[test.y == k][2, 0] for k in range(10)])


def main():
    torch.set_num_threads(1)
    loaded, ten = pretrained.load(NAME), one_of_each()
    try: network = to_onnx(loaded, half=True)
    except ImportError as error: sys.exit(str(error))
    shown, frames = films(loaded, normalise(ten)[:, None])
    facts = {**about(loaded, pretrained.card(NAME)["sha256"], network), "frames": frames}
    files = {f"{NAME}.onnx": network, f"{NAME}.json": json.dumps(facts).encode(), "digits.bin": ten.numpy().tobytes(),
             **{f"{name}.webp": film for name, film in shown.items()}}
    for name, data in files.items():
        write_whole(HERE/name, data)
        print(f"{name:18}{len(data)/1000:8,.1f} kB")


if __name__ == "__main__":
    main()
