"""The rendered shots with known answers: plates, perfect composites, mattes and landmarks of one shot.

*Convention*: the data counts pixels from the outer corner of the first one (its centre is 0.5), everything in
Bodydouble from its centre. `landmarks_px` converts, here and nowhere else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodydouble.errors import InputError
from bodydouble.plates.images import read_plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.reviews.quality import display_channel

VARIABLE = "BODYDOUBLE_SHARED"
HALF_PIXEL = 0.5
_CORE = 0.99  # of the face matte: where the tone of a face is taken


@dataclass(frozen=True)
class Truth:
    """The right answer of one frame: H×W×3 scene-linear Rec.709 and the H×W face matte, over the display window."""

    rgb: NDArray[np.float32]
    matte: NDArray[np.float32]


@dataclass(frozen=True)
class SynthShot:
    """One rendered shot. `performer` is the person in the plate; `versions` are the renders that exist."""

    folder: Path
    name: str
    performer: str
    versions: tuple[str, ...]
    frames: tuple[int, ...]
    records: Mapping[str, Any]
    gains: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Of a composite: the RGB gain that its persona's skin was multiplied by."""

    @property
    def plate(self) -> PlateSequence:
        """The plate: the performer."""
        return self.sequence(self.performer)

    def sequence(self, version: str) -> PlateSequence:
        """The frames of a version."""
        return PlateSequence(str(self.folder / version / f"{self.name}_{version}.####.exr"), self.frames)

    @property
    def personas(self) -> dict[str, str]:
        """Persona → the version that holds its truth: the composite where there is one, else the full render."""
        full = {version: version for version in self.versions if "_on_" not in version and version != self.performer}
        return full | {version.split("_on_")[0]: version for version in self.versions if "_on_" in version}

    def landmarks_px(self, frame: int, version: str) -> NDArray[np.float64]:
        """(68, 2) true landmarks in our pixel coordinates: (0, 0) is the centre of the first pixel."""
        return landmarks_px(self.records[str(frame)]["versions"][version])

    def tone_gain(self, version: str, frames: tuple[int, ...]) -> NDArray[np.float64]:
        """The RGB gain that gives a full render the performer's mean tone over the core of the face."""
        sums = np.zeros((2, 3))
        for frame in frames:
            full, plate = read_plate(self.sequence(version).path(frame)), read_plate(self.plate.path(frame))
            core = (display_channel(full, "matte.face") > _CORE) & (display_channel(plate, "matte.face") > _CORE)
            sums += [plate.rgb()[core].sum(axis=0), full.rgb()[core].sum(axis=0)]
        return np.asarray(sums[0] / sums[1])

    def truth(self, frame: int, version: str, gain: NDArray[np.float64] | None = None) -> Truth:
        """The perfect composite of a frame.

        A composite's file covers only its data window; outside it is the plate. Of a full render (`gain` given) the
        face alone is used, times the gain, laid over the plate by its face matte.
        """
        plate, donor = read_plate(self.plate.path(frame)), read_plate(self.sequence(version).path(frame))
        matte = display_channel(donor, "matte.face")
        if gain is None:
            return Truth(np.where(donor.inside()[..., None], donor.rgb(), plate.rgb()), matte)
        weight = matte[..., None]
        return Truth((weight * (donor.rgb() * gain) + (1 - weight) * plate.rgb()).astype(np.float32), matte)


@dataclass(frozen=True)
class TrainingFrame:
    """One training picture of a persona: 8-bit sRGB file, and true landmarks in our pixel coordinates."""

    path: Path
    landmarks_px: NDArray[np.float64]
    yaw_deg: float


def landmarks_px(record: Mapping[str, Any]) -> NDArray[np.float64]:
    """(68, 2) landmarks of a record, moved by the half pixel between the data's convention and ours."""
    return np.asarray(record["landmarks"], np.float64) - HALF_PIXEL


def synth_folder() -> Path:
    """The folder `synth`, in `$BODYDOUBLE_SHARED` or in `../shared` beside the repository. Raises InputError."""
    repository = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get(VARIABLE) or repository.parent / "shared") / "synth"
    if not folder.is_dir():
        raise InputError(
            f"{folder}: the rendered shots are missing. Name the folder that holds `synth` in ${VARIABLE}."
        )
    return folder


def load_shot(name: str, folder: Path) -> SynthShot:
    """A shot of the synth folder by name. Raises InputError that lists what is there."""
    path = folder / "shots" / name / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(entry.name for entry in (folder / "shots").iterdir() if entry.is_dir()))
        raise InputError(f"{path}: no such shot. There are: {known}.")
    data = json.loads(path.read_text(encoding="utf-8"))
    frames = tuple(sorted(int(frame) for frame in data["frames"]))
    versions = data["versions"]
    gains = {key: tuple(versions[key]["tone_gain"]) for key in versions if "tone_gain" in versions[key]}
    return SynthShot(path.parent, name, data["performer"], tuple(versions), frames, data["frames"], gains)


def shot_names(folder: Path) -> tuple[str, ...]:
    """All shots of the synth folder."""
    return tuple(sorted(path.stem for path in (folder / "shots").glob("*/*.json")))


def training_frames(persona: str, folder: Path, max_yaw_deg: float, count: int) -> list[TrainingFrame]:
    """Up to `count` training pictures of a persona with a yaw below the limit, spread evenly over them."""
    data = json.loads((folder / "train" / f"{persona}.json").read_text(encoding="utf-8"))
    near = [record for record in data["frames"] if abs(record["yaw_pitch_roll"][0]) < max_yaw_deg]
    picks = np.unique(np.linspace(0, len(near) - 1, count).round().astype(int))
    return [
        TrainingFrame(folder / "train" / near[i]["image"], landmarks_px(near[i]), near[i]["yaw_pitch_roll"][0])
        for i in picks
    ]
