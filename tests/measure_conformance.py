"""Are the samplers of diffusers, k-diffusion and guided-diffusion right? How far from the law do they end?

python tests/measure_conformance.py [NAME …]   (some twenty minutes of one core; a NAME is a part of a sampler's)

The results go to book/measured/conformance.json after every sampler; those that are there already with the same
versions are kept, so that it can go on after a break. k-diffusion, guided-diffusion and torchsde are measured where they
are installed; of the first two only the modules with the samplers are imported, without what the networks need.
"""
import importlib, importlib.metadata, importlib.util, inspect, json, math, sys, time, types, warnings
from functools import partial
from pathlib import Path
import torch
from d2c import verify
from d2c.data import write_whole
from d2c.schedule import linear
from d2c.verify import Peer, diffusers_sampler, guided_diffusion_sampler, k_diffusion_sampler

RESULT = Path(__file__).parent.parent/"book"/"measured"/"conformance.json"
STEPS = 5, 10, 20, 50, 501, 1000
SIZES = verify.SIZES
SPREAD = .3


def read(): return json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {"samplers": {}}


def write(found):
    "A line a sampler."
    line = lambda value: json.dumps(value, ensure_ascii=False)
    rest = ",\n".join(f"{line(key)}: {line(value)}" for key, value in found.items() if key != "samplers")
    rows = ",\n".join(f"{line(key)}: {line(value)}" for key, value in sorted(found["samplers"].items()))
    write_whole(RESULT, f'{{{rest},\n"samplers": {{\n{rows}\n}}}}\n'.encode())


def version(name):
    try: return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError: return None


def module(package, name):
    "A module of a package, without running the package itself."
    if package not in sys.modules:
        spec = importlib.util.find_spec(package)
        if spec is None: return None
        empty = types.ModuleType(package)
        empty.__path__ = list(spec.submodule_search_locations)
        sys.modules[package] = empty
    return importlib.import_module(f"{package}.{name}")


def sentence(error): return f"{type(error).__name__}: {str(error).strip()}".partition("\n")[0][:200]


def one_law(make, n):
    "What a table has of a sampler with n steps; a sentence if it fails."
    try: law = verify.law(make(n), SPREAD)
    except Exception as error: return {"fails": sentence(error)}
    short = lambda x: float(f"{x:.4g}")
    return {"error": short(law.error), "from noise": short(law.from_noise), "excess": short(law.excess),
            "evaluations": law.evaluations}


def of_family(peer):
    "The verdict on a sampler of the DDPM and DDIM family, step by step."
    try: report = verify.sampler(peer, quick=True)
    except Exception as error: return {"verdict": "fails", "reason": sentence(error), "suspects": []}
    if report: return {"verdict": "right"}
    return {"verdict": report.verdict, "reason": report.reason,
            "suspects": [[s.mistake.name, round(s.distance, 4)] for s in report.suspects]}


def measure(make):
    "All numbers of one sampler with one choice of options; make(n) is a peer of n steps."
    start = time.perf_counter()
    rows = {str(n): one_law(make, n) for n in sorted({*STEPS, *SIZES})}
    out = {"laws": rows}
    family = None
    try: family = make(20).eta is not None
    except Exception: pass
    if family: out["steps"] = {n: of_family(make(n)) for n in STEPS if n <= 50} | {
        501: of_family(make(501))}
    out["seconds"] = round(time.perf_counter() - start, 1)
    return out


def concluded(entry):
    "The order of convergence and a verdict on it."
    laws = [entry["laws"][str(n)] for n in SIZES]
    if any("excess" not in l for l in laws): return {"order": None, "converges": "fails"}
    excess = [l["excess"] for l in laws]
    return {"order": verify.order(excess), "converges": verify.arrives(excess)}


