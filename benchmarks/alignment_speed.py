"""How long `align` takes beside only reading and decoding the frames, and beside detecting in every frame.

    python benchmarks/alignment_speed.py                     # sh010 enlarged to 1920×1080, with grain, zip half RGBA
    python benchmarks/alignment_speed.py --framing medium    # the same face half as large, in a plate of the same size
    python benchmarks/alignment_speed.py --plate PLATE --frames 96

All three run in one process, one after the other: seconds of the clock, of the processor, and of the processor in the
thread that called, models loaded anew in each. On a machine that does other work besides, the processor's seconds are
the ones to compare. `align` reads ahead in threads of its own, which share OpenImageIO's, and registers in two.
What it is measured by is reading and decoding all of every frame; it reads less itself (docs/alignment.md).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from bodydouble.alignment import aligning
from bodydouble.alignment.aligning import align_frames, solve_shot
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import write_image
from bodydouble.plates.reading import find_plate, read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import AlignSettings
from synth import load_shot, synth_folder

GRAIN = 0.02
MEASURES = ("clock", "processor", "this thread")


def enlarged(folder: Path, count: int, medium: bool = False) -> PlateSequence:
    """`sh010` at twice its size, over and over again, with grain: it packs like a camera's plate. `medium`: at its own
    size, its border continued to a plate of twice its size.
    """
    shot, rng = load_shot("sh010", synth_folder()), np.random.default_rng(0)
    there = [*shot.frames, *shot.frames[-2:0:-1]]
    for number in range(count):
        rgb = read_frame(shot.plate, there[number % len(there)]).rgb()
        if medium:
            height, width = rgb.shape[:2]
            smooth = np.pad(rgb, ((height // 2, height // 2), (width // 2, width // 2), (0, 0)), mode="edge")
        else:
            wide = np.repeat(np.repeat(rgb, 2, axis=0), 2, axis=1)
            smooth = sum(np.roll(wide, away, axis=(0, 1)) for away in ((0, 0), (0, 1), (1, 0), (1, 1))) / 4
        rgba = np.concatenate([smooth * rng.normal(1, GRAIN, smooth.shape), np.ones((*smooth.shape[:2], 1))], axis=2)
        write_image(
            folder / f"hd.{1001 + number}.exr",
            rgba.astype(np.float32),
            channel_names=("R", "G", "B", "A"),
            compression="zip",
            attributes={"colorInteropID": "lin_rec709_scene"},
        )
    return PlateSequence.find(folder / "hd.####.exr")


def timed(work: Callable[[], object]) -> tuple[float, float, float]:
    """Seconds of the clock, of the processor, and of the processor in this thread."""
    before = time.perf_counter(), time.process_time(), time.thread_time()
    work()
    after = time.perf_counter(), time.process_time(), time.thread_time()
    clock, processor, thread = (end - start for start, end in zip(before, after, strict=True))
    return clock, processor, thread


def measured(plate: PlateSequence) -> None:
    """Print the three, per frame and beside reading."""
    colour, settings, count = Colour(), AlignSettings(), len(plate.frames)

    def align(every_frame: bool) -> None:
        anchor = aligning.ANCHOR_FRAMES
        aligning.ANCHOR_FRAMES = 1 if every_frame else anchor
        try:
            solve_shot(plate.pattern, list(align_frames(plate, plate.frames, colour, None, settings)), settings)
        finally:
            aligning.ANCHOR_FRAMES = anchor

    def read() -> None:
        for frame in plate.frames:
            read_frame(plate, frame)

    timed(lambda: list(align_frames(plate, plate.frames[:1], colour, None, settings)))  # the models' files are cached
    rows = {
        "read": timed(read),
        "align": timed(lambda: align(False)),
        "detect in every frame": timed(lambda: align(True)),
    }
    click.echo(f"{'seconds per frame':24}" + "".join(f"{what:>12}{'× reading':>12}" for what in MEASURES))
    for name, seconds in rows.items():
        cells = (f"{one / count:12.3f}{one / least:12.2f}" for one, least in zip(seconds, rows["read"], strict=True))
        click.echo(f"{name:24}" + "".join(cells))
    times = {what: rows["align"][index] / rows["read"][index] for index, what in enumerate(MEASURES)}
    ratios = f"{times['processor']:.2f} times what reading takes by the processor, {times['clock']:.2f} by the clock"
    click.echo(f"align takes {ratios}")


@click.command()
@click.option("--plate", help="The plate.  [default: sh010 of the synth data at 1920×1080]")
@click.option("--framing", type=click.Choice(["close-up", "medium"]), default="close-up", help="How large the face is.")
@click.option("--frames", default=96, show_default=True, help="How many frames.")
def main(plate: str | None, framing: str, frames: int) -> None:
    """Print what aligning costs beside reading."""
    if plate is not None:
        found = find_plate(plate)
        measured(replace(found, frames=found.frames[:frames]))
        return
    with tempfile.TemporaryDirectory(prefix="bodydouble-speed-") as folder:
        measured(enlarged(Path(folder), frames, framing == "medium"))


if __name__ == "__main__":
    main()
