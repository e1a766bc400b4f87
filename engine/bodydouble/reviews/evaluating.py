"""Swapped frames of any tool measured by one fixed protocol, with the true picture or without it.

What is measured in one frame is in `scoring`; here are the results' frames in order, what they tell over time, and
what only the whole series tells. Figures and their directions: `evaluationtable.FIGURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bodydouble.alignment.faces import FaceFinder
from bodydouble.errors import BodydoubleError, InputError, UsageError
from bodydouble.plates.reading import read_frame
from bodydouble.plates.sequences import PlateSequence
from bodydouble.reviews import likeness, quality
from bodydouble.reviews.scoring import (
    Scene,
    Scores,
    Seen,
    Setting,
    known,
    light_of,
    read_scene,
    score_against_plate,
    score_against_truth,
    score_identity,
    see,
    true_light,
)
from bodydouble.settings import SwapSettings


@dataclass(frozen=True)
class Entry:
    """One thing to evaluate: frames that somebody made from the plate.

    Attributes:
        name: of its row.
        frames: the swapped sequence.
        persona: who ought to be seen in it, one of the people; None without people.
        truth: what it ought to look like; None where nobody knows. The plate itself for a self-swap.
    """

    name: str
    frames: PlateSequence
    persona: str | None = None
    truth: PlateSequence | None = None


@dataclass(frozen=True)
class Evaluation:
    """What became of one entry."""

    entry: Entry
    frames: tuple[Scores, ...]


def self_swap(
    setting: Setting,
    frames: Sequence[int],
    model: Path,
    performer: str,
    folder: Path,
    device: str,
    production: str | None,
) -> Entry:
    """Swap the performer with their own persona into `folder`: what the network and the blend lose, with a known truth.

    Errors: as `swap_sequence`.
    """
    from bodydouble.swap.swapping import swap_sequence  # loads the network's modules only when one is evaluated

    out = PlateSequence.output(folder, like=setting.plate)
    looked, settings = (setting.plate, out, model, performer), SwapSettings(layers=True)
    done = swap_sequence(
        *looked, setting.shot, frames, setting.colour, setting.colorspace, settings,
        device=device, person=setting.person, production=production, overwrite=True,
    )  # fmt: skip
    for _ in done:
        pass
    return Entry("self-swap", out, performer if performer in setting.people else None, setting.plate)


@dataclass(frozen=True, eq=False)
class _Moment:
    """What later frames ask of a frame: aligned crops, and landmarks where the head stands still, (68, 2)."""

    scores: Scores
    result: NDArray[np.float32]
    plate: NDArray[np.float32]
    truth: NDArray[np.float32] | None
    weight: NDArray[np.float32]
    landmarks: NDArray[np.float64]
    plate_landmarks: NDArray[np.float64]
    truth_landmarks: NDArray[np.float64] | None


def evaluate(
    entries: Sequence[Entry],
    setting: Setting,
    frames: Sequence[int],
    finder: FaceFinder,
    on_frame: Callable[[int], None] | None = None,
) -> tuple[Evaluation, ...]:
    """Measure the entries frame by frame; `on_frame` is called with each frame's number when it is done.

    Raises:
        UsageError: two entries of one name, or a persona that is not among the people.
        InputError: a frame of the plate or of a truth cannot be read, or no entry has any frame.
    """
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise UsageError(f"two results are called {max(names, key=names.count)!r}; give each its own name.")
    for entry in entries:
        if setting.people and entry.persona is not None and entry.persona not in setting.people:
            known = ", ".join(setting.people)
            raise UsageError(f"nobody knows what {entry.persona!r} looks like; there are: {known}. Add --people.")
        if not any(entry.frames.exists(frame) for frame in frames):
            raise InputError(f"{entry.frames.pattern}: holds none of the {len(frames)} frames to evaluate.")
    kept: dict[str, list[_Moment | Scores]] = {entry.name: [] for entry in entries}
    for frame in frames:
        scene = read_scene(setting, frame, finder)
        if scene is not None:
            truths = cache(partial(_true_picture, setting, scene, finder))
        for entry in entries:
            history = kept[entry.name]
            if scene is None:
                history.append(Scores(frame, "no_face", "the shot faces have no face here"))
            else:
                history.append(_measure(entry, setting, scene, finder, truths, _consecutive(history, frame)))
                _forget(history)
        if on_frame is not None:
            on_frame(frame)
    return tuple(Evaluation(entry, tuple(_with_series(kept[entry.name]))) for entry in entries)


def _measure(
    entry: Entry,
    setting: Setting,
    scene: Scene,
    finder: FaceFinder,
    truths: Callable[[PlateSequence], tuple[Seen, NDArray[np.float32]]],
    history: Sequence[_Moment],
) -> _Moment | Scores:
    if not entry.frames.exists(scene.frame):
        return Scores(scene.frame, "missing", f"no file {entry.frames.path(scene.frame).name}")
    try:
        result = read_frame(entry.frames, scene.frame)
        if (result.width, result.height) != (scene.plate.width, scene.plate.height):
            sizes = f"{result.width}×{result.height}, the plate {scene.plate.width}×{scene.plate.height}"
            return Scores(scene.frame, "unreadable", f"the picture is {sizes}")
        seen = see(light_of(result, scene.region, setting), scene.unit_from_region, finder)
    except BodydoubleError as error:
        return Scores(scene.frame, "unreadable", str(error))
    scores, truth = score_against_plate(scene, result, seen), None
    if setting.people and entry.persona is not None:
        scores = score_identity(scores, entry.persona, setting.people, scene, seen, finder)
    if entry.truth is not None:
        truth, weight = truths(entry.truth)
        scores = score_against_truth(scores, scene, seen, truth, weight)
    now = _moment(scores, scene, seen, truth)
    return replace(now, scores=_over_time([*history, now]))


def _true_picture(
    setting: Setting, scene: Scene, finder: FaceFinder, sequence: PlateSequence
) -> tuple[Seen, NDArray[np.float32]]:
    light, weight = true_light(sequence, setting, scene)
    return see(light, scene.unit_from_region, finder), weight


def _moment(scores: Scores, scene: Scene, seen: Seen, truth: Seen | None) -> _Moment:
    return _Moment(
        scores,
        seen.crop,
        scene.seen.crop,
        None if truth is None else truth.crop,
        scene.crop_weight,
        seen.landmarks_px,
        scene.seen.landmarks_px,
        None if truth is None else truth.landmarks_px,
    )


def _consecutive(history: Sequence[_Moment | Scores], frame: int) -> list[_Moment]:
    """Up to two moments that lead to `frame` without a gap."""
    leading: list[_Moment] = []
    for back, one in enumerate(reversed(history[-2:]), start=1):
        if not isinstance(one, _Moment) or one.scores.frame != frame - back:
            break
        leading.insert(0, one)
    return leading


def _forget(history: list[_Moment | Scores]) -> None:
    """Pictures are needed for two frames, landmarks for all: a long shot must fit into memory."""
    if len(history) > 2 and isinstance(old := history[-3], _Moment):
        none = np.zeros((0, 0, 3), np.float32)
        history[-3] = replace(old, result=none, plate=none, truth=None, weight=none[..., 0])


def _over_time(moments: Sequence[_Moment]) -> Scores:
    """The scores of the last moment, with what the two before it tell."""
    now, scores = moments[-1], moments[-1].scores
    if len(moments) > 1:
        pair = moments[-2:]
        weights, results = [one.weight for one in pair], [one.result for one in pair]
        scores = replace(scores, flicker=known(quality.flicker(results, [one.plate for one in pair], weights)))
        truths = [one.truth for one in pair if one.truth is not None]
        if len(truths) == 2:
            scores = replace(scores, truth_flicker=known(quality.flicker(results, truths, weights)))
    if len(moments) > 2:
        before, middle, after = (one.result - one.plate for one in moments)
        scores = replace(
            scores,
            wobble=known(quality.wobble(before, middle, after, now.weight)),
            jitter=float(
                likeness.jitters(
                    np.stack([one.landmarks for one in moments]), np.stack([one.plate_landmarks for one in moments])
                )[0]
            ),
        )
    return scores


def _with_series(history: Sequence[_Moment | Scores]) -> Iterator[Scores]:
    """The scores of all frames, with what only the whole series tells: pose and expression."""
    moments = [one for one in history if isinstance(one, _Moment)]
    measured: dict[int, Scores] = {one.scores.frame: one.scores for one in moments}
    if len(moments) > 1:
        result = np.stack([one.landmarks for one in moments])
        plate = np.stack([one.plate_landmarks for one in moments])
        pose, expression = likeness.pose_errors(result, plate), likeness.expression_errors(result, plate)
        truths = [one.truth_landmarks for one in moments if one.truth_landmarks is not None]
        true_pose = likeness.pose_errors(result, np.stack(truths)) if len(truths) == len(moments) else None
        for index, (frame, scores) in enumerate(measured.items()):
            measured[frame] = replace(
                scores,
                pose=float(pose[index]),
                expression=float(expression[index]),
                truth_pose=None if true_pose is None else float(true_pose[index]),
            )
    for one in history:
        yield measured[one.scores.frame] if isinstance(one, _Moment) else one