def diffusers_makers():
    import diffusers
    diffusers.utils.logging.set_verbosity_error()
    for name in sorted(n for n in dir(diffusers) if n.endswith("Scheduler")):
        try: kind = getattr(diffusers, name)
        except ImportError: continue
        if name in verify.NOT_HERE or not callable(getattr(kind, "step", None)): continue
        try: takes = inspect.signature(kind.__init__).parameters
        except ImportError: continue
        base = {"clip_sample": False} if "clip_sample" in takes else {}
        choices = [{}]
        if "timestep_spacing" in takes:
            choices = [{"timestep_spacing": s} for s in ("leading", "trailing", "linspace")]
        v = {"prediction_type": "v_prediction"}
        for option, more in [("use_karras_sigmas", {}), ("use_exponential_sigmas", {}), ("use_lu_lambdas", {}),
                             ("rescale_betas_zero_snr", v | {"timestep_spacing": "trailing"})]:
            if option in takes: choices.append({option: True} | {k: w for k, w in more.items() if k in takes})
        if "use_flow_sigmas" in takes:
            choices.append({"use_flow_sigmas": True, "prediction_type": "flow_prediction"})
        if "variance_type" in takes and name.startswith("DDPM"):
            choices += [c | {"variance_type": "fixed_large"} for c in choices[:3]]
        if "solver_order" in takes: choices.append({"solver_order": 3})
        if name.startswith("DPMSolverM"):
            choices += [{"algorithm_type": "sde-dpmsolver++"},
                        {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}]
        if name.startswith("DPMSolverSingle"): choices.append({"algorithm_type": "sde-dpmsolver++"})
        if name.startswith(("EDM", "Cosine")) and "final_sigmas_type" in takes:
            choices.append({"final_sigmas_type": "sigma_min"})
        if "Ancestral" in name and "beta_schedule" in takes: choices.append({"beta_schedule": "squaredcos_cap_v2"})
        if name == "DDIMScheduler": choices.append({"clip_sample": True})
        steps = [{}]
        if "eta" in inspect.signature(kind.step).parameters: steps.append({"eta": 1.})
        for choice in choices:
            for step in steps if choice.get("timestep_spacing") or not choice else steps[:1]:
                label = ", ".join(f"{k}={w}" for k, w in (choice | step).items()) or "defaults"
                yield (f"diffusers {name}", label,
                       lambda n, kind=kind, options=base | choice, step=step:
                       diffusers_sampler(kind(**options), n, **step))


def k_diffusion_makers():
    sampling = module("k_diffusion", "sampling")
    if sampling is None: return
    sigmas = lambda n: sampling.get_sigmas_karras(n, .002, 80.).double()
    for name in sorted(n for n in dir(sampling) if n.startswith("sample_")):
        f = getattr(sampling, name)
        if name == "sample_dpm_fast":
            g = lambda model, x, sigmas, disable=None, f=f: f(
                model, x, sigmas[-2].item(), sigmas[0].item(), len(sigmas) - 1, disable=disable)
        elif name == "sample_dpm_adaptive":
            continue    # it chooses its own steps, and the choice is not linear in x
        else: g = f
        g.__name__ = name
        def make(n, g=g, fast=name == "sample_dpm_fast"):
            peer = k_diffusion_sampler(g, sigmas(n))
            return Peer(peer.name, peer.sample, peer.predicts, peer.level, "ve", (1., .002)) if fast else peer
        yield f"k-diffusion {name}", "Karras, 0.002 to 80", make
    for name, eta in (("sample_euler", 0.), ("sample_euler_ancestral", 1.)):
        f = getattr(sampling, name)
        yield (f"k-diffusion {name}", "on the linear table",
               lambda n, f=f, eta=eta: k_diffusion_sampler(f, linear(), verify.spaced(1000, n), eta))


def guided_diffusion_makers():
    gd, respace = module("guided_diffusion", "gaussian_diffusion"), module("guided_diffusion", "respace")
    if gd is None: return
    def make(n, method, section, var=gd.ModelVarType.FIXED_SMALL, **options):
        betas = gd.get_named_beta_schedule("linear", 1000)
        kept = respace.space_timesteps(1000, section.format(n) if section else [n])
        d = respace.SpacedDiffusion(use_timesteps=kept, betas=betas, model_mean_type=gd.ModelMeanType.EPSILON,
                                    model_var_type=var, loss_type=gd.LossType.MSE)
        return guided_diffusion_sampler(d, method, linear(), clip_denoised=False, **options)
    name = "guided-diffusion GaussianDiffusion"
    yield name + ".p_sample", "fixed small", partial(make, method="p_sample", section="")
    yield name + ".p_sample", "fixed large", partial(make, method="p_sample", section="", var=gd.ModelVarType.FIXED_LARGE)
    for eta in (0., 1.):
        yield name + ".ddim_sample", f"eta={eta:g}", partial(make, method="ddim_sample", section="", eta=eta)


def main(parts):
    warnings.simplefilter("ignore")
    versions = {n: version(n) for n in ("diffusers", "k-diffusion", "guided_diffusion_sdk", "torch", "torchsde", "numpy")}
    found = read()
    if found.get("versions") != versions: found = {"versions": versions, "samplers": {}}
    import diffusers
    found["left out"] = {n: why for n, why in verify.NOT_HERE.items() if hasattr(diffusers, n)}
    for entry in found["samplers"].values(): entry.update(concluded(entry))
    write(found)
    for makers in (guided_diffusion_makers, k_diffusion_makers, diffusers_makers):
        try: todo = list(makers())
        except ImportError as error:
            print(f"{makers.__name__}: left out, {sentence(error)}")
            continue
        for name, label, make in todo:
            key = f"{name}, {label}"
            if key in found["samplers"] or (parts and not any(p in key for p in parts)): continue
            entry = {"sampler": name, "options": label} | measure(make)
            found["samplers"][key] = entry | concluded(entry)
            write(found)
            print(key, found["samplers"][key].get("converges"), found["samplers"][key]["seconds"], "s", flush=True)


if __name__ == "__main__": main(sys.argv[1:])
