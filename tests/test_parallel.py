"""Two processes train as one: the same weights within rounding, and one model on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bodydouble.network.checkpoint import load_comb, read_card
from bodydouble.network.parallel import Ranks
from tiny import tiny_faceset

ROOT = Path(__file__).parent.parent
# Trains with each choice of optimiser and update, alone and in two processes that are forked as torchrun starts them.
PROGRAM = """
import os, socket, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tiny import TINY_TRAINING
from bodydouble.training.training import train

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

folder = Path(sys.argv[2])
tiny = replace(TINY_TRAINING, batch=3, l1_weight=0.5, jitter_grain=0.1, jitter_blur=0.05)
for optimiser, update in (("adam", "in-turn"), ("muon", "joint")):
    for world in (1, 2):
        port, children = free_port(), []
        for rank in range(world):
            children.append(os.fork())
            if not children[-1]:
                os.environ |= dict(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world),
                                   MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
                settings = replace(tiny, optimiser=optimiser, update=update)
                out = folder / f"{optimiser}{world}.comb"
                reports = list(train([folder / "anna", folder / "ben"], out, settings))
                os._exit(0 if bool(reports) == (rank == 0) else 3)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    for name in ("anna", "ben"):
        tiny_faceset(folder / name, name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "engine"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, str(ROOT / "tests"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return folder


# Muon works in bfloat16, which turns the order of a sum into a larger difference.
@pytest.mark.parametrize(("optimiser", "tolerance"), [("adam", 2e-4), ("muon", 2e-2)])
def test_two_processes_give_the_weights_of_one_within_rounding(optimiser, tolerance, trained):
    alone, both = (trained / f"{optimiser}{world}.comb" for world in (1, 2))
    (ours, _), (theirs, _) = (load_comb(out, ["anna", "ben"]) for out in (alone, both))
    crop = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for name in ("anna", "ben"):
        torch.testing.assert_close(ours(crop, name), theirs(crop, name), rtol=0, atol=tolerance)
    assert read_card(both).history[-1]["images"] == read_card(alone).history[-1]["images"]


def test_one_process_alone_leaves_everything_as_it_is():
    ranks = Ranks()
    values = torch.rand(3)
    assert ranks.leads and ranks.mean(values) is values and ranks.agree(1.5, 2.0) == [1.5, 2.0]
