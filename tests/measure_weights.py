"""What one evaluation of other people's networks costs: `python tests/measure_weights.py [NAME …]`

Each network is built with random weights, in a process of its own, and asked about one picture twice; the faster time counts.
The results go to book/measured/weights.json after each; with names, only those are measured. It needs 10 GB of memory, for the
largest, and some ten minutes of two cores. A graphics card is used where there is one.
"""
import json, resource, subprocess, sys, time
from pathlib import Path
import torch
from d2c import exchange, openai
from d2c.data import write_whole
from d2c.measurements import machine
from d2c.unet import UNet

RESULT = Path(__file__).parent.parent/"book"/"measured"/"weights.json"


def networks():
    "The arguments of `UNet` by name: one of each published layout for whole pictures."
    theirs = {one.names[0]: exchange.config_from_diffusers(one.config) for one in exchange.PUBLISHED}
    ours = {name: openai.config_from_flags(openai.read_flags(flags)) for name, flags in openai.PUBLISHED.items()}
    layouts = {}
    for name, config in (theirs | ours).items(): layouts.setdefault(repr({**config, "dropout": 0.}), (name, config))
    return dict(layouts.values())


def cost(config):
    "Seconds and gigabytes of one evaluation."
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device("meta"): model = UNet(**config)
    model = model.to_empty(device=device)
    for v in model.parameters(): torch.nn.init.uniform_(v, -.02, .02)
    model.eval().to(memory_format=torch.channels_last)
    x, y = torch.randn(1, model.channels, *model.size, device=device), 0 if model.num_classes else None
    def once():
        start = time.perf_counter()
        with torch.no_grad(): assert model(x, 500, y).isfinite().all().item()
        return time.perf_counter() - start
    seconds = min(once() for _ in range(2 if device == "cpu" else 5))
    memory = torch.cuda.max_memory_allocated()/1e9 if device == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e6
    return dict(seconds=round(seconds, 4), gigabytes=round(memory, 2))


def main(names):
    if names[:1] == ["--one"]: return print(json.dumps(cost(networks()[names[1]])))
    found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    for name in names or networks():
        out = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True)
        if out.returncode: sys.exit(out.stderr)
        found[name] = json.loads(out.stdout.splitlines()[-1]) | dict(machine=machine(), threads=torch.get_num_threads())
        print(name, found[name], flush=True)
        write_whole(RESULT, (json.dumps({k: found[k] for k in networks() if k in found}, indent=1, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__": main(sys.argv[1:])
