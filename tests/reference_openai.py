"""Write what OpenAI's own code computes, for nbs/openai.ipynb to compare with.

    pip install --no-deps --target PEERS guided-diffusion-sdk
    PYTHONPATH=PEERS python tests/reference_openai.py

The package is openai/guided-diffusion as it is on GitHub. Its networks of a few small recipes are given weights made
from the names of their tensors, so that the same weights can be made without them, and run in float64:
`tests/reference/openai.json` gets some of what they return, `tests/reference/openai_layouts.txt.xz` the names and
shapes of their tensors, and of those of two published files. Both are small.
"""
import json, lzma, zlib
from pathlib import Path
import torch

FOLDER = Path(__file__).parent/"reference"

UNETS = {   # flags of their scripts, and the side of the pictures
    "as improved-diffusion's LSUN": (32, dict(
        image_size=32, num_channels=32, num_res_blocks=1, channel_mult="1,2", attention_resolutions="16",
        num_heads=1, use_scale_shift_norm=False)),
    "as improved-diffusion's CIFAR-10": (32, dict(
        image_size=32, num_channels=32, num_res_blocks=1, channel_mult="1,2,2", attention_resolutions="16,8",
        num_heads=4, learn_sigma=True, diffusion_steps=4000, noise_schedule="cosine", rescale_timesteps=True)),
    "as 64x64_diffusion": (16, dict(
        image_size=16, num_channels=32, num_res_blocks=2, channel_mult="1,2", attention_resolutions="16,8",
        num_head_channels=16, class_cond=True, learn_sigma=True, resblock_updown=True,
        use_new_attention_order=True, noise_schedule="cosine")),
    "as 256x256_diffusion": (16, dict(
        image_size=16, num_channels=64, num_res_blocks=1, channel_mult="1,2", attention_resolutions="8",
        num_head_channels=64, class_cond=True, learn_sigma=True, resblock_updown=True)),
    "as 512x512_diffusion": (64, dict(
        image_size=512, num_channels=64, num_res_blocks=1, attention_resolutions="32,16,8",
        num_head_channels=64, class_cond=True, learn_sigma=True, resblock_updown=True)),
}
CLASSIFIERS = {   # arguments of their EncoderUNetModel
    pool: (16, dict(
        image_size=16, in_channels=3, model_channels=32, out_channels=10, num_res_blocks=1, attention_resolutions=(2,),
        channel_mult=(1, 2), num_head_channels=16, use_scale_shift_norm=True, resblock_updown=True, pool=pool))
    for pool in ("attention", "adaptive", "spatial", "spatial_v2")
}
PUBLISHED = {
    "64x64_diffusion": dict(
        attention_resolutions="32,16,8", class_cond=True, diffusion_steps=1000, dropout=0.1, image_size=64,
        learn_sigma=True, noise_schedule="cosine", num_channels=192, num_head_channels=64, num_res_blocks=3,
        resblock_updown=True, use_new_attention_order=True, use_scale_shift_norm=True),
    "64x64_classifier": dict(image_size=64, classifier_depth=4),
}


def uniform(name, *shape):
    "Numbers of mean 0 and variance 1 that depend on a name alone, float64."
    g = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return (torch.rand(*shape, generator=g, dtype=torch.float64) - 0.5)*12**0.5


def weights(layout):
    "A tensor for each name and shape, none of them zero: what goes through keeps its size."
    def one(name, shape):
        z = uniform(name, *shape)
        if len(shape) > 1: return z/(z.numel()/shape[0])**0.5
        return 0.2*z + name.endswith("weight")
    return {name: one(name, shape) for name, shape in layout.items()}


def inputs(side, T=1000, K=10):
    "Pictures, times in the book's index and classes, three each."
    return uniform("xt", 3, 3, side, side), torch.tensor([1, round(0.73*T), T]), torch.tensor([0, 7, K - 1])


def some(out):
    "Three dozen numbers of a result, and its mean square."
    flat = out.flatten()
    return [*flat[::max(1, len(flat)//36)][:36].tolist(), flat.square().mean().item()]


def layouts():
    "{network: {tensor: shape}}, as written by this command."
    text = lzma.decompress((FOLDER/"openai_layouts.txt.xz").read_bytes()).decode()
    blocks = [block.split("\n") for block in text.split("\n\n")]
    def shape(line): name, sides = line.split(" "); return name, tuple(map(int, sides.split("×")))
    return {title: dict(map(shape, lines)) for title, *lines in blocks}


def main():
    from guided_diffusion import nn, script_util, unet
    embedding, as_float32 = nn.timestep_embedding, torch.Tensor.float
    unet.timestep_embedding = lambda *a: embedding(*a).to(torch.get_default_dtype())
    torch.Tensor.float = lambda v: v if v.dtype == torch.float64 else as_float32(v)    # or all would be rounded
    torch.set_default_dtype(torch.float64)

    def chosen(function, flags):
        names = function.__code__.co_varnames[:function.__code__.co_argcount]
        return function(**{k: v for k, v in flags.items() if k in names})

    def run(network, *given):
        layout = {name: tuple(v.shape) for name, v in network.state_dict().items()}
        network.load_state_dict(weights(layout))
        network.dtype = torch.float64
        with torch.no_grad(): return layout, some(network.eval()(*given))

    shapes, values = {}, {}
    for title, (side, flags) in UNETS.items():
        full = {**script_util.model_and_diffusion_defaults(), **flags}
        T = full["diffusion_steps"]
        x, t, y = inputs(side, T, script_util.NUM_CLASSES)
        n = (t - 1).float()*(1000/T) if full["rescale_timesteps"] else t - 1
        network = chosen(script_util.create_model, full)
        shapes[title], out = run(network, x, n, *([y] if full["class_cond"] else []))
        values[title] = dict(side=side, flags=flags, out=out)
    for pool, (side, arguments) in CLASSIFIERS.items():
        x, t, _ = inputs(side)
        shapes[pool], out = run(unet.EncoderUNetModel(**arguments), x, t - 1)
        values[pool] = dict(side=side, arguments=arguments, out=out)
    with torch.device("meta"):
        for title, flags in PUBLISHED.items():
            network = (script_util.create_classifier(**{**script_util.classifier_defaults(), **flags}) if "classifier" in title else
                       chosen(script_util.create_model, {**script_util.model_and_diffusion_defaults(), **flags}))
            shapes[title] = {name: tuple(v.shape) for name, v in network.state_dict().items()}

    FOLDER.mkdir(exist_ok=True)
    lines = [f"{json.dumps(title)}: {json.dumps(value)}" for title, value in values.items()]
    (FOLDER/"openai.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    text = "\n\n".join("\n".join([title, *(f"{name} {'×'.join(map(str, shape))}" for name, shape in layout.items())])
                       for title, layout in shapes.items())
    (FOLDER/"openai_layouts.txt.xz").write_bytes(lzma.compress(text.encode(), preset=9))
    for title, layout in shapes.items():
        print(f"{title:34}{sum(torch.Size(s).numel() for s in layout.values()):12,} parameters in {len(layout)} tensors")


if __name__ == "__main__": main()
