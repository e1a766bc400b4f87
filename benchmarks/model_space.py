"""Which model space recovers more skin detail: the product's curve or a pure log curve?

Two combs of one persona set, alike but for the curve, train for the same time on the same crops; held-out crops are
then reconstructed and compared in scene-linear light. Detail is what a Gaussian of 2 % of the crop takes away, divided
by the local mean, so that it means contrast and does not depend on exposure:

* ``detail``: share of the true detail that the reconstruction has (its projection on the truth; 1 is all),
* ``detail error``: RMS difference of the two details (contrast, lower is better),
* ``light error``: RMS of the log2 ratio of the local means, in stops.

Usage: python benchmarks/model_space.py FACESET… [--seconds 240] [--resolution 64] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bodydouble.network.checkpoint import load_comb
from bodydouble.plates import modelspace
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.settings import TrainSettings
from bodydouble.swap.matte import gaussian
from bodydouble.training import augmenting, training
from bodydouble.training.facesets import Faceset

BLACK_STOPS, WHITE_STOPS = -10.0, 4.0
HELD_OUT = 10  # every tenth crop


def to_log(linear: Any, _space: ModelSpace) -> Any:
    """Pure log: 14 stops from 2^-10 to 16 in [0, 1]."""
    stops = torch.log2(linear.clamp_min(0) + 2.0**BLACK_STOPS)
    return (stops - BLACK_STOPS) / (math.log2(16 + 2.0**BLACK_STOPS) - BLACK_STOPS)


def from_log(encoded: Any, _space: ModelSpace) -> Any:
    """Inverse of `to_log`."""
    return torch.exp2(encoded * (math.log2(16 + 2.0**BLACK_STOPS) - BLACK_STOPS) + BLACK_STOPS) - 2.0**BLACK_STOPS


CURVES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "curve": (modelspace.to_model, modelspace.from_model),
    "log": (to_log, from_log),
}


def split(folder: Path, out: Path) -> tuple[Path, Tensor]:
    """A faceset without its held-out crops, and those crops, N×4×S×S float32."""
    document = json.loads((folder / "faceset.json").read_text())
    faceset = Faceset.load(folder)
    held = torch.stack([faceset.crop(path) for path in faceset.crops[::HELD_OUT]]).float()
    document["crops"] = [entry for index, entry in enumerate(document["crops"]) if index % HELD_OUT]
    target = out / folder.name
    target.mkdir(parents=True)
    (target / "crops").symlink_to((folder / "crops").resolve())
    (target / "faceset.json").write_text(json.dumps(document))
    return target, held


def figures(result: Tensor, truth: Tensor, matte: Tensor) -> dict[str, float]:
    """See the module docstring; N×3×S×S scene-linear light, N×1×S×S matte."""
    weight = (matte > 0.99).float()
    sigma = 0.02 * truth.shape[-1]
    mean = [gaussian(image.clamp_min(0), sigma).clamp_min(1e-4) for image in (result, truth)]
    detail = [(image - blurred) / blurred for image, blurred in zip((result, truth), mean, strict=True)]
    total = weight.sum() * 3
    share = (detail[0] * detail[1] * weight).sum() / (detail[1].square() * weight).sum()
    error = ((detail[0] - detail[1]).square() * weight).sum() / total
    light = (torch.log2(mean[0] / mean[1]).square() * weight).sum() / total
    return {"detail": float(share), "detail error": float(error.sqrt()), "light error": float(light.sqrt())}


def measure(name: str, facesets: list[Path], seconds: float, resolution: int, work: Path) -> dict[str, float]:
    """Train with one curve and reconstruct the held-out crops."""
    encode, decode = CURVES[name]
    parts = [split(folder, work / name) for folder in facesets]
    augmenting.to_model = encode
    settings = TrainSettings(
        resolution=resolution, width=0.25, time_budget_s=seconds, batch=4, learning_rate=5e-4, settle=0.12,
        settle_learning_rate=5e-5, settle_form="step", optimiser="adam", l1_weight=0.5, held_out=0.0,
        checkpoint_every_s=1e9, report_every_s=30, seed=1,
    )  # fmt: skip
    model = work / name / "model.comb"
    for report in training.train([folder for folder, _ in parts], model, settings):
        print(f"{name}: {report.size} px, {report.progress:.0%}, loss {report.loss:.4f}", flush=True)
    personas = [Faceset.load(folder).persona for folder, _ in parts]
    comb, card = load_comb(model, personas)
    pad = Faceset.load(parts[0][0]).pad
    scores = []
    for persona, (_, held) in zip(personas, parts, strict=True):
        crops = F.interpolate(held[..., pad:-pad, pad:-pad], size=(resolution,) * 2, mode="bilinear", antialias=True)
        light, matte = crops[:, :3].contiguous(), crops[:, 3:].contiguous()
        with torch.inference_mode():
            swap = comb(encode(light, card.model_space).clamp(0, 1), persona)
        scores.append(figures(decode(swap, card.model_space), light, matte))
    return {key: sum(score[key] for score in scores) / len(scores) for key in scores[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facesets", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--curves", nargs="+", choices=CURVES, default=list(CURVES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp())
    try:
        table = {
            name: measure(name, options.facesets, options.seconds, options.resolution, work) for name in options.curves
        }
    finally:
        shutil.rmtree(work)
    print(f"\n{'':8}" + "".join(f"{key:>14}" for key in next(iter(table.values()))))
    for name, row in table.items():
        print(f"{name:8}" + "".join(f"{value:14.4f}" for value in row.values()))
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
