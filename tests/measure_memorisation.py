"""What networks remember: of digits, by how many they learn from; of faces, by how long they learn.

python tests/measure_memorisation.py digits [SIZE …]   (some ten minutes of one core a size)
python tests/measure_memorisation.py faces FOLDER      (of a run of the recipe orl-faces, with all its checkpoints)

The results go to book/measured/memorisation.json; runs of digits are kept in runs/, to go on after a break.
"""
import json, sys
from pathlib import Path
import torch
from d2c.data import Images, mnist, normalise, seeded, write_whole
from d2c.faces import orl
from d2c.memorisation import nearer, remembered
from d2c.measurements import draw, machine
from d2c.pretrained import RECIPES
from d2c.schedule import cosine, spaced
from d2c.saving import Loaded
from d2c.training import loss_at, train
from d2c.unet import UNet, digits

SIZES, STEPS = (100, 300, 1000, 3000), 3000
RESULT = Path(__file__).parent.parent/"book"/"measured"/"memorisation.json"


def read(): return json.loads(RESULT.read_text()) if RESULT.exists() else {}


def write(**entries):
    write_whole(RESULT, (json.dumps(read() | entries | {"hardware": machine()}, indent=1) + "\n").encode())


def row(loaded, fit, aside, seen, n, labelled=False, **options):
    "Losses on pictures learnt from and set aside, and what n samples remember."
    def loss(part):
        some = torch.randperm(len(part.x), generator=seeded(0))[:200]
        return loss_at(loaded.model, loaded.sched, normalise(part.x[some]), spaced(1000, 20),
                       part.y[some] if labelled else None, "v", seeded(1)).mean().item()
    x = draw(loaded, n, torch.arange(n)%2 if labelled else None, steps=50, **options)
    report = {name: score._asdict() for name, score in remembered(x, seen, aside.x).items()}
    if len(aside.x) == len(fit.x):      # set aside by chance, picture by picture
        hits = nearer(x, fit.x, aside.x).float()
        report["nearer to training"] = dict(value=hits.mean().item(), error=1.96*hits.std().item()/n**.5)
    return dict(loss=loss(fit), loss_aside=loss(aside)) | report


def of_digits(*sizes):
    data = mnist()
    order = torch.randperm(len(data.x), generator=seeded(0))
    for n in map(int, sizes or SIZES):
        fit, aside = (Images(data.x[i], data.y[i], data.classes) for i in (order[:n], order[n:2*n]))
        torch.manual_seed(0)
        result = train(digits(None), cosine(1000), fit, STEPS, "v", batch_size=64, lr=1e-3,
                       folder=Path("runs")/f"memorisation-{n}", progress=False)
        if len(result.log["step"]) < STEPS: sys.exit("Interrupted; the same command goes on.")
        new = dict(n=n, pictures=64*STEPS) | row(Loaded(result.model, cosine(1000), "v"), fit, aside, fit.x, 500)
        others = [old for old in read().get("digits", []) if old["n"] != n]
        write(digits=sorted([*others, new], key=lambda row: row["n"]))
        print(json.dumps(new), flush=True)


def of_faces(folder):
    fit, aside = orl(64, range(1, 35), "glasses"), orl(64, range(35, 41), "glasses")
    seen = torch.cat([fit.x, fit.x.flip(-1)])
    rows, average = [], UNet(1, 64, 24, (1, 2, 4), attention=(8,), heads=2, stem=2, num_classes=2)
    for path in sorted(Path(folder).glob("checkpoint-*.pt")):
        if int(path.stem[-8:])//1000 not in (1, 2, 4, 6, 8, 10, 12): continue
        state = torch.load(path, weights_only=True)
        average.load_state_dict({k.removeprefix("module."): v for k, v in state["ema"].items() if k != "n_averaged"})
        loaded = Loaded(average.eval(), RECIPES["orl-faces"].sched, "v")
        rows.append(dict(step=state["k"]) | row(loaded, fit, aside, seen, 250, True, eta=0.))
        write(faces=rows)
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    {"digits": of_digits, "faces": of_faces}[sys.argv[1]](*sys.argv[2:])
