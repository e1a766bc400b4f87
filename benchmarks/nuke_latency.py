"""How long an artist waits: a whole frame and a re-blend of it, at 1920×1080, through the node's own worker client.

    python benchmarks/nuke_latency.py [--level 8] [--width 1.0] [--repeats 5]

The plate is a frame of the demo shot enlarged to 1920×1080; the model is an untrained comb of the given size (the time
does not depend on its weights), or with --bundled the bundled one. Nuke itself is not needed: what is measured is what
lies between the node's request and the finished file on disk. A re-blend is what a knob of the look sets going, a draft
of the current frame: the first one reads the plate again, those after it find all that the look does not change.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import OpenImageIO as oiio

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "engine"), str(ROOT / "cli"), str(ROOT / "nuke_plugin")]

from bodydouble_nuke.engine import Engine  # noqa: E402
from bodydouble_nuke.look import Look, write_look  # noqa: E402
from bodydouble_nuke.shot import Plate, Shot, align_job, draft_job, swap_job  # noqa: E402
from bodydouble_nuke.worker import Worker  # noqa: E402


def enlarged(folder: Path, frames: list[int]) -> str:
    """Frames of the demo shot at 1920×1080."""
    from bodydouble.demo import BUNDLED

    for frame in frames:
        small = oiio.ImageBuf(str(BUNDLED / "sh010" / f"sh010_B.{frame}.exr"))
        rgba = oiio.ImageBufAlgo.channels(small, ("R", "G", "B", "A"))
        large = oiio.ImageBufAlgo.resize(rgba, roi=oiio.ROI(0, 1920, 0, 1080, 0, 1, 0, 4))
        large.specmod().attribute("compression", "zip")
        large.write(str(folder / f"plate.{frame}.exr"), "half")
    return (folder / "plate.####.exr").as_posix()


def untrained(folder: Path, level: int, width: float) -> str:
    """A comb of the given size with random weights."""
    import torch

    from bodydouble.alignment.geometry import EYE_LINE, INTEROCULAR
    from bodydouble.network.checkpoint import CombCard, PersonaCard, save_comb
    from bodydouble.network.comb import Comb, CombDims
    from bodydouble.plates.modelspace import ModelSpace

    torch.manual_seed(0)
    dims = CombDims(level, width)
    card = CombCard(dims, ModelSpace(), INTEROCULAR, EYE_LINE, 0.7, (PersonaCard("A"),))
    save_comb(folder / "model.comb", Comb(dims, ["A"]), card)
    return (folder / "model.comb").as_posix()


def cpu_seconds(process: int | None) -> float:
    """Processor time of the worker so far: what it costs whatever else the machine does; 0 where /proc is not."""
    try:
        words = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def timed(worker: Worker, job: dict[str, object]) -> tuple[float, dict[str, float], float]:
    """Seconds from the request to the end of the job, those of its frame by stage, and the worker's processor time."""
    done = threading.Event()
    stages: dict[str, float] = {}
    ends: list[str] = []

    def on_event(event: object) -> None:
        assert isinstance(event, dict)
        if event["event"] == "frame_done":
            stages.update(event["seconds"])
        if event["event"] == "run_done":
            if event["exit_code"]:
                ends.append(event["message"])
            done.set()

    start, busy = time.perf_counter(), cpu_seconds(worker.pid)
    worker.submit(job, on_event)
    done.wait()
    if ends:
        sys.exit(ends[0])
    return time.perf_counter() - start, stages, cpu_seconds(worker.pid) - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", type=int, default=8)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--bundled", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    frames = list(range(1015, 1015 + asked.repeats + 1))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "engine"), str(ROOT / "cli")])}
    worker = Worker(Engine((sys.executable, "-m", "bodydouble_cli"), environment))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plate = Plate(enlarged(folder, frames), "Linear Rec.709 (sRGB)")
        bundled = (ROOT / "engine" / "bodydouble" / "bundled" / "rendered.comb").as_posix()
        model = bundled if asked.bundled else untrained(folder, asked.level, asked.width)

        def shot(edge: float) -> Shot:
            look = Look({"forehead": 0.6, "edge": edge, "sigma": 1.0, "plate_levels": 2})
            made = Shot((folder / "node").as_posix(), plate, model, "A", 0, look)
            write_look(made.look_file, look)
            return made

        print(f"align, {len(frames)} frames, engine cold: {timed(worker, align_job(shot(3)))[0]:.2f} s")
        print(f"first frame, model cold: {timed(worker, swap_job(shot(3), frames[:1]))[0]:.2f} s")
        whole, first, again = [], [], []
        for frame in frames[1:]:
            whole.append(timed(worker, swap_job(shot(3), [frame])))
            first.append(timed(worker, draft_job(shot(4), [frame])))
            again.append(timed(worker, draft_job(shot(5), [frame])))
        kinds = {"whole frame, all warm": whole, "first re-blend": first, "re-blend": again}
        for title, runs in kinds.items():
            middle = {name: statistics.median(r[1].get(name, 0.0) for r in runs) for name in runs[0][1]}
            stages = ", ".join(f"{name} {seconds:.3f}" for name, seconds in middle.items())
            wall, busy = (statistics.median(run[index] for run in runs) for index in (0, 2))
            print(f"{title}: median of {len(runs)}: {wall:.3f} s, processor {busy:.3f} s; {stages}")
        for title, index in (("wall", 0), ("processor", 2)):
            middle = {name: statistics.median(run[index] for run in runs) for name, runs in kinds.items()}
            one, two = (middle[name] / middle["whole frame, all warm"] for name in ("first re-blend", "re-blend"))
            print(f"re-blend / whole frame, {title}: the first of a frame {one:.2f}, those after it {two:.2f}")
        worker.close()


if __name__ == "__main__":
    main()
