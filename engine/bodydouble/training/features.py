"""Where eyes and mouth are in training crops, so that the loss can make them count for more.

They take a tenth of a face, and an audience looks at little else. A crop's map is 1 at each landmark of the eyes (37 to
48) and of the lips (49 to 68), and falls off from the nearest of them as a Gaussian: lids and the skin right around
belong to it, and a closed eye has as much as an open one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bodydouble.errors import FacesetError
from bodydouble.settings import TrainSettings
from bodydouble.training.facesets import Faceset

MAP_SIZE = 64
REACH = 0.03
"""Sigma of the Gaussian, in sides of the unit crop; an eye is 0.12 wide."""
FIRST_LEVEL = 3
"""Smaller pictures have no eyes to speak of."""
_FIRST_POINT = 36
_CHUNK = 64


def feature_maps(landmarks: Tensor, settings: TrainSettings, level: int, reach: float) -> Tensor | None:
    """Maps of crops that reach `reach` sides beyond the unit crop, N×1×64×64 float16; None if eyes count like the rest.

    Args:
        landmarks: N×68×2 in sides of the unit crop, on the device where the maps are wanted.
    """
    if settings.eyes_mouth_weight == 1 or level < FIRST_LEVEL:
        return None
    axis = (torch.arange(MAP_SIZE, device=landmarks.device) + 0.5) / MAP_SIZE * (1 + 2 * reach) - reach
    places = torch.cartesian_prod(axis, axis).flip(1)  # x, y of each pixel, row after row
    maps = [
        torch.exp(torch.cdist(places, some[:, _FIRST_POINT:]).amin(2).square() / (-2 * REACH**2))
        for some in landmarks.split(_CHUNK)
    ]
    return torch.cat(maps).view(-1, 1, MAP_SIZE, MAP_SIZE).half()


def require_landmarks(facesets: Mapping[str, Sequence[Faceset]], settings: TrainSettings) -> None:
    """Check that eyes and mouth can be found where they are to count for more.

    Raises:
        FacesetError: a faceset has crops of an earlier version, without landmarks.
    """
    if settings.eyes_mouth_weight == 1:
        return
    for one in (one for parts in facesets.values() for one in parts):
        if any(points is None for points in one.landmarks):
            raise FacesetError(
                f"{one.folder} has crops without landmarks, extracted by an earlier version; extract it again, "
                "or let eyes and mouth count like the rest (--eyes-mouth-weight 1)."
            )
