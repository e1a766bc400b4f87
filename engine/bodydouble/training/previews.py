"""Preview pictures of a training: every persona's crop through every decoder, all P² paths at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from bodydouble.network.comb import Comb
from bodydouble.network.devices import run_on
from bodydouble.plates.images import write_image
from bodydouble.plates.modelspace import from_model
from bodydouble.reviews.quality import display_code, rec709_from_acescg
from bodydouble.training.cropstore import PersonaCrops
from bodydouble.training.schedule import Phase
from bodydouble.training.validating import CropReader

LARGEST_GRID = 8
"""Personas shown; with more the first ones."""
SMALLEST_CELL, LARGEST_CELL = 64, 256


@torch.no_grad()
def preview_grid(comb: Comb, crops: Mapping[str, PersonaCrops], phase: Phase, reader: CropReader) -> np.ndarray:
    """H×W×3 display code values: a row per performer, the crop first, then as each persona; a grey line between them.

    Held-out crops are shown where there are any.
    """
    names = list(crops)[:LARGEST_GRID]
    rows = []
    for name in names:
        one = crops[name]
        index = (one.held_out if len(one.held_out) else one.trained)[:1]
        shown = reader.read(one, index, phase.level).shown
        with run_on(reader.device, reader.settings.precision):
            latent = comb.encode(shown, phase.level, phase.alpha)
            swaps = [comb.decode(latent, persona, phase.level, phase.alpha).float() for persona in names]
        rows.append(np.concatenate([_cell(picture, reader) for picture in (shown, *swaps)], axis=1))
    return np.concatenate(rows, axis=0)


def write_preview(path: Path, comb: Comb, crops: Mapping[str, PersonaCrops], phase: Phase, reader: CropReader) -> None:
    """Write the grid as an 8-bit picture. Raises OutputError if it cannot be written."""
    write_image(path, preview_grid(comb, crops, phase, reader))


def _cell(picture: torch.Tensor, reader: CropReader) -> np.ndarray:
    """1×3×S×S in model space as S'×S'×3 display code values with a line on the right and below."""
    size = min(LARGEST_CELL, max(SMALLEST_CELL, picture.shape[-1]))
    linear = from_model(picture.cpu(), reader.space)
    if size > picture.shape[-1]:
        linear = F.interpolate(linear, size=size, mode="nearest")
    elif size < picture.shape[-1]:
        linear = F.interpolate(linear, size=size, mode="bilinear", antialias=True)
    code = display_code(rec709_from_acescg(linear[0].permute(1, 2, 0).contiguous().numpy()))
    return np.pad(code, ((0, 2), (0, 2), (0, 0)), constant_values=0.5)
