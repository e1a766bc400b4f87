"""A training that is killed at any moment goes on to the very bits of one that never stopped; the model can be read.

Kills come from within, at the n-th file that a save puts in its place, and from without, at random times.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from bodydouble.network.checkpoint import load_comb, load_tensors, read_card
from bodydouble.training.curves import read_curve
from bodydouble.training.training import train
from tiny import TINY_TRAINING, tiny_faceset

ROOT = Path(__file__).parent.parent

# For each order "DEATH FOLDER" on standard input a child is forked that trains there, saving after every iteration. It
# kills itself at the DEATH-th file that a save puts in its place; at 0 it says its number, then "at ITERATION" after
# each save, and is left to others. The last line is the exit code.
PROGRAM = """
import os, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tiny import TINY_TRAINING
from bodydouble.training.training import train

def run(death, out):
    placed, rename = 0, os.replace
    def dying(source, target):
        nonlocal placed
        placed += 1
        if placed == death:
            os.kill(os.getpid(), 9)
        rename(source, target)
    os.replace = dying
    for report in train([Path(sys.argv[2]) / name for name in ("anna", "ben")], out, SETTINGS):
        if death == 0:
            print("at", report.iteration, flush=True)

SETTINGS = replace(TINY_TRAINING, checkpoint_every_s=0.0)
for line in sys.stdin:
    death, out = line.strip().split(" ", 1)
    child = os.fork()
    if not child:
        run(int(death), Path(out))
        os._exit(0)
    if death == "0":
        print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.fixture(scope="module")
def facesets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("facesets")
    for name in ("anna", "ben"):
        tiny_faceset(folder / name, name)
    return folder


@pytest.fixture(scope="module")
def unbroken(facesets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "cast.comb"
    list(train([facesets / "anna", facesets / "ben"], out, TINY_TRAINING))
    return out


@pytest.fixture(scope="module")
def nursery(facesets: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has torch loaded, takes orders and forks: starting Python for each would take minutes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "engine"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, str(ROOT / "tests"), str(facesets)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def order(nursery: subprocess.Popen[str], death: int, out: Path) -> int:
    """Have a training done; its exit code, or the child's id where it is not told to die."""
    assert nursery.stdin is not None and nursery.stdout is not None
    nursery.stdin.write(f"{death} {out}\n")
    nursery.stdin.flush()
    return int(nursery.stdout.readline())


def check_readable(out: Path) -> None:
    """Whatever there is of a model can be used, and of a state, read."""
    if (out / "comb.json").exists():
        comb, card = load_comb(out, ["anna", "ben"])
        size = card.dims.size
        assert torch.isfinite(comb(torch.rand(1, 3, size, size), "ben")).all()
    for path in (out / "training").glob("state-*.safetensors"):
        load_tensors(path)


def check_end(out: Path, unbroken: Path) -> None:
    """The model is that of a training without a stop, bit by bit, and the curve has no fold."""
    ours, theirs = read_card(out), read_card(unbroken)
    assert (ours.encoder_digest, ours.trunk_digest) == (theirs.encoder_digest, theirs.trunk_digest)
    assert [one.digest for one in ours.personas] == [one.digest for one in theirs.personas]
    iterations = [point.iteration for point in read_curve(out / "training")]
    assert iterations == sorted(iterations)
    assert not list(out.rglob("*.next"))


# The second save is at places 6..10: the state, comb.json, the four weight files of the model.
# The first state is place 1; each save then places the state, comb.json and four weight files.
@pytest.mark.parametrize("death", [2, 8, 10, 12, 13])
def test_a_training_killed_between_two_files_of_a_save_goes_on_to_the_same_bits(
    death, nursery, facesets, unbroken, tmp_path
):
    out = tmp_path / "cast.comb"
    assert order(nursery, death, out) == -signal.SIGKILL
    check_readable(out)
    list(train([facesets / "anna", facesets / "ben"], out, TINY_TRAINING))
    check_readable(out)
    check_end(out, unbroken)


def test_a_training_killed_at_ten_random_moments_goes_on_to_the_same_bits(nursery, facesets, unbroken, tmp_path):
    out = tmp_path / "cast.comb"
    chance = random.Random(0)
    codes = []
    for _ in range(10):
        child = order(nursery, 0, out)
        assert nursery.stdout is not None
        # Some saves on, at any speed of the machine, and then anywhere in what follows a save.
        line = "at 0"
        for _ in range(chance.randint(0, 2)):
            line = nursery.stdout.readline() if line.startswith("at") else line
        time.sleep(chance.random() * 0.03)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        while line.startswith("at"):
            line = nursery.stdout.readline()
        codes.append(int(line))
        check_readable(out)
    assert codes.count(-signal.SIGKILL) >= 8 and set(codes) <= {-signal.SIGKILL, 0}
    assert read_curve(out / "training")[-1].iteration > 2
    list(train([facesets / "anna", facesets / "ben"], out, TINY_TRAINING))
    check_end(out, unbroken)
