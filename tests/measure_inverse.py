"""Inverse problems: every method against the exact posterior, particles by their number, and halves of digits.

python tests/measure_inverse.py [laws|particles|digits …]   (all three unless told; some four minutes of one core)

The results go to book/measured/inverse.json, part by part.
"""
import json, sys, time
from pathlib import Path
import torch
from d2c.data import mnist, normalise, seeded, write_whole
from d2c.ddim import ddim_steps
from d2c.ddpm import ddpm_steps, ddpm_update, sample, strides, walk
from d2c.guidance import classifier_guidance
from d2c.inverse import (curves, dps, dps_update, mask, matrix, measured, measurement_log_prob, pigdm, posterior_errors,
                         posterior_given, ranks, replaced, resampled, restored, twisted_update)
from d2c.measurements import machine
from d2c.oracle import moments
from d2c.pretrained import load
from d2c.schedule import cosine, spaced

RESULT = Path(__file__).parent.parent/"book"/"measured"/"inverse.json"
gm, sched, D, STEPS = curves(), cosine(1000), 8, 100
eye = torch.eye(D, dtype=torch.float64)
box = torch.stack([((torch.arange(D) - i).abs() <= 1).double() for i in range(D)])
pairs = torch.kron(torch.eye(D//2, dtype=torch.float64), torch.full((1, 2), .5, dtype=torch.float64))
two = torch.randn(2, D, generator=seeded(3), dtype=torch.float64)/D**.5
PROBLEMS = {"half, little noise": (eye[:D//2], .05), "half": (eye[:D//2], .2), "half, much noise": (eye[:D//2], .6),
            "blur": (box/box.sum(1, keepdim=True), .2), "downsampling": (pairs, .2), "two numbers": (two, .2)}


def methods(A, y, sigma_y, x, N, generator):
    "Name → samples, N for each measurement."
    op, den, at, update = matrix(A), gm.denoiser(sched), strides(sched, spaced(1000, STEPS)), ddpm_update(sched)
    exact = classifier_guidance(den, measurement_log_prob(gm, sched, A, y, sigma_y), sched)
    run = lambda update, denoise: sample(walk(update, denoise, x, at, generator))
    yield "exact", lambda: run(update, exact)
    yield "replacement", lambda: run(update, replaced(den, sched, op, y))
    yield "resampling, 10", lambda: run(resampled(update, sched, 10), replaced(den, sched, op, y))
    yield "ΠGDM", lambda: run(update, pigdm(den, sched, op, y, sigma_y))
    yield "DPS", lambda: run(update, dps(den, sched, op, y, sigma_y))
    yield "DPS, as published", lambda: run(dps_update(sched, op, y), den)
    many, start = y.repeat_interleave(4, 0), torch.randn(4*len(x), D, generator=generator, dtype=torch.float64)
    drawn = lambda: sample(walk(twisted_update(sched, op, many, sigma_y, 4*N), den, start, at, generator))
    yield "particles, 4 a sample", lambda: drawn()[::4]


def interval(each):
    "Mean over measurements, and half of its 95 % interval."
    return [float(f"{each.mean():.4g}"), float(f"{1.96*each.std()/len(each)**.5:.2g}")]


def laws(M=40, N=59):
    "Errors of eq-inverse-errors and coverage of the central 90 %, for each problem and method."
    out = {"measurements": M, "samples": N, "steps": STEPS}
    for i, (name, (A, sigma_y)) in enumerate(PROBLEMS.items()):
        x0, _ = gm.sample(M, seeded(10, i))
        y = measured(matrix(A), x0, sigma_y, seeded(11, i))
        x, found = torch.randn(M*N, D, generator=seeded(12, i), dtype=torch.float64), {}
        for method, run in methods(A, y.repeat_interleave(N, 0), sigma_y, x, N, seeded(13, i)):
            start = time.process_time()
            drawn = run().reshape(M, N, D)
            seconds = time.process_time() - start
            if not drawn.isfinite().all() or drawn.abs().max() > 1e3:
                found[method] = {"diverged": (~(drawn.abs().amax((1, 2)) < 1e3)).double().mean().item()}
                continue
            errors = torch.stack([posterior_errors(d, posterior_given(gm, A, v, sigma_y), seeded(14)) for d, v in zip(drawn, y)])
            inside = ((ranks(drawn.movedim(1, 0), x0)*N - N/2).abs() < .45*(N + 1)).double().mean(1)
            found[method] = {key: interval(e) for key, e in zip(("mean", "covariance", "weights", "sliced"), errors.T)}
            found[method] |= {"inside 90 %": interval(inside), "seconds": round(seconds, 2)}
            print(name, method, found[method], flush=True)
        out[name] = {"sigma_y": sigma_y, "methods": found}
        keep("laws", out)
    return out


def particles(counts=(16, 64, 256, 1024), total=8192):
    "Error of the posterior's mean against the number of particles, root mean square over runs, for two measured numbers."
    A, sigma_y = PROBLEMS["two numbers"]
    op, den, at, ours = matrix(A), gm.denoiser(sched), strides(sched, spaced(1000, 2*STEPS)), 4
    y = measured(op, gm.sample(ours, seeded(20))[0], sigma_y, seeded(21))
    truth = [moments(posterior_given(gm, A, v, sigma_y)) for v in y]
    mean, spread = torch.stack([m for m, _ in truth]), torch.stack([C.trace()**.5 for _, C in truth])
    out = {"steps": 2*STEPS, "measurements": ours, "counts": list(counts), "runs": []}
    squares = {"particles": [], "ΠGDM": []}
    for i, N in enumerate(counts):
        runs = max(ours, min(total//N, 256)//ours*ours)
        who = torch.arange(runs)%ours
        x = torch.randn(runs*N, D, generator=seeded(22, i), dtype=torch.float64)
        yy = y[who].repeat_interleave(N, 0)
        for name, update, model in (("particles", twisted_update(sched, op, yy, sigma_y, N), den),
                                    ("ΠGDM", ddpm_update(sched), pigdm(den, sched, op, yy, sigma_y))):
            drawn = sample(walk(update, model, x, at, seeded(23, i))).reshape(runs, N, D)
            squares[name].append(((drawn.mean(1) - mean[who]).norm(dim=1)/spread[who])**2)
        out["runs"].append(runs)
        print(N, [s[-1].mean().sqrt().item() for s in squares.values()], flush=True)
    slope = lambda errors: torch.linalg.lstsq(torch.stack([torch.tensor(counts).double().log(), torch.ones(len(counts)).double()], 1),
                                              torch.stack([e.mean().sqrt().log() for e in errors])[:, None]).solution[0].item()
    for name, each in squares.items():
        g = seeded(24)
        again = torch.tensor([slope([e[torch.randint(len(e), (len(e),), generator=g)] for e in each]) for _ in range(400)])
        out[name] = {"error": [interval_root(e) for e in each], "slope": [slope(each), 1.96*again.std().item()]}
    return out


def interval_root(squares):
    "Root mean square, and half of its 95 % interval."
    root = squares.mean().sqrt().item()
    return [root, 1.96*squares.std().item()/len(squares)**.5/(2*root)]


def digits(n=200, each=5, steps=20, sigma_y=.05, batch=250):
    "The left half of test digits given, the rest drawn: who recognises what."
    loaded, judge = load("mnist-uncond"), load("mnist-classifier").model
    for p in loaded.model.parameters(): p.requires_grad_(False)
    test, train, table = mnist("test"), mnist("train"), loaded.sched
    order = torch.randperm(len(test.y), generator=seeded(30))[:n]
    x0, label, pictures = normalise(test.x[order]), test.y[order], normalise(train.x)
    known = torch.zeros(1, 28, 28)
    known[..., :14] = 1
    op, den, times = mask(known), loaded.denoiser(), spaced(table.T, steps)
    y = measured(op, x0, sigma_y, seeded(31))*known
    given = known.bool()[0]
    theirs = pictures[:, 0, given]
    nearest = ((theirs**2).sum(1) - 2*x0[:, 0, given] @ theirs.T).argmin(1)
    chances = lambda x: torch.cat([judge(b, 0).softmax(1) for b in x.split(500)])
    name = lambda x: chances(x).argmax(1)
    unknown = (1 - known)
    ink = lambda x: ((x + 1)/2*unknown).sum((-3, -2, -1))
    with torch.no_grad():
        right = (name(pictures[nearest]) == label).double()
        out = {"digits": n, "samples": each, "steps": steps, "sigma_y": sigma_y, "nearest": interval(right),
               "original": interval((name(x0) == label).double()), "methods": {}}
    yy, xT = y.repeat_interleave(each, 0), torch.randn(n*each, 1, 28, 28, generator=seeded(32))
    runs = {"ΠGDM, DDIM": lambda y, x, g: ddim_steps(restored(den, table, op, y, sigma_y), table, x, times),
            "ΠGDM, DDPM": lambda y, x, g: ddpm_steps(restored(den, table, op, y, sigma_y), table, x, times, generator=g)}
    for method, run in runs.items():
        start = time.process_time()
        x = torch.cat([sample(run(*part, seeded(33, i))) for i, part in enumerate(zip(yy.split(batch), xT.split(batch)))])
        seconds = time.process_time() - start
        with torch.no_grad(): seen = chances(x.clamp(-1, 1)).reshape(n, each, -1)
        ok = (seen.argmax(2) == label[:, None]).double()
        together = (seen.mean(1).argmax(1) == label).double()
        rank = (ranks(ink(x.clamp(-1, 1)).reshape(n, each).T, ink(x0))*each).round().long()
        out["methods"][method] = {
            "recognised": interval(ok.mean(1)), "less nearest": interval(ok.mean(1) - right),
            "together": interval(together), "together less nearest": interval(together - right), "one of five": interval(ok.amax(1)),
            "misfit": ((y - op.A(x.reshape(n, each, 1, 28, 28).mean(1)))*known).square().sum().div(known.sum()*n).sqrt().item(),
            "ranks of ink": torch.bincount(rank, minlength=each + 1).tolist(), "seconds": round(seconds, 1)}
        print(method, out["methods"][method], flush=True)
        keep("digits", out)
    return out


def keep(part, got, path=RESULT):
    "Put a part into a file of results."
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    result[part] = got | {"hardware": machine()}
    write_whole(path, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())


def measure(path, **parts):
    "Run the parts that the command line names, all unless it names some, and keep each."
    torch.set_num_threads(1)
    for part in sys.argv[1:] or parts:
        start = time.process_time()
        got = parts[part]()
        keep(part, got | {"cpu seconds": round(time.process_time() - start)}, path)


if __name__ == "__main__": measure(RESULT, laws=laws, particles=particles, digits=digits)
