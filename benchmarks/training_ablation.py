"""What each choice of the training brings: one recipe, and the same with one thing changed.

Every variant trains from scratch for the same processor time (not wall time: other work on the machine does not count)
on one thread. Then it is measured twice, in model space inside the matte:

* **rebuilt**: crops of the facesets that were held out, each decoded as its own persona: the published MS-SSIM (span 1)
  and PSNR, and how the two finest octaves of the result correlate with the truth's, which no loss here asks for;
* **swapped**: the performer of the rendered shot sh010 decoded as persona A, against the perfect composite of the
  same frames. Crops by the shot's true landmarks, so that only the network is measured. The swap gets one gain per
  channel, which gives it the mean tone of the truth: the blend takes tone from the plate. "degraded" is the same with
  the plate's crop blurred (sigma 0.4 % of the crop) and grainy.

Usage: python benchmarks/training_ablation.py FACESETS [--seconds 60] [--resolution 32] [--width 0.125] [--json FILE]
       FACESETS is a folder with the facesets A, B and C, as benchmarks/train_bundled.sh makes it.
       The shared data is found as by shots.py. With --json, variants that the file has are not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bodydouble.alignment.geometry import crop_from_unit, unit_from_landmarks
from bodydouble.errors import BodydoubleError
from bodydouble.network.checkpoint import read_card
from bodydouble.network.comb import Comb, CombDims, Trunk, size_level
from bodydouble.plates.images import read_plate
from bodydouble.plates.modelspace import ModelSpace, to_model
from bodydouble.reviews.quality import display_channel
from bodydouble.settings import TrainSettings
from bodydouble.swap.matte import gaussian
from bodydouble.swap.warp import warp
from bodydouble.training import training
from bodydouble.training.augmenting import Batch
from bodydouble.training.cropstore import CropStore, by_persona
from bodydouble.training.facesets import Faceset
from bodydouble.training.losses import ms_ssim
from bodydouble.training.schedule import Phase
from bodydouble.training.validating import CropReader, enlarged, reconstruct
from synth import load_shot, synth_folder

FRAMES = range(1001, 1049, 4)
REC709_TO_ACESCG = torch.tensor(
    [[0.61309741, 0.33952315, 0.04737945], [0.07019372, 0.91635390, 0.01345238], [0.02061559, 0.10956977, 0.86981463]]
)


class UntiedComb(Comb):
    """A comb whose personas have decoder levels 0 and 1 of their own."""

    def __init__(self, dims: CombDims, personas: tuple[str, ...]) -> None:
        super().__init__(dims, personas)
        self.trunks = torch.nn.ModuleDict({name: Trunk(dims) for name in personas})

    def decode(self, latent: Tensor, persona: str, level: int | None = None, alpha: float | None = None) -> Tensor:
        shared, self.trunk = self.trunk, self.trunks[persona]  # type: ignore[assignment]
        try:
            return super().decode(latent, persona, level, alpha)
        finally:
            self.trunk = shared


@dataclass(frozen=True)
class Variant:
    """A recipe: what is changed in the settings, which personas, tied or not."""

    changes: Mapping[str, Any]
    personas: tuple[str, ...] = ("A", "B", "C")
    tied: bool = True


@dataclass(frozen=True)
class Figures:
    """What a variant reached; `iterations` and `cpu_s` say at what cost."""

    iterations: int
    cpu_s: float
    rebuilt_ms_ssim: float
    rebuilt_psnr: float
    rebuilt_octaves: float
    swapped_ms_ssim: float
    swapped_psnr: float
    degraded_ms_ssim: float
    degraded_psnr: float


@dataclass(frozen=True)
class SwapCrops:
    """Crops of the shot: the performer, the same degraded, the truth, all in model space; the truth's matte."""

    performer: Tensor
    degraded: Tensor
    truth: Tensor
    matte: Tensor


