"""Fixtures that several test modules share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent

# Before torch is imported: on test-sized tensors, threads that wait for each other cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data, named by $BODYDOUBLE_SHARED or lying beside the repository."""
    folder = Path(os.environ.get("BODYDOUBLE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no shared test data; name its folder in $BODYDOUBLE_SHARED")
    return folder


@pytest.fixture(scope="session")
def python() -> Command:
    """Runs a Python program in a process of its own that sees this checkout: `python("-c", "...")`."""
    environment = _seeing_this_checkout()

    def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


def _seeing_this_checkout() -> dict[str, str]:
    """The environment with paths that keep a test working where the checkout is not installed."""
    paths = [str(ROOT / "engine"), str(ROOT / "cli"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "100"}


@pytest.fixture(scope="session")
def demo_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make demo` makes: run once for all tests that look at it.

    Its installing is left out (`-o`: taken as done), since it fetches packages; `.ci/run` begins with that.
    """
    folder = tmp_path_factory.mktemp("demo")
    command = folder / "bin" / "bodydouble"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bodydouble_cli "$@"\n')
    command.chmod(0o755)
    words = ["make", "-C", str(ROOT), "-o", ".venv/installed", "demo", f"BIN={command.parent}", f"OUT={folder / 'out'}"]
    done = subprocess.run(words, env=_seeing_this_checkout(), capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def _faces(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from bodydouble.plates.images import read_image

    # The truth counts from the corner of the first pixel.
    return {
        Path(name).stem: (np.rint(read_image(folder / name)[..., :3] * 255).astype(np.uint8), np.array(points) - 0.5)
        for name, points in json.loads((folder / "landmarks.json").read_text()).items()
    }


@pytest.fixture(scope="session")
def portraits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per name: a rendered 320² picture, and its true (68, 2) landmarks counted from pixel centres."""
    return _faces(Path(__file__).parent / "data" / "portraits")


@pytest.fixture(scope="session")
def hard() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same, of faces that the frontal detector misses."""
    return _faces(Path(__file__).parent / "data" / "hard")
