"""A face placed by hand, a model and facesets small enough for a test: what several test modules use."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
import torch

from bodydouble.alignment.geometry import CANONICAL_LANDMARKS, EYE_LINE, INTEROCULAR, apply
from bodydouble.alignment.shotfaces import Face, ShotFaces, write_shot_faces
from bodydouble.network.checkpoint import CombCard, PersonaCard, save_comb
from bodydouble.network.comb import Comb, CombDims
from bodydouble.plates.images import write_image
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.settings import TrainSettings

TINY_TRAINING = TrainSettings(
    resolution=16,
    width=1 / 64,
    iterations=4,
    batch=2,
    learning_rate=2e-3,
    settle_learning_rate=1e-3,
    loss_span=1.0,
    detail_weight=0.0,
    l1_weight=0.0,
    optimiser="adam",
    precision="fp32",
    device="cpu",
    checkpoint_every_s=1e9,
    report_every_s=0.0,
)
COLOURS = {"anna": (0.6, 0.2, 0.1), "ben": (0.1, 0.3, 0.7)}


def face_at(x: float, y: float, side: float, angle: float = 0.0, confidence: float = 1.0) -> Face:
    """A canonical face whose crop is `side` pixels wide and centred at (x, y)."""
    cosine, sine = side * np.cos(angle), side * np.sin(angle)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])
    centred = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
    plate_from_unit = np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]) @ turn @ centred
    points = apply(plate_from_unit, CANONICAL_LANDMARKS)
    box = np.array([*points.min(axis=0), *points.max(axis=0)])
    return Face(box, points, 1.0, confidence, unit_from_plate=np.linalg.inv(plate_from_unit))


def tiny_comb(
    folder: Path,
    seed: int = 3,
    level: int = 3,
    personas: tuple[str, ...] = ("anna",),
    noted: Container[str] = (),
    dtype: torch.dtype = torch.float16,
) -> Path:
    """An untrained model. `noted`: personas of whom it says where their latents lie."""
    torch.manual_seed(seed)
    dims = CombDims(level=level, width=1 / 64)
    card = CombCard(dims, ModelSpace(), INTEROCULAR, EYE_LINE, 0.7, tuple(map(PersonaCard, personas)))
    comb = Comb(dims, card.names)
    for name in personas:
        if name in noted:
            comb.personas[name].add_latents(torch.randn(dims.channels(0)), 7)  # type: ignore[operator]
    save_comb(folder, comb, card, dtype)
    return folder


def tiny_shot(folder: Path, frames: Sequence[int] = range(1001, 1005), without_face: Container[int] = ()) -> list[str]:
    """Plates, shot faces and a model in a folder; returns the words of the swap command, all but the output."""
    for frame in frames:
        pixels = np.random.default_rng(frame).uniform(0, 1, (80, 96, 4)).astype(np.float32)
        attributes = {"colorInteropID": "lin_rec709_scene"}
        write_image(folder / "plates" / f"plate.{frame}.exr", pixels, attributes=attributes, compression="zip")
    faces = {frame: () if frame in without_face else (face_at(48, 42, 60),) for frame in frames}
    pattern = str(folder / "plates" / "plate.####.exr")
    write_shot_faces(folder / "shot.faces.json", ShotFaces(pattern, 96, 80, faces))
    model = tiny_comb(folder / "cast.comb")
    return ["swap", pattern, "--faces", str(folder / "shot.faces.json"), "--model", str(model), "--persona", "anna"]


def tiny_faceset(
    folder: Path,
    persona: str,
    *,
    size: int = 24,
    pad: int = 4,
    crops: int = 4,
    primaries: str = "ACEScg",
    forehead: float = 0.7,
    rights: object = None,
) -> Path:
    """A faceset of `crops` pictures: the persona's colour under stripes that differ from crop to crop."""
    side = size + 2 * pad
    entries = []
    for number in range(crops):
        stripes = 0.5 + 0.4 * np.sin(np.arange(side) / (2 + number))
        rgb = np.asarray(COLOURS.get(persona, (0.5, 0.5, 0.5))) * stripes[:, None, None] * np.ones((side, side, 1))
        matte = np.zeros((side, side, 1))
        matte[side // 4 : -side // 4, side // 4 : -side // 4] = 1
        name = f"{persona}_{number:04d}.exr"
        write_image(
            folder / "crops" / name, np.concatenate([rgb, matte], 2).astype(np.float32), ("R", "G", "B", "matte")
        )
        landmarks = np.round(CANONICAL_LANDMARKS, 4).tolist()
        entries.append({"file": name, "plate": name, "frame": number, "landmarks": landmarks})
    document = {
        "schema": "bodydouble.faceset",
        "version": 1,
        "persona": persona,
        "size": size,
        "pad": pad,
        "primaries": primaries,
        "forehead": forehead,
        "rights": rights,
        "crops": entries,
    }
    (folder / "faceset.json").write_text(json.dumps(document))
    return folder
