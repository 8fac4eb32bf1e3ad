"The precision that is chosen, on a processor as plain as a laptop's and on this one with all that it has."
import json, os, subprocess, sys
import pytest

PLAIN = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
CODE = """
import json, time, torch
from d2c.data import Images
from d2c.measurements import draw
from d2c.schedule import cosine
from d2c.saving import Loaded
from d2c.runs import bf16_pays, precision_here
from d2c.training import train
from d2c.unet import digits
torch.manual_seed(0)
def seconds(bf16, net=digits()):
    x, best = torch.randn(32, 1, 28, 28), 1e9
    for _ in range(4):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16): out = net(x, 500, 3)
        out.float().square().mean().backward()
        best = min(best, time.perf_counter() - start)
    return best
pictures = Images(torch.randint(0, 256, (20, 1, 28, 28), dtype=torch.uint8), torch.arange(20)%10, list("0123456789"))
losses, x = {}, {}
for how in ("auto", "no", "bf16"):
    torch.manual_seed(0)
    run = train(digits(width=8, groups=4), cosine(), pictures, 4, "v", batch_size=8, lr=1e-2, warmup=1, mixed_precision=how, progress=False)
    x[how] = draw(Loaded(run.model, cosine(), "v"), 4, torch.arange(4), steps=3, mixed_precision=how)
    losses[how] = run.log["loss"].tolist()
chosen = precision_here(digits(), "cpu")
print(json.dumps(dict(chosen=chosen, short=seconds(True), long=seconds(False), auto_is_chosen=losses["auto"] == losses[chosen] and x["auto"].equal(x[chosen]),
                      near=max(abs(a - b) for a, b in zip(losses["no"], losses["bf16"])), other=losses["no"] != losses["bf16"])))
"""


@pytest.mark.parametrize("plain", [True, False])
def test_what_is_chosen_is_what_is_fast(plain):
    clean = {name: value for name, value in os.environ.items() if name not in PLAIN}
    done = subprocess.run([sys.executable, "-c", CODE], env=clean | (PLAIN if plain else {}), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["auto_is_chosen"] and said["other"] and said["near"] < .05, said
    faster = "bf16" if said["short"] < said["long"] else "no"
    assert said["chosen"] == faster or .67 < said["short"]/said["long"] < 1.5, said    # where they are near, either will do
    if plain: assert said["chosen"] == "no" and said["short"] > 3*said["long"], said
