"""Restoring pictures: split Gibbs against the exact posterior by its levels; faces of strangers; one answer for half a digit.

python tests/measure_restoring.py [laws|faces|digits …]   (all three unless told; some forty minutes of one core)

The results go to book/measured/restoring.json, part by part.
"""
import time
from pathlib import Path
import torch
from measure_inverse import D, PROBLEMS, gm, interval, keep, measure, sched
from d2c.data import mnist, normalise, seeded
from d2c.ddpm import ddpm_steps, ddpm_update, normal, sample, strides, walk
from d2c.faces import orl
from d2c.forward import clipped
from d2c.inverse import blur, downscale, mask, matrix, measured, posterior_errors, posterior_given, ranks, restored
from d2c.pretrained import load
from d2c.restoring import gibbs_update, medoid, trust
from d2c.schedule import spaced

RESULT = Path(__file__).parent.parent/"book"/"measured"/"restoring.json"


def laws(M=40, N=59, levels=(10, 30, 100, 300, 1000), n=5):
    "Errors of eq-inverse-errors for each problem, by the number of levels."
    out = {"measurements": M, "samples": N, "levels": list(levels), "evaluations a level": n, "problems": {}}
    for i, (name, (A, sigma_y)) in enumerate(PROBLEMS.items()):
        op, found = matrix(A), []
        x0, _ = gm.sample(M, seeded(10, i))
        y = measured(op, x0, sigma_y, seeded(11, i))
        x = torch.randn(M*N, D, generator=seeded(12, i), dtype=torch.float64)
        for count in levels:
            update = gibbs_update(ddpm_update(sched, "beta"), sched, op, y.repeat_interleave(N, 0), sigma_y, n)
            drawn = sample(walk(update, gm.denoiser(sched), x, strides(sched, spaced(1000, count)), seeded(13, i))).reshape(M, N, D)
            errors = torch.stack([posterior_errors(d, posterior_given(gm, A, v, sigma_y), seeded(14)) for d, v in zip(drawn, y)])
            inside = ((ranks(drawn.movedim(1, 0), x0)*N - N/2).abs() < .45*(N + 1)).double().mean(1)
            found.append({key: interval(e) for key, e in zip(("mean", "covariance", "weights", "sliced"), errors.T)} | {"inside 90 %": interval(inside)})
            print(name, count, found[-1], flush=True)
        out["problems"][name] = found
    return out


def linear(op, y, sigma_y, learnt, tau2):
    "Mean and total variance of the posterior of a Gaussian with the mean of some pictures, and their covariance plus τ²."
    m, shape = learnt.mean(0, keepdim=True), learnt.shape[1:]
    F = (learnt - m).flatten(1).double()/len(learnt)**.5                 # (N, D): Σ = Fᵀ F + τ² I
    rows = lambda v: op.A(v.reshape(len(v), *shape)).flatten(1)
    A_F = rows(F)
    eye = torch.eye(F.shape[1], dtype=torch.float64)
    At = rows(eye)                                                       # (D, m) = Aᵀ
    keep = At.abs().sum(0) > 0
    SAt = (F.T @ A_F + tau2*At)[:, keep]
    C = A_F.T[keep] @ A_F[:, keep] + tau2*At[:, keep].T @ At[:, keep] + sigma_y**2*torch.eye(int(keep.sum()), dtype=torch.float64)
    L = torch.linalg.cholesky(C)
    off = (y - op.A(m)).flatten(1).double()[:, keep]
    mean = m.double() + (torch.cholesky_solve(off.T, L).T @ SAt.T).reshape(len(y), *shape)
    gone = torch.linalg.solve_triangular(L, SAt.T, upper=False).square().sum(0)
    return mean, ((F**2).sum(0) + tau2 - gone).mean()


def white(learnt, valid):
    "The τ² under which other pictures are likeliest: the law of `linear` without a measurement."
    F = (learnt - learnt.mean(0)).flatten(1).double()/len(learnt)**.5
    x, D = (valid - learnt.mean(0)).flatten(1).double(), F.shape[1]
    lam, U = torch.linalg.eigh(F @ F.T)
    part = (x @ F.T @ U).square()                                        # (Fᵀ F + τ² I)⁻¹ by Woodbury's identity
    def log_prob(tau2):
        quad = (x.square().sum(1) - (part/(lam + tau2)).sum(1))/tau2
        return -(quad + torch.log1p(lam.clamp(min=0)/tau2).sum() + D*torch.tensor(tau2).log()).mean()/2
    return max(torch.logspace(-6, 0, 61, dtype=torch.float64).tolist(), key=log_prob)


def again(score, pictures, g, group=10, n=400):
    "A score of all pictures, and half of its 95 % interval: groups of them, such as a person's, are drawn anew."
    groups = pictures//group
    drawn = [score((torch.randint(groups, (groups,), generator=g)[:, None]*group + torch.arange(group)).flatten()) for _ in range(n)]
    return [float(f"{score(torch.arange(pictures)):.4g}"), float(f"{1.96*torch.tensor(drawn).std():.2g}")]


