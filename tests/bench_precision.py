"""The digits network in float32 and bf16, contiguous and channels last, on this processor and on one as plain as a laptop's.

python tests/bench_precision.py [--write]   (with --write the result goes to book/measured/precision.json)
"""
import json, os, subprocess, sys, time
from pathlib import Path
import torch
from d2c.measurements import machine
from d2c.runs import precision_here
from d2c.unet import digits

PLAIN = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
BATCH = {"training": 64, "sampling": 250}


def speed(what, bf16, layout):
    "Pictures a second, in the best of up to eight steps."
    net, n, best = digits().to(memory_format=layout), BATCH[what], 1e9
    x, t, y = torch.randn(n, 1, 28, 28), torch.randint(1, 1001, (n,)), torch.randint(0, 10, (n,))
    for _ in range(8):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16), torch.set_grad_enabled(what == "training"): out = net(x, t, y)
        if what == "training": out.float().square().mean().backward()
        best = min(best, time.perf_counter() - start)
    return round(n/best)


def here():
    layouts = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    rows = {what: {f"{kind}, {name}": speed(what, kind == "bf16", layout) for kind in ("float32", "bf16") for name, layout in layouts.items()}
            for what in BATCH}
    return rows | {"chosen": {"no": "float32", "bf16": "bf16"}[precision_here(digits(), "cpu")]}


if __name__ == "__main__":
    if "--here" in sys.argv:
        print(json.dumps(here()))
        sys.exit()
    kinds = {"all instructions": {}, "AVX2 only": PLAIN}
    machines = {name: json.loads(subprocess.run([sys.executable, __file__, "--here"], env={**os.environ, **env}, check=True, capture_output=True, text=True).stdout)
                for name, env in kinds.items()}
    result = dict(what="pictures a second of the digits network", command="python tests/bench_precision.py --write", machines=machines, hardware=machine())
    print(json.dumps(result, indent=1))
    if "--write" in sys.argv:
        (Path(__file__).parent.parent/"book"/"measured"/"precision.json").write_text(json.dumps(result, indent=1) + "\n")
