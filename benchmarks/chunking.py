"""One shot cut into chunks in several ways: every frame must be the same to the bit, whoever made it, and when.

    python benchmarks/chunking.py                                   # 48 frames of sh010 as 1, 5, 16 and 48 chunks
    python benchmarks/chunking.py --plate PLATE --chunks 1,2,6 --processes 2

Each cut is made twice: by one process that does the chunks in random order, and by several at once that share them in
random order, on another number of threads. What they write is held against one run of `bodydouble swap` in a fresh
interpreter without any cut, byte for byte. Processes are forked, so that loading the libraries takes no time; the
parent has none of them used.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import click

from bodydouble.demo import BUNDLED, PERSONA
from bodydouble.errors import BodydoubleError
from bodydouble.swap.swapping import swap_sequence  # noqa: F401  for what it loads: forked processes find it there
from bodydouble_cli.main import run
from chaos import finish, start
from synth import load_shot, synth_folder


def digests(folder: Path) -> dict[str, str]:
    """File name → digest of its bytes, of every file in a folder, hidden ones included."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def make_clean(words: Sequence[str], out: Path) -> dict[str, str]:
    """The frames of a run that is not cut, by a process of its own. Errors: CalledProcessError."""
    command = [sys.executable, "-m", "bodydouble_cli", *words, "-o", str(out), "--progress", "none"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return digests(out)


def make_chunks(words: Sequence[str], out: Path, chunks: Sequence[str]) -> int:
    """Some chunks, one after the other, in this process; the worst exit code."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        return max(run([*words, "-o", str(out), "--progress", "none", "--chunk", chunk]) for chunk in chunks)


def make_cut(words: Sequence[str], out: Path, count: int, processes: int, chance: random.Random) -> list[int]:
    """The shot in `count` chunks, shared by some processes; their exit codes."""
    order = [f"{number}/{count}" for number in range(1, count + 1)]
    chance.shuffle(order)
    shares = [share for share in (order[first::processes] for first in range(processes)) if share]
    more = ["--threads", str(min(processes, 2))]
    running = [start(lambda share=share: make_chunks([*words, *more], out, share)) for share in shares]
    return [finish(one) for one in running]


def compare(words: Sequence[str], folder: Path, counts: Sequence[int], processes: int, chance: random.Random) -> int:
    """Makes every cut and prints what became of it; how many were not right."""
    clean = make_clean(words, folder / "clean")
    click.echo(f"{len(clean)} frames by one run without a cut")
    wrong = 0
    for count in counts:
        for many in (1, processes):
            with tempfile.TemporaryDirectory(dir=folder) as out:
                codes = make_cut(words, Path(out), count, many, chance)
                found = digests(Path(out))
            differ = {name for name in {*clean, *found} if clean.get(name) != found.get(name)}
            wrong += bool(differ or any(codes))
            who = "one process" if many == 1 else f"{len(codes)} processes at once"
            click.echo(f"{count:3} chunks, {who}: {len(found)} files, {len(differ)} not the same to the bit {codes}")
    return wrong


@click.command(help=str(__doc__))
@click.option("--plate", help="Plate.  [default: sh010 of the shared data]")
@click.option("--faces", type=click.Path(path_type=Path), help="Shot faces.  [default: aligned first]")
@click.option("--model", type=click.Path(path_type=Path), default=BUNDLED / "rendered.comb", help="Model folder.")
@click.option("--persona", default=PERSONA, show_default=True, help="Who appears.")
@click.option("--chunks", default="1,5,16,48", show_default=True, help="Numbers of chunks, by commas.")
@click.option("--processes", default=3, show_default=True, help="How many at once.")
@click.option("--seed", default=0, show_default=True, help="Of the random order.")
def main(
    plate: str | None, faces: Path | None, model: Path, persona: str, chunks: str, processes: int, seed: int
) -> None:
    try:
        source = plate or load_shot("sh010", synth_folder()).plate.pattern
    except BodydoubleError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    with tempfile.TemporaryDirectory(prefix="bodydouble-chunking-") as name:
        folder = Path(name)
        if faces is None:
            faces = folder / "shot.faces.json"
            words = ["align", source, "-o", str(faces), "--progress", "none"]
            subprocess.run([sys.executable, "-m", "bodydouble_cli", *words], check=True, stdout=subprocess.DEVNULL)
        words = ["swap", source, "--faces", str(faces), "--model", str(model), "--persona", persona]
        counts = [int(count) for count in chunks.split(",")]
        sys.exit(1 if compare(words, folder, counts, processes, random.Random(seed)) else 0)


if __name__ == "__main__":
    main()
