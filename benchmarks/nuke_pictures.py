"""The pictures of docs/nuke.md, made of the demo shot: no Nuke was photographed, so none is shown.

    python benchmarks/nuke_pictures.py --faces shot.faces.json --swap swap --patch patch -o docs/nuke

`swap` and `patch` are what `bodydouble swap … --layers --patch …` wrote for at least the frame 1019.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
import tkinter
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch

from bodydouble.alignment.corrections import correct_shot, read_corrections
from bodydouble.alignment.geometry import similarity_parts, translation
from bodydouble.alignment.shotfaces import ShotFaces, read_shot_faces
from bodydouble.demo import BUNDLED
from bodydouble.exports.handover import Handover, find_handover, handover_text, outline_px
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.settings import SwapSettings

FRAME = 1019
COLOURS = {"Read": "#c8b26a", "Roto": "#5a8a5a", "CornerPin2D": "#8f6a9e", "Transform": "#8f6a9e"}


def seen(path: Path) -> np.ndarray:
    """A frame as on a display, H×W×3 in 0..1."""
    plate = read_plate(path)
    colour = Colour(None)
    to_display = colour.converter(colour.space_of(plate.attributes, plate.path), "sRGB - Texture")
    return np.clip(to_display(plate.rgb(plate.main.data_region)), 0, 1)


def shown(axes: plt.Axes, picture: np.ndarray, title: str, **options: object) -> None:
    axes.imshow(picture, **options)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()


def save(figure: plt.Figure, path: Path) -> None:
    figure.savefig(path, dpi=100, bbox_inches="tight", pad_inches=0.05, facecolor="white")
    plt.close(figure)


def first_swap(plate: Path, result: Path, out: Path) -> None:
    """Plate, result, and the layers that come with it."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 5.9), layout="constrained")
    shown(axes[0, 0], seen(plate), "plate")
    shown(axes[0, 1], seen(result), "result")
    main = read_plate(result).main
    shown(axes[1, 0], main.channel("bodydouble.matte"), "layer bodydouble: matte", cmap="gray", vmin=0, vmax=1)
    face = np.stack([main.channel(f"bodydouble.face.{name}") for name in "RGB"], -1)
    shown(axes[1, 1], np.clip(face, 0, 1) ** (1 / 2.2), "layer bodydouble_face: the swap, not yet blended")
    save(figure, out / "first_swap.png")


def hold_out(plate: Path, result: Path, out: Path) -> None:
    """What the holdout input does: the node's own formula, on a hand drawn as a shape."""
    before, after = seen(plate), seen(result)
    height, width = before.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    box = np.argwhere(np.abs(before - after).sum(-1) > 0.02)
    (top, left), (bottom, right) = box.min(0), box.max(0)
    centre_x, centre_y = left + 0.78 * (right - left), top + 0.78 * (bottom - top)
    distance = np.hypot((x - centre_x) / (0.28 * (right - left)), (y - centre_y) / (0.32 * (bottom - top)))
    hand = np.clip((1.08 - distance) / 0.16, 0, 1)
    mixed = before + (after - before) * (1 - hand[..., None])
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), layout="constrained")
    margin = (slice(max(0, top - 60), bottom + 30), slice(max(0, left - 160), right + 160))
    before, after, hand, mixed = (picture[margin] for picture in (before, after, hand, mixed))
    shown(axes[0], after, "without")
    shown(axes[1], hand, "holdout: where the plate must stay", cmap="gray", vmin=0, vmax=1)
    shown(axes[2], mixed, "with: plate below right, result elsewhere")
    save(figure, out / "hold_out.png")