def faces(each=5, steps=30, levels=20, n=5, sigma_y=.05, batch=20):
    "Photographs of people 37 to 40, whom the network has not seen, by three measurements and three methods."
    loaded, table = load("orl-faces"), load("orl-faces").sched
    for p in loaded.model.parameters(): p.requires_grad_(False)
    learnt, valid, x0 = (normalise(orl(64, people).x) for people in (range(1, 35), range(35, 37), range(37, 41)))
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    problems = {"half given": mask(left), "a fourth of the size": downscale(4), "blurred": blur(64, 2.)}
    psnr = lambda error: 10*torch.log10(4/error.mean()).item()
    square = lambda a, b=0.: (a - b).double().square().flatten(1).mean(1)
    out = {"photographs": len(x0), "samples": each, "steps": steps, "levels": levels, "evaluations a level": n, "sigma_y": sigma_y, "problems": {}}
    den, tau2 = loaded.denoiser(), white(learnt, valid)
    for i, (problem, op) in enumerate(problems.items()):
        y = measured(op, x0, sigma_y, seeded(41, i))
        seen = op.A(torch.ones_like(x0)).abs() > 0
        misfit = lambda x: ((op.A(x) - y)[seen]).square().mean().sqrt().item()
        mean, v = linear(op, y, sigma_y, learnt, tau2)
        found = {"best linear guess": {"mean": again(lambda i: psnr(square(mean, x0)[i]), len(x0), seeded(43)), "misfit": misfit(mean.float()),
                                       "trust": again(lambda i: (v/square(mean, x0)[i].mean()).sqrt().item(), len(x0), seeded(43))}}
        yy = y.repeat_interleave(each, 0)
        pigdm = lambda count: lambda y, x, g: ddpm_steps(restored(den, table, op, y, sigma_y), table, x, spaced(1000, count), generator=g)
        runs = {f"ΠGDM, {steps} steps": pigdm(steps),
                "split Gibbs": lambda y, x, g: walk(gibbs_update(ddpm_update(table, "beta"), table, op, y, sigma_y, n), clipped(den, table), x,
                                                    strides(table, spaced(1000, levels)), g)}
        if problem == "a fourth of the size": runs["ΠGDM, 100 steps"] = pigdm(100)
        for method, run in runs.items():
            start, parts = time.process_time(), []
            for a in range(0, len(yy), batch):
                g = [seeded(44, i, a + k) for k in range(batch)]
                parts.append(sample(run(yy[a:a + batch], normal(torch.empty(batch, *x0.shape[1:]), g), g)))
                print(problem, method, a, round(time.process_time() - start), flush=True)
            x = torch.cat(parts).clamp(-1, 1).reshape(len(x0), each, *x0.shape[1:]).movedim(1, 0)
            one = torch.stack([square(v, x0) for v in x]).mean(0)
            found[method] = {"one": again(lambda i: psnr(one[i]), len(x0), seeded(43)),
                             "mean": again(lambda i: psnr(square(x.mean(0), x0)[i]), len(x0), seeded(43)),
                             "trust": again(lambda i: trust(x[:, i], x0[i]), len(x0), seeded(43)),
                             "misfit": sum(map(misfit, x))/each, "seconds": round((time.process_time() - start)/len(yy), 2)}
            print(problem, method, found[method], flush=True)
        out["problems"][problem] = found
        keep("faces", out, RESULT)
    return out


def digits(n=200, each=5, steps=30, levels=20, inner=5, sigma_y=.05, batch=300):
    "The left half of test digits given: what one answer is, and what the medoid of five."
    loaded, judge = load("mnist-uncond"), load("mnist-classifier").model
    for p in loaded.model.parameters(): p.requires_grad_(False)
    test, train, table = mnist("test"), mnist("train"), loaded.sched
    order = torch.randperm(len(test.y), generator=seeded(30))[:n]
    x0, label, pictures = normalise(test.x[order]), test.y[order], normalise(train.x)
    known = torch.zeros(1, 28, 28)
    known[..., :14] = 1
    op, den = mask(known), loaded.denoiser()
    y = measured(op, x0, sigma_y, seeded(31))*known
    given = known.bool()[0]
    theirs = pictures[:, 0, given]
    nearest = ((theirs**2).sum(1) - 2*x0[:, 0, given] @ theirs.T).argmin(1)
    def right(x, label):
        with torch.no_grad(): return (torch.cat([judge(b, 0).argmax(1) for b in x.clamp(-1, 1).split(500)]) == label).double()
    rival = right(pictures[nearest], label)
    out = {"digits": n, "samples": each, "steps": steps, "levels": levels, "evaluations a level": inner, "sigma_y": sigma_y, "nearest": interval(rival), "methods": {}}
    yy, xT = y.repeat_interleave(each, 0), torch.randn(n*each, 1, 28, 28, generator=seeded(32))
    guess, _ = linear(op, y, sigma_y, pictures[:5000], white(pictures[:5000], pictures[5000:6000]))
    seen = right(guess.float(), label)
    out["methods"]["best linear guess"] = {"recognised": interval(seen), "less nearest": interval(seen - rival)}
    runs = {f"ΠGDM, {steps} steps": lambda y, x, g: ddpm_steps(restored(den, table, op, y, sigma_y), table, x, spaced(1000, steps), generator=g),
            "split Gibbs": lambda y, x, g: walk(gibbs_update(ddpm_update(table, "beta"), table, op, y, sigma_y, inner), clipped(den, table), x,
                                                strides(table, spaced(1000, levels)), g)}
    for method, run in runs.items():
        start = time.process_time()
        x = torch.cat([sample(run(*part, seeded(33, i))) for i, part in enumerate(zip(yy.split(batch), xT.split(batch)))])
        seconds = time.process_time() - start
        one = right(x, label.repeat_interleave(each)).reshape(n, each).mean(1)
        x = x.reshape(n, each, 1, 28, 28).movedim(1, 0)
        central = right(medoid(x), label)
        out["methods"][method] = {
            "recognised": interval(one), "medoid": interval(central), "medoid less nearest": interval(central - rival),
            "trust": again(lambda i: trust(x[:, i, :, :, 14:].clamp(-1, 1), x0[i, :, :, 14:]), n, seeded(34), 1), "seconds": round(seconds)}
        print(method, out["methods"][method], flush=True)
        keep("digits", out, RESULT)
    return out


if __name__ == "__main__": measure(RESULT, laws=laws, faces=faces, digits=digits)
