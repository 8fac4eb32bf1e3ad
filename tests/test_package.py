"""d2c/ is what the notebooks export, the notebooks are clean, and the wheel works by itself."""
import importlib.metadata
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from exported import ROOT, copy_project, message, modules_that_differ, notebooks_that_differ, workbooks_that_differ
from packaging.requirements import Requirement

TOOLING = ["nbdev", "IPython", "ipykernel", "jupyter_client", "sphinx", "myst_nb", "jupyter_book"]
MODULES = sorted(f"d2c.{path.stem}" for path in (ROOT / "d2c").glob("*.py") if path.stem != "__init__")


def test_export_reproduces_the_library():
    assert not (names := modules_that_differ()), message(names)


def test_exercises_are_those_of_the_chapters():
    assert not (names := workbooks_that_differ()), message(names)


def test_notebooks_are_clean():
    assert not (names := notebooks_that_differ()), f"{', '.join(names)} carry outputs or metadata: run `make export`."


def test_code_fits_its_block():
    "On a page 1280 pixels wide 88 characters of a line of code are seen; of cells that are hidden, none."
    wide = [f"{path.name}, {cell['id']}: {line}" for path in sorted((ROOT / "nbs").glob("*.ipynb"))
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
            for lines in ["".join(cell["source"]).splitlines()] if "#| hide" not in lines
            for line in lines if len(line) > 88 and not line.startswith("#|")]
    assert not wide, "\n".join(["These lines are too long:", *wide])


def test_every_module_is_on_an_api_page():
    page = "".join((ROOT / "book" / f"{name}.md").read_text(encoding="utf-8") for name in ("api", "api_train", "api_time", "api_use", "api_verify", "api_weights"))
    missing = [m for m in MODULES if m != "d2c._modidx" and not re.search(rf"automodule:: {re.escape(m)}$", page, re.M)]
    assert not missing, f"No API page has an automodule for {', '.join(missing)}."


def test_the_command_starts_light():
    "What takes long to load is loaded by those that need it."
    code = "import sys, d2c.cli; print({'torchvision', 'matplotlib', 'scipy', 'diffusers', 'onnx', 'torch._dynamo'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "set()\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    copy_project(folder)
    subprocess.run(["cp", "-R", ROOT / "d2c", folder], check=True)
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", folder], check=True, capture_output=True)
    return next((folder / "dist").glob("*.whl"))


def asked(requirements, extras=()):
    "Those of some requirements that apply here, with these extras."
    return [r for r in map(Requirement, requirements) if not r.marker or any(r.marker.evaluate({"extra": extra}) for extra in {"", *extras})]


def closure(requirements):
    "The distributions that are required, and all that they require here."
    found, seen, todo = {}, set(), asked(requirements)
    while todo:
        r = todo.pop()
        name = re.sub(r"[-_.]+", "-", r.name).lower()
        if (name, *sorted(r.extras)) in seen:
            continue
        seen.add((name, *sorted(r.extras)))
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        todo += asked(found[name].requires or [], r.extras)
    return found.values()


def share(distributions, target):
    "Links to the installed files, so that nothing is installed twice; pip sees that they are there."
    for distribution in distributions:
        for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (target / top).exists():
                (target / top).symlink_to(distribution.locate_file(top))


def requirements(wheel):
    "What a wheel says that it needs."
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(archive.read(name).decode() for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    return re.findall(r"(?m)^Requires-Dist: (.+)$", metadata)


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory, wheel):
    "An environment with nothing but the wheel and what it requires."
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    site = run(python, "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    share(closure(requirements(wheel)), Path(site))
    subprocess.run([python, "-I", "-m", "pip", "install", "--quiet", "--no-compile", "--no-index", wheel], check=True, cwd=folder)
    return python


def run(python, code):
    result = subprocess.run([python, "-I", "-c", code], cwd="/", capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_wheel_installs_without_tooling(bare_python):
    code = f"import importlib.util as u; print([m for m in {TOOLING} if u.find_spec(m)])"
    assert run(bare_python, code).strip() == "[]"


def test_wheel_imports_every_module(bare_python):
    code = f"import importlib, d2c; [importlib.import_module(m) for m in {MODULES}]; print(d2c.__file__)"
    assert str(bare_python.parent.parent) in run(bare_python, code)


def test_wheel_carries_the_digits(bare_python):
    assert run(bare_python, "from d2c.data import mnist; print(tuple(mnist('test').x.shape))").strip() == "(10000, 1, 28, 28)"


def test_wheel_carries_the_weights(bare_python):
    code = "from d2c.pretrained import load, shipped; print([load(name).model.training for name in shipped()])"
    assert run(bare_python, code).strip() == str([False]*5)


def test_wheel_brings_the_command(bare_python):
    said = subprocess.run([bare_python.parent / "d2c", "--help"], capture_output=True, text=True, cwd="/")
    assert said.returncode == 0 and all(word in said.stdout for word in ("weights", "measure", "bits"))


def test_wheel_brings_the_exercises(bare_python, tmp_path):
    "The command writes a notebook; in it the checks fail, and nothing else."
    d2c = lambda *told: subprocess.run([bare_python.parent / "d2c", "exercises", *told], capture_output=True, text=True, cwd=tmp_path)
    assert d2c("ddim").stdout == "wrote ddim_exercises.ipynb\n"
    assert "is there already" in (again := d2c("ddim")).stderr and again.returncode == 1
    cells = [cell for cell in json.loads((tmp_path / "ddim_exercises.ipynb").read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"][1:]
    code = "\n".join(f"try: exec({''.join(cell['source'])!r})\nexcept AssertionError: print('fails')" for cell in cells)
    assert run(bare_python, code).split() == ["fails"]*sum("check_" in cell["source"][-1] for cell in cells[1:])
