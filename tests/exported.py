"""Does d2c/ hold exactly what the notebooks export? Run as a program it says so in one sentence."""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def copy_project(target):
    "The files nbdev works on, without the exported modules."
    shutil.copytree(ROOT / "nbs", target / "nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name in ("settings.ini", "setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, target)
    (target / "d2c").mkdir()
    shutil.copy(ROOT / "d2c" / "__init__.py", target / "d2c")


def nbdev(command, folder):
    subprocess.run([Path(sys.executable).with_name(command)], cwd=folder, check=True)


def contents(folder, pattern):
    return {path.name: path.read_bytes() for path in folder.glob(pattern)}


def differing(old, new):
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def modules_that_differ():
    with tempfile.TemporaryDirectory() as folder:
        copy_project(Path(folder))
        nbdev("nbdev_export", folder)
        return differing(contents(ROOT / "d2c", "*.py"), contents(Path(folder, "d2c"), "*.py"))


def notebooks_that_differ():
    with tempfile.TemporaryDirectory() as folder:
        copy_project(Path(folder))
        nbdev("nbdev_clean", folder)
        return differing(contents(ROOT / "nbs", "*.ipynb"), contents(Path(folder, "nbs"), "*.ipynb"))


def workbooks_that_differ():
    "The exercises that ship, made from the chapters."
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    from workbooks import FOLDER, files
    made = {name: text.encode() for name, text in files(ROOT).items()}
    return [f"workbooks/{name}" for name in differing(contents(ROOT / FOLDER, "*"), made)]


def message(names):
    return (f"d2c/ is not what the notebooks export ({', '.join(names)}): "
            "run `make export`, and commit the result if you keep it.")


if __name__ == "__main__":
    if names := modules_that_differ() + workbooks_that_differ():
        sys.exit(message(names))