def variants(resolution: int) -> dict[str, Variant]:
    """The table, the recipe itself first."""
    straight = (*(0,) * size_level(resolution), 1)
    adam = {"optimiser": "adam", "learning_rate": 5e-4, "settle_learning_rate": 5e-6}
    plain = {"loss_span": 1.0, "detail_weight": 0.0, "l1_weight": 0.0, "eyes_mouth_weight": 1.0}
    published = {"optimiser": "adam", "settle_form": "step"} | plain
    similarity = dict.fromkeys(("jitter_degrees", "jitter_scale", "jitter_shift"), 0.0)
    return {
        "the recipe": Variant({}),
        "the recipe, another seed": Variant({"seed": 1}),
        "untied trunk": Variant({}, tied=False),
        "straight at full size": Variant({"iterations": straight}),
        "target-masked": Variant({"loss": "target-masked"}),
        "two personas": Variant({}, personas=("A", "B")),
        "joint update": Variant({"update": "joint"}),
        "no L1": Variant({"l1_weight": 0.0}),
        "SSIM for a span of 1": Variant({"loss_span": 1.0}),
        "no detail term": Variant({"detail_weight": 0.0}),
        "SSIM for a span of 1, no detail term": Variant({"loss_span": 1.0, "detail_weight": 0.0}),
        "texture term": Variant({"texture_weight": 1.0}),
        "eyes and mouth like the rest": Variant({"eyes_mouth_weight": 1.0}),
        "no light": Variant({"jitter_light": 0.0}),
        "mirror": Variant({"mirror": True}),
        "Adam 5e-4": Variant(adam),
        "Adam 1e-4, step, loss as published": Variant(published),
        "8 crops": Variant({"batch": 8}),
        "no similarity": Variant(similarity),
        "no exposure, no balance": Variant({"jitter_exposure": 0.0, "jitter_balance": 0.0}),
        "shape and warp": Variant({"jitter_shape": 0.006, "jitter_warp": 0.01}),
        "blur and grain": Variant({"jitter_blur": 0.006, "jitter_grain": 0.03}),
    }


def run(variant: Variant, base: TrainSettings, facesets: Path, crops: SwapCrops, cache: Path) -> Figures:
    """Train a variant and measure it. `cache`: where decoded crops are kept."""
    settings = replace(base, **variant.changes)
    work = Path(tempfile.mkdtemp(prefix="bodydouble-ablation-"))
    made: list[Comb] = []

    def build(dims: CombDims, names: tuple[str, ...]) -> Comb:
        made.append(Comb(dims, names) if variant.tied else UntiedComb(dims, names))
        return made[-1]

    folders = [facesets / name for name in variant.personas]
    started = time.process_time()
    try:
        with mock.patch.object(training, "Comb", build):
            for report in training.train(folders, work / "model.comb", settings, cache=cache, clock=time.process_time):
                print(f"  {report.size} px, {report.progress:.0%}, loss {report.loss:.4f}", file=sys.stderr, flush=True)
        spent = time.process_time() - started
        iterations = read_card(work / "model.comb").history[-1]["iterations"]
        store = CropStore(
            cache,
            by_persona([Faceset.load(folder) for folder in folders[:2]]),
            made[-1].dims.level,
            settings.held_out,
        )
        return Figures(iterations, round(spent, 1), *_rebuilt(made[-1], store, settings), *_swapped(made[-1], crops))
    finally:
        shutil.rmtree(work)


def _rebuilt(comb: Comb, store: CropStore, settings: TrainSettings) -> tuple[float, float, float]:
    """Means over personas A and B, which every variant has."""
    phase = Phase(comb.dims.level, 1.0, 0.0)
    reader = CropReader(replace(settings, precision="fp32"), ModelSpace(), store.reach, torch.device("cpu"))
    crops = {name: store.crops(name, comb.dims.level) for name in ("A", "B")}
    found = reconstruct(comb, crops, phase, reader)
    octaves = [_octaves(comb, reader.read(one, one.held_out, phase.level), name) for name, one in crops.items()]
    return (
        sum(one.ms_ssim for one in found.values()) / len(found),
        sum(one.psnr for one in found.values()) / len(found),
        sum(octaves) / len(octaves),
    )


@torch.no_grad()
def _octaves(comb: Comb, batch: Batch, persona: str) -> float:
    """Mean correlation of the two finest octaves of rebuilt crops with those of the crops, inside the matte."""
    result, truth, matte = comb(batch.shown, persona), batch.truth, batch.matte
    found = []
    for _ in range(2):
        halves = [F.avg_pool2d(one, 2) for one in (result, truth)]
        ours, theirs = (
            (one - F.interpolate(half, scale_factor=2, mode="bilinear")) * matte
            for one, half in zip((result, truth), halves, strict=True)
        )
        found.append(
            float((ours * theirs).sum() / (ours.square().sum() * theirs.square().sum()).sqrt().clamp_min(1e-9))
        )
        (result, truth), matte = halves, F.avg_pool2d(matte, 2)
    return sum(found) / len(found)