def wobble(shot: ShotFaces, plate: Path, out: Path) -> None:
    """A wobble made for this picture, and the shot after its frame was placed by hand."""
    frames = sorted(shot.frames)
    bad = frames[len(frames) // 2]
    shaken = dict(shot.frames)
    face = shot.frames[bad][0]
    fixes = out / "wobble.fix.json"
    scale, angle, centre = similarity_parts(face.unit_from_plate)
    crop = {"centre_px": centre.tolist(), "side_px": 1 / scale, "angle_deg": -float(np.degrees(angle))}
    moved = face.landmarks_px + np.array([9.0, -5.0])
    matrix = face.unit_from_plate @ translation(-9.0, 5.0)
    shaken[bad] = (type(face)(face.box_px, moved, face.score, 0.3, face.person, False, matrix),)
    wrong = ShotFaces(shot.plate, shot.width, shot.height, shaken, shot.pixel_aspect, shot.settings, shot.tool)
    entries = {bad - 1: {"person": 0}, bad: {"person": 0, "crop": crop}, bad + 1: {"person": 0}}
    document = {"frames": {str(frame): [entry] for frame, entry in entries.items()}, "fade": 1, "version": 1}
    fixes.write_text(json.dumps({"schema": "bodydouble.corrections", **document}), encoding="utf-8")
    mended = correct_shot(wrong, read_corrections(fixes))
    fixes.unlink()
    figure, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained", width_ratios=(1, 1.6))
    shown(axes[0], seen(plate), f"frame {bad}: outline wrong (red), placed (green)")
    for faces, line in ((wrong, "#e04040"), (mended, "#40d060")):
        ring = outline_px(faces.frames[bad][0], 0.6)
        axes[0].plot(*np.vstack([ring, ring[:1]]).T, color=line, linewidth=1.2)
    (left, top), (right, bottom) = face.landmarks_px.min(0) - 60, face.landmarks_px.max(0) + 20
    axes[0].set(xlim=(left, right), ylim=(bottom, top))
    for faces, line, name in ((wrong, "#e04040", "before"), (mended, "#209040", "after")):
        corner = [faces.frames[frame][0].landmarks_px[36, 0] for frame in frames]
        axes[1].plot(frames, corner, color=line, label=name, marker=".")
    axes[1].set(xlabel="frame", ylabel="outer eye corner, x in pixels")
    axes[1].legend(frameon=False)
    save(figure, out / "wobble.png")


def graph(handover: Handover, out: Path) -> None:
    """The nodes of a hand-over script, drawn from the script itself."""
    text = handover_text(handover, out.resolve())
    nodes, stack, links = {}, [], []
    for kind, body in re.findall(r"^(\w+) \{\n(.*?)^\}", text, re.M | re.S):
        found = [re.search(rf"^ {knob} (\S+)", body, re.M) for knob in ("name", "xpos", "ypos")]
        if all(found):
            name, x, y = (match[1] for match in found)
            nodes[name] = (kind, int(x), int(y))
    for line in re.findall(r"^(?:push \$N(\S+)|set N\S+ .*|(\w+) \{)$|^ name (\S+)$", text, re.M):
        if line[0]:
            stack.append(line[0])
        elif line[2]:
            links += [(source, line[2]) for source in stack]
            stack = []
    figure, axes = plt.subplots(figsize=(10, 7.2), layout="constrained")
    for source, target in links:
        if source in nodes and target in nodes:
            (_, x0, y0), (_, x1, y1) = nodes[source], nodes[target]
            axes.plot([x0, x1], [-y0, -y1], color="#888888", linewidth=0.9, zorder=1)
    for name, (kind, x, y) in nodes.items():
        box = FancyBboxPatch((x - 88, -y - 16), 176, 32, "round,pad=2,rounding_size=6")
        box.set(facecolor=COLOURS.get(kind, "#a8a8a8"), zorder=2, linewidth=0.6)
        axes.add_patch(box)
        axes.text(x, -y, f"{name}\n{kind}", ha="center", va="center", fontsize=6.5, zorder=3)
    axes.set_aspect("equal")
    axes.autoscale_view()
    axes.set_axis_off()
    save(figure, out / "graph.png")


def panel(gizmo: Path, out: Path) -> None:
    """The node's tabs, drawn from the gizmo itself: every knob with its label and what it begins with."""
    words = tkinter.Tcl().splitlist
    lines = gizmo.read_text(encoding="utf-8").split("\n}\n", 1)[0].splitlines()
    tabs: dict[str, list[tuple[str, str, str]]] = {}
    values = dict(line.strip().split(" ", 1) for line in lines if re.match(r" [a-z_]+ \S", line))
    for line in lines:
        if not line.startswith(" addUserKnob "):
            continue
        kind, name, *rest = words(line.split(" ", 2)[2][1:-1])
        if "+INVISIBLE" in rest:
            continue
        said = {key: rest[rest.index(key) + 1] for key in ("l", "M", "T") if key in rest}
        if kind == "20":
            tabs[said["l"]] = []
            continue
        value = words(said["M"])[0] if "M" in said else values.get(name, {"7": "0", "3": "0"}.get(kind, ""))
        tabs[list(tabs)[-1]].append((kind, said.get("l", name), value.strip("{}")))
    tall = [max(map(len, list(tabs.values())[start : start + 3])) for start in (0, 3)]
    figure, axes = plt.subplots(2, 3, figsize=(9, 0.28 * sum(tall) + 1), layout="constrained", height_ratios=tall)
    for index, (tab, knobs) in enumerate(tabs.items()):
        axis = axes.flat[index]
        axis.set(xlim=(0, 1), ylim=(tall[index // 3] + 0.2, -0.8))
        axis.set_title(tab, fontsize=10, loc="left", fontweight="bold")
        axis.set_axis_off()
        for row, (kind, label, value) in enumerate(knobs):
            _knob(axis, row, kind, label, value)
    save(figure, out / "panel.png")


def _knob(axes: plt.Axes, row: int, kind: str, label: str, value: str) -> None:
    """One line of a tab: a button, a tick, a text, or a label with a field."""
    label = "\n".join(textwrap.wrap(label, 34 if kind == "6" else 19)) if kind != "22" else label
    if kind == "22":
        axes.add_patch(
            FancyBboxPatch((0.3, row - 0.3), 0.66, 0.6, "round,pad=0,rounding_size=0.1", fc="#dcdcdc", lw=0.5)
        )
        axes.text(0.63, row, label, ha="center", va="center", fontsize=7)
        return
    if kind == "6":
        axes.text(
            0.02, row, f"[{'x' if value == 'true' else '  '}]  {label}", va="center", fontsize=7, linespacing=0.85
        )
        return
    axes.text(0.42, row, label, ha="right", va="center", fontsize=7, linespacing=0.85)
    if kind != "26":
        axes.add_patch(FancyBboxPatch((0.46, row - 0.3), 0.5, 0.6, "square,pad=0", fc="white", ec="#999999", lw=0.5))
        shown_value = value if len(value) < 17 else value[:15] + "…"
        axes.text(0.48, row, shown_value + ("  ▾" if kind == "4" else ""), va="center", fontsize=7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--faces", "--swap", "--patch", "-o"):
        parser.add_argument(name, required=True, dest=name.strip("-"))
    asked = parser.parse_args()
    out = Path(asked.o)
    out.mkdir(parents=True, exist_ok=True)
    sequence = PlateSequence.find(BUNDLED / "sh010")
    plate, result = sequence.path(FRAME), PlateSequence.find(asked.swap).path(FRAME)
    shot = read_shot_faces(asked.faces)
    panel(Path(__file__).parent.parent / "nuke_plugin" / "gizmos" / "BodyDouble.gizmo", out)
    first_swap(plate, result, out)
    hold_out(plate, result, out)
    wobble(shot, sequence.path(sorted(shot.frames)[len(shot.frames) // 2]), out)
    graph(find_handover(sequence, Path(asked.faces), None, asked.swap, asked.patch, SwapSettings()), out)


if __name__ == "__main__":
    main()
