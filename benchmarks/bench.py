"""One page of timings: stages, their ratios to the least possible, peers, memory, scaling. `make bench`.

    python benchmarks/bench.py                 # the page, as Markdown on standard output
    python benchmarks/bench.py --quick         # once instead of five times each: is everything still there?

Uses the bundled shot and model alone. Stages and peers are *CPU seconds of one thread*, the least of several runs:
other work on the machine hardly shows in them. Only scaling is measured by the clock; the page says whether the machine
was idle enough for it. Peers come with the extra `bench`; those that are not installed are left out, and said to be.
docs/performance.md keeps the page of the reference run.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import OpenImageIO as oiio
import torch

import bodydouble
from bodydouble.alignment.geometry import similarity_scale
from bodydouble.demo import BUNDLED, PERSONA
from bodydouble.network.comb import Comb, CombDims
from bodydouble.swap.swapstages import blend_size
from peers import peer_rows
from scaling import HEADS, arrangements, measured, scaling_rows, start_up_seconds, verdict
from timing import Row, cpu_features, cpu_seconds, milliseconds, table

FRAME = 1030


# ---------------------------------------------------------------- the machine


def machine() -> list[str]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    features = cpu_features()
    return [
        f"- {model}, {os.cpu_count()} cores ({', '.join(features) or 'no vector extensions known'}), {memory:.0f} GiB",
        f"- {platform.system()} {platform.release()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"OpenImageIO {oiio.__version__}",
        f"- GPU: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'}",
        f"- load when it began: {os.getloadavg()[0]:.1f} (idle is near 0; it spoils *scaling* alone)",
        f"- Bodydouble {bodydouble.__version__}, bundled shot 960×540, bundled model 256 px, quarter width",
    ]


# ---------------------------------------------------------------- stages


@dataclass
class Shot:
    """The bundled shot, one frame of it taken apart."""

    folder: Path

    def __post_init__(self) -> None:
        self.plate = bodydouble.find_plate(BUNDLED / "sh010")
        self.colour = bodydouble.Colour("ocio://studio-config-latest")
        self.shot_frames = tuple(frame for frame in self.plate.frames if abs(frame - FRAME) <= 2)
        self.shot = bodydouble.align_shot(self.plate, self.shot_frames, self.colour, None, bodydouble.AlignSettings())
        self.face = self.shot.face(FRAME)
        self.model = bodydouble.load_swap_model(BUNDLED / "rendered.comb", PERSONA, "cpu")
        self.size = blend_size(1 / similarity_scale(self.face.unit_from_plate), self.model.comb.dims.size)

    def stages(self, times: int) -> list[tuple[str, float]]:
        """(stage, CPU seconds) in the order of a frame."""
        face, model, settings = self.face, self.model, bodydouble.SwapSettings()
        space, out = model.card.model_space, self.folder / "out.1030.exr"
        plate = bodydouble.read_frame(self.plate, FRAME)
        source = self.colour.space_of(plate.attributes, plate.path)
        to_working = self.colour.converter(source, space.primaries)
        from_working = self.colour.converter(space.primaries, source)
        region = bodydouble.face_region(plate, face)
        piece = bodydouble.plate_to_model_space(plate, region, to_working, space)
        small, large = (bodydouble.warp_to_crop(piece, face, size) for size in (model.comb.dims.size, self.size))
        latent = bodydouble.encode(model.comb, small)
        swap = bodydouble.decode(model.comb, latent, PERSONA)
        matte = bodydouble.face_matte(face, self.size, settings.forehead)
        blended = bodydouble.blend_crop(swap, large, matte, settings)
        picture, region_matte = bodydouble.composite(blended, piece, face, settings)
        result = bodydouble.model_space_to_plate(plate, picture, region_matte, region, from_working, space)
        deeds: list[tuple[str, Callable[[], object]]] = [
            ("read", lambda: bodydouble.read_frame(self.plate, FRAME)),
            ("to model space", lambda: bodydouble.plate_to_model_space(plate, region, to_working, space)),
            (f"warp to {model.comb.dims.size}", lambda: bodydouble.warp_to_crop(piece, face, model.comb.dims.size)),
            ("encode", lambda: bodydouble.encode(model.comb, small)),
            ("decode", lambda: bodydouble.decode(model.comb, latent, PERSONA)),
            (f"warp to {self.size}", lambda: bodydouble.warp_to_crop(piece, face, self.size)),
            (f"matte {self.size}", lambda: bodydouble.face_matte(face, self.size, settings.forehead)),
            (f"blend {self.size}", lambda: bodydouble.blend_crop(swap, large, matte, settings)),
            ("back to the plate's pixels", lambda: bodydouble.composite(blended, piece, face, settings)),
            (
                "from model space",
                lambda: bodydouble.model_space_to_plate(plate, picture, region_matte, region, from_working, space),
            ),
            ("write, zip", lambda: bodydouble.write_plate(out, result)),
        ]
        return [*self.aligning(), *((name, cpu_seconds(deed, times)) for name, deed in deeds)]

    def aligning(self) -> list[tuple[str, float]]:
        """CPU seconds of the first frame, with the models loaded for it, and of each one that follows."""

        def seconds(frames: tuple[int, ...]) -> float:
            start = time.process_time()
            for _ in bodydouble.align_frames(self.plate, frames, self.colour, None, bodydouble.AlignSettings()):
                pass
            return time.process_time() - start

        first, all_five = seconds((FRAME,)), seconds(self.shot_frames)
        later = (all_five - first) / (len(self.shot_frames) - 1)
        return [("align, the first frame (models loaded)", first), ("align, each further frame", later)]


def stage_rows(stages: list[tuple[str, float]]) -> list[Row]:
    swapping = sum(seconds for name, seconds in stages if not name.startswith("align"))
    rows = [
        Row(name, (milliseconds(seconds), "" if name.startswith("align") else f"{100 * seconds / swapping:.0f} %"))
        for name, seconds in stages
    ]
    return [*rows, Row("**a frame swapped**", (milliseconds(swapping), "100 %"))]


# ---------------------------------------------------------------- ratios


def ratio_rows(shot: Shot, stages: dict[str, float], times: int) -> list[Row]:
    """Our stages over the least that the same bytes or the same arithmetic can cost here."""
    path = str(shot.plate.path(FRAME))
    copy, written = str(shot.folder / "copy.exr"), oiio.ImageBuf(str(shot.folder / "out.1030.exr"))
    written.read(0, 0, True, oiio.HALF)

    def raw_write() -> None:
        written.specmod().attribute("compression", "zip")
        if not written.write(copy):
            raise OSError(written.geterror())

    def raw_read() -> None:
        oiio.ImageBuf(path).read(0, 0, True, oiio.HALF)

    side = 1024
    factors = torch.rand(side, side), torch.rand(side, side)
    flops = 2 * side**3 / cpu_seconds(lambda: factors[0] @ factors[1], times)
    needed = network_flops(shot.model.comb)
    network = stages["encode"] + stages["decode"]
    pairs = [
        ("read / OpenImageIO alone", stages["read"], cpu_seconds(raw_read, times)),
        ("write / OpenImageIO alone", stages["write, zip"], cpu_seconds(raw_write, times)),
        (f"network / its {needed / 1e9:.1f} GFLOP at the rate of a large matrix product", network, needed / flops),
    ]
    return [Row(name, (milliseconds(ours), milliseconds(least), f"{ours / least:.2f}")) for name, ours, least in pairs]


def network_flops(comb: Comb) -> float:
    """Multiplications and additions of one picture through encoder and one decoder, counted by hooks."""
    from torch.utils.flop_counter import FlopCounterMode

    picture = torch.rand(1, 3, comb.dims.size, comb.dims.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bodydouble.decode(comb, bodydouble.encode(comb, picture), PERSONA)
    return float(counter.get_total_flops())


# ---------------------------------------------------------------- memory, scaling, sizes


def swap_run(folder: Path, frames: str, threads: int) -> tuple[float, float, float]:
    """(seconds by the clock, CPU seconds, peak GiB) of `bodydouble swap` on some frames, in a process of its own."""
    out = Path(tempfile.mkdtemp(dir=folder))
    command = [
        sys.executable, "-m", "bodydouble_cli", "swap", str(BUNDLED / "sh010"), "-o", str(out),
        "--model", str(BUNDLED / "rendered.comb"), "--persona", PERSONA, "--faces", str(folder / "faces.json"),
        "--frames", frames, "--threads", str(threads), "--device", "cpu", "--json",
    ]  # fmt: skip
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"bodydouble swap ended with {child.returncode}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, peak


def run_rows(shot: Shot) -> list[Row]:
    """Whole runs: how memory grows with frames."""
    rows = []
    for name, frames in (("1 frame", "1030"), ("5 frames", "1028-1032")):
        clock, busy, peak = swap_run(shot.folder, frames, 1)
        rows.append(Row(name, (f"{clock:.1f}", f"{busy:.1f}", f"{peak:.2f}")))
    return rows


def scaling(shot: Shot) -> str:
    """The table of threads and processes, and whether the machine was idle enough for it."""
    faces = shot.folder / "all.faces.json"
    whole = bodydouble.align_shot(shot.plate, shot.plate.frames, shot.colour, None, bodydouble.AlignSettings())
    bodydouble.write_shot_faces(faces, whole)
    start_up = start_up_seconds(shot.folder, faces)
    cores = len(os.sched_getaffinity(0))
    paces = [(one, measured(shot.folder, faces, one, start_up)) for one in arrangements(cores)]
    frames = len(shot.plate.frames)
    told = f"The bundled shot's {frames} frames by each process; start-up ({start_up:.1f} CPU s) is left out."
    return f"{told} {verdict(paces)}\n\n{table(HEADS, scaling_rows(paces))}"


def size_rows(times: int, quick: bool) -> list[Row]:
    """The full-width network by resolution: time of a picture, its arithmetic, its weights."""
    rows = []
    for level in (4, 6) if quick else (4, 5, 6, 7, 8):
        comb = Comb(CombDims(level, 1.0), (PERSONA,)).eval().to(memory_format=torch.channels_last)
        picture = torch.rand(1, 3, comb.dims.size, comb.dims.size)

        def deed(comb: Comb = comb, picture: torch.Tensor = picture, precision: str = "fp32") -> None:
            bodydouble.decode(comb, bodydouble.encode(comb, picture, precision), PERSONA, precision)

        tries = 1 if level > 6 else times
        single, half = cpu_seconds(deed, tries), cpu_seconds(lambda: deed(precision="bf16"), tries)
        weights = sum(parameter.numel() for parameter in comb.parameters()) / 1e6
        cells = (f"{network_flops(comb) / 1e9:.1f}", f"{weights:.1f}", f"{single:.2f}", f"{half:.2f}")
        rows.append(Row(f"{comb.dims.size} px", cells))
    return rows


def page(quick: bool) -> Iterator[str]:
    """The page, piece by piece."""
    times = 1 if quick else 5
    yield "## Machine\n\n" + "\n".join(machine())
    with tempfile.TemporaryDirectory() as folder:
        shot = Shot(Path(folder))
        stages = shot.stages(times)
        yield "## Stages of a frame\n\nOne thread, CPU milliseconds.\n\n" + table(
            ("stage", "ms", "share"), stage_rows(stages)
        )
        yield "## Ratios to the least possible\n\n" + table(
            ("what", "ours, ms", "least, ms", "ratio"), ratio_rows(shot, dict(stages), times)
        )
        yield "## Peers\n\nOne thread, CPU milliseconds; *times* is over ours.\n\n" + table(
            ("what", "ms", "times", "note"), list(peer_rows(times))
        )
        bodydouble.write_shot_faces(shot.folder / "faces.json", shot.shot)
        yield "## Memory\n\n`bodydouble swap` as a process, start-up included.\n\n" + table(
            ("run", "clock, s", "CPU, s", "peak, GiB"), run_rows(shot)
        )
        yield "## Scaling\n\n" + ("Not measured: --quick." if quick else scaling(shot))
    yield "## Network by resolution\n\nFull width, one picture, encoder and one decoder, one thread.\n\n" + table(
        ("comb", "GFLOP", "million weights", "fp32, s", "bf16, s"), size_rows(times, quick)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    yield f"Peak of this benchmark itself: {peak:.0f} MiB."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="measure once, and less of it")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    for piece in page(quick):
        print(piece, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