@torch.no_grad()
def _swapped(comb: Comb, crops: SwapCrops) -> tuple[float, float, float, float]:
    figures = []
    for shown in (crops.performer, crops.degraded):
        scores = []
        for one, truth, matte in zip(shown, crops.truth, crops.matte, strict=True):
            swap = comb(one[None], "A")[0]
            area = matte.sum().clamp_min(1e-6)
            gain = ((truth * matte).sum((1, 2)) / area) / ((swap * matte).sum((1, 2)) / area)
            swap = swap * gain[:, None, None]
            error = float((((swap - truth) ** 2) * matte).sum() / (3 * area))
            scores.append((float(ms_ssim(enlarged(swap * matte), enlarged(truth * matte))), -10 * math.log10(error)))
        figures += [sum(score[index] for score in scores) / len(scores) for index in (0, 1)]
    return figures[0], figures[1], figures[2], figures[3]


def swap_crops(resolution: int) -> SwapCrops:
    """The shot's crops at `resolution`."""
    shot = load_shot("sh010", synth_folder())
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for frame in FRAMES:
        matrix = crop_from_unit(resolution) @ unit_from_landmarks(shot.landmarks_px(frame, shot.performer))
        truth = shot.truth(frame, "A_on_B")

        def crop(picture: np.ndarray, matrix: np.ndarray = matrix) -> Tensor:
            planes = torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]
            return warp(planes, matrix, (resolution, resolution))[0]

        plate = read_plate(shot.plate.path(frame))
        seen = np.minimum(truth.matte, display_channel(plate, "matte.face"))
        found.append((crop(plate.rgb()), crop(truth.rgb), crop(seen[..., None])))
    performer, truth_light, mattes = (torch.stack([one[index] for one in found]) for index in range(3))
    light = torch.einsum("ij,njhw->nihw", REC709_TO_ACESCG, performer)
    goal = torch.einsum("ij,njhw->nihw", REC709_TO_ACESCG, truth_light)
    noise = torch.randn(light.shape, generator=torch.Generator().manual_seed(0))
    soft = gaussian(light, 0.004 * resolution)
    grainy = soft + 0.02 * soft.clamp_min(0).sqrt() * noise
    encoded = [to_model(one, ModelSpace()).clamp(0, 1) for one in (light, grainy, goal)]
    return SwapCrops(*encoded, mattes.clamp(0, 1))


def table(rows: Mapping[str, Figures]) -> str:
    """A Markdown table."""
    lines = [
        "| | iterations | CPU s | rebuilt MS-SSIM | dB | octaves | swapped MS-SSIM | dB | degraded MS-SSIM | dB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in rows.items():
        pairs = (
            (one.swapped_ms_ssim, one.swapped_psnr),
            (one.degraded_ms_ssim, one.degraded_psnr),
        )
        cells = " | ".join(f"{similar:.4f} | {psnr:.2f}" for similar, psnr in pairs)
        rebuilt = f"{one.rebuilt_ms_ssim:.4f} | {one.rebuilt_psnr:.2f} | {one.rebuilt_octaves:.3f}"
        lines.append(f"| {name} | {one.iterations} | {one.cpu_s:.0f} | {rebuilt} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facesets", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--batch", type=int, help="crops per persona; automatic by level if not given")
    parser.add_argument("--only", nargs="+", metavar="VARIANT")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    base = TrainSettings(
        resolution=options.resolution, width=options.width, batch=options.batch, settle=0.2, held_out=0.1,
        time_budget_s=options.seconds, checkpoint_every_s=1e9, preview_every_s=0, report_every_s=30,
    )  # fmt: skip
    done: dict[str, Figures] = {}
    if options.json and options.json.exists():
        done = {name: Figures(**one) for name, one in json.loads(options.json.read_text()).items()}
    cache = Path(tempfile.mkdtemp(prefix="bodydouble-crops-"))
    try:
        crops = swap_crops(options.resolution)
        for name, variant in variants(options.resolution).items():
            if name in done or (options.only and name not in options.only):
                continue
            print(name, file=sys.stderr, flush=True)
            done[name] = run(variant, base, options.facesets, crops, cache)
            if options.json:
                options.json.write_text(json.dumps({key: asdict(one) for key, one in done.items()}, indent=1) + "\n")
    except BodydoubleError as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(cache)
    print(table(done))


if __name__ == "__main__":
    main()
