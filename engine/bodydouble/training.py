"""Progressive training of a comb on the facesets of its personas.

One iteration shuffles the personas; each in turn gives a batch of its own crops and one gradient update, so that
encoder and trunk get P updates and each decoder one. Everything random is drawn from (seed, iteration, persona): the
state of a training is its weights, the optimiser's moments and one number.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bodydouble.checkpoint import CombCard, PersonaCard, load_tensors, read_card, save_comb, save_tensors, write_json
from bodydouble.comb import Comb, CombDims, level_size, size_level
from bodydouble.devices import keep_memory, pick_device, run_on
from bodydouble.errors import FacesetError, ModelError, UsageError, near_names
from bodydouble.facesets import Faceset
from bodydouble.geometry import EYE_LINE, INTEROCULAR
from bodydouble.losses import level_loss
from bodydouble.modelspace import ModelSpace, to_model
from bodydouble.schedule import BUDGET_WEIGHTS, Phase, Schedule, by_weights
from bodydouble.settings import TrainSettings

STATE_VERSION = 1


@dataclass(frozen=True)
class TrainProgress:
    """One report of a running training.

    Attributes:
        level, size: growth stage trained now and its picture side in pixels.
        alpha: gain of that level.
        iteration: iterations done so far.
        progress: 0..1 over the whole training.
        loss: mean over the personas since the last report.
        images_per_s: crops trained per second since the last report.
        seconds: training time so far, all runs together.
        seconds_left: estimate to the end.
        message: what happened ("saved", "done"), else empty.
    """

    level: int
    size: int
    alpha: float
    iteration: int
    progress: float
    loss: float
    images_per_s: float
    seconds: float
    seconds_left: float
    message: str = ""


@dataclass
class _State:
    """All that changes while training."""

    comb: Comb
    optimiser: torch.optim.Adam
    iteration: int = 0
    seconds: float = 0.0
    images: int = 0


def train(
    folders: Sequence[Path],
    out: Path,
    settings: TrainSettings,
    rights: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[TrainProgress]:
    """Train a comb on one faceset per persona; yields a report every few seconds.

    A training that finds its own state in ``out/training`` goes on from there. The model in `out` can be used to swap
    after every "saved" report. Closing the iterator saves the state first.

    Args:
        folders: facesets, one or more folders per persona.
        out: the ``NAME.comb`` folder.
        settings: everything else.
        rights: persona → rights record as a document, in place of the one its faceset carries.

    Raises:
        FacesetError: a faceset is unreadable, or they do not fit together.
        ModelError: `out` holds another model, or its training state is damaged.
        UsageError: the training diverged; the last save is left as it was.
    """
    keep_memory()
    facesets = _by_persona([_with_rights(Faceset.load(Path(folder)), rights or {}) for folder in folders])
    if strange := sorted(set(rights or {}) - set(facesets)):
        raise UsageError(f"no faceset of {strange[0]!r} was given. {near_names(strange[0], facesets)}")
    device = pick_device(settings.device)
    top = size_level(settings.resolution)
    space = ModelSpace(primaries=next(iter(facesets.values()))[0].primaries)
    plan = _schedule(settings, top)
    state = _restore_or_start(out, settings, CombDims(top, settings.width), tuple(facesets), device)
    card = _card(facesets, state, settings, space, out)
    wide = {name: torch.cat([one.pixels() for one in parts]) for name, parts in facesets.items()}
    pad = next(iter(facesets.values()))[0]
    reach = pad.pad / pad.size
    level_store: dict[str, Tensor] = {}
    stored_level = -1
    unsaved = False
    reported = saved = time.monotonic()
    reported_images, losses = state.images, []
    try:
        while (progress := _progress(state, settings, top)) < 1.0:
            started = time.monotonic()
            phase = plan.at(progress)
            if phase.level != stored_level:
                level_store = {name: _resized(crops, phase.level, pad.size).to(device) for name, crops in wide.items()}
                stored_level = phase.level
            # One iteration: the personas in shuffled order, a batch and an update each.
            losses.append(_iterate(state, level_store, phase, settings, space, reach, device))
            now = time.monotonic()
            state.seconds += now - started
            unsaved = math.isfinite(losses[-1])
            if not unsaved:
                raise UsageError(
                    f"the training diverged at iteration {state.iteration} (the loss is not a number); {out} stays as "
                    "last saved. Start again with a lower learning rate, or with precision fp32."
                )
            message = ""
            if now - saved >= settings.checkpoint_every_s:
                _save(out, state, card, settings, plan, progress)
                saved, unsaved, message = now, False, "saved"
            if now - reported >= settings.report_every_s or message:
                rate = (state.images - reported_images) / max(now - reported, 1e-9)
                yield _report(state, phase, progress, losses, rate, message)
                reported, reported_images, losses = now, state.images, []
        _save(out, state, card, settings, plan, 1.0)
        unsaved = False
        yield _report(state, plan.at(1.0), 1.0, losses, 0.0, "done")
    finally:
        if unsaved:
            _save(out, state, card, settings, plan, _progress(state, settings, top))


def _iterate(
    state: _State,
    store: Mapping[str, Tensor],
    phase: Phase,
    settings: TrainSettings,
    space: ModelSpace,
    reach: float,
    device: torch.device,
) -> float:
    names = list(store)
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + state.iteration)
    order = [names[index] for index in torch.randperm(len(names), generator=generator).tolist()]
    for group in state.optimiser.param_groups:
        group["lr"] = phase.learning_rate
    total = 0.0
    for name in order:
        picture, matte = _batch(store[name], phase.level, settings, space, reach, generator)
        # The loss too is faster on this layout.
        picture = picture.contiguous(memory_format=torch.channels_last)
        with run_on(device, settings.precision):
            result = state.comb(picture, name, phase.level, phase.alpha)
        loss = level_loss(result.float(), picture, matte, phase.level, settings.loss, settings.l1_weight)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        state.optimiser.step()
        state.images += len(picture)
        total += float(loss.detach())
    state.iteration += 1
    return total / len(order)


def _batch(
    crops: Tensor, level: int, settings: TrainSettings, space: ModelSpace, reach: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A jittered batch: pictures N×3×S×S in model space and mattes N×1×S×S, float32."""
    count = settings.batch
    index = torch.randint(len(crops), (count,), generator=generator)
    wide = crops[index.to(crops.device)].float()
    draw = (torch.rand(count, 8, generator=generator) * 2 - 1).to(wide.device)
    size = level_size(level)
    # Unit-crop centre coordinates in −0.5..0.5, turned, scaled and shifted a little; wide crops reach ±(0.5 + reach).
    angle = draw[:, 0] * torch.pi / 180 * settings.jitter_degrees
    scale = (1 + settings.jitter_scale * draw[:, 1]) / (0.5 + reach)
    cosine, sine = scale * angle.cos() * 0.5, scale * angle.sin() * 0.5
    shift = settings.jitter_shift * draw[:, 2:4] / (0.5 + reach)
    matrix = torch.stack([cosine, -sine, shift[:, 0], sine, cosine, shift[:, 1]], dim=1).view(count, 2, 3)
    grid = F.affine_grid(matrix, [count, 4, size, size], align_corners=False)
    sampled = F.grid_sample(wide, grid, mode="bilinear", padding_mode="border", align_corners=False)
    stops = settings.jitter_exposure * draw[:, 4:5] + settings.jitter_balance * draw[:, 5:8]
    light = sampled[:, :3] * torch.exp2(stops)[:, :, None, None]
    return to_model(light, space).clamp(0.0, 1.0), sampled[:, 3:].clamp(0.0, 1.0)


def _resized(wide: Tensor, level: int, size: int) -> Tensor:
    """The crops at a quarter more than the density of `level`, anti-aliased; float16."""
    side = min(wide.shape[-1], round(wide.shape[-1] * 1.25 * level_size(level) / size))
    if side == wide.shape[-1]:
        return wide
    parts = [
        F.interpolate(part.float(), size=(side, side), mode="bilinear", antialias=True).half()
        for part in wide.split(32)
    ]
    return torch.cat(parts)


def _schedule(settings: TrainSettings, top: int) -> Schedule:
    weights = BUDGET_WEIGHTS[: top + 1] if settings.time_budget_s else (1.0,) * (top + 1)
    return by_weights(weights, settings.settle, settings.learning_rate, settings.settle_learning_rate)


def _progress(state: _State, settings: TrainSettings, top: int) -> float:
    if settings.time_budget_s:
        return min(1.0, state.seconds / settings.time_budget_s)
    total = settings.iterations * (top + 1) / (1 - settings.settle)
    return min(1.0, state.iteration / total)


def _report(
    state: _State, phase: Phase, progress: float, losses: Sequence[float], rate: float, message: str
) -> TrainProgress:
    left = state.seconds * (1 - progress) / progress if progress > 0 else float("inf")
    mean = sum(losses) / len(losses) if losses else float("nan")
    size = level_size(phase.level)
    return TrainProgress(
        phase.level, size, phase.alpha, state.iteration, progress, mean, rate, state.seconds, left, message
    )


def _by_persona(facesets: Sequence[Faceset]) -> dict[str, list[Faceset]]:
    grouped: dict[str, list[Faceset]] = {}
    for one in facesets:
        grouped.setdefault(one.persona, []).append(one)
    if not grouped:
        raise FacesetError("no faceset was given; make one with 'extract'.")
    first = facesets[0]
    for one in facesets:
        if (one.size, one.pad, one.primaries) != (first.size, first.pad, first.primaries):
            raise FacesetError(
                f"{one.folder} has crops of {one.size}+{one.pad} px in {one.primaries}, {first.folder} of "
                f"{first.size}+{first.pad} px in {first.primaries}; extract them alike."
            )
        if one.rights != grouped[one.persona][0].rights:
            raise FacesetError(
                f"{one.folder} and {grouped[one.persona][0].folder} carry different rights records of "
                f"{one.persona!r}; extract both with the same one."
            )
    return grouped


def _with_rights(faceset: Faceset, rights: Mapping[str, Mapping[str, Any]]) -> Faceset:
    return replace(faceset, rights=rights.get(faceset.persona, faceset.rights))


def _card(
    facesets: Mapping[str, Sequence[Faceset]], state: _State, settings: TrainSettings, space: ModelSpace, out: Path
) -> CombCard:
    """The card but for this run's entry of the history."""
    personas = tuple(
        PersonaCard(name, parts[0].rights, sum(len(one.crops) for one in parts)) for name, parts in facesets.items()
    )
    earlier = read_card(out).history if (out / "comb.json").exists() else ()
    return CombCard(state.comb.dims, space, INTEROCULAR, EYE_LINE, settings.forehead, personas, earlier)


def _restore_or_start(
    out: Path, settings: TrainSettings, dims: CombDims, personas: tuple[str, ...], device: torch.device
) -> _State:
    torch.manual_seed(settings.seed)
    comb = Comb(dims, personas).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(comb.parameters(), lr=settings.learning_rate, fused=True)
    state = _State(comb, optimiser)
    path = out / "training" / "state.json"
    if not path.exists():
        if (out / "comb.json").exists():
            raise ModelError(f"{out} already holds a model without training state; train into another folder.")
        return state
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["version"] > STATE_VERSION:
            raise ModelError(f"{path} was written by a newer bodydouble; update it, or train into another folder.")
        wanted = {"level": dims.level, "width": dims.width, "personas": list(personas)}
        if saved["model"] != wanted:
            raise ModelError(
                f"{out} was trained as {saved['model']}, now asked for {wanted}; train into another folder."
            )
        tensors = load_tensors(out / "training" / "state.safetensors")
        comb.load_state_dict({name[5:]: value for name, value in tensors.items() if name.startswith("comb.")})
        _restore_moments(comb, optimiser, tensors)
        iteration, seconds, images = tensors["progress"].tolist()
        return replace(state, iteration=int(iteration), seconds=seconds, images=int(images))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"the training state in {path.parent} is damaged ({error}); remove {out} to begin anew."
        ) from error


def _restore_moments(comb: Comb, optimiser: torch.optim.Adam, tensors: Mapping[str, Tensor]) -> None:
    for name, parameter in comb.named_parameters():
        if f"step.{name}" not in tensors:
            continue
        # The fused Adam walks through memory: moments in another layout than their weights would be mixed up.
        optimiser.state[parameter] = {
            "step": tensors[f"step.{name}"].to(parameter.device, torch.float32),
            "exp_avg": torch.empty_like(parameter, requires_grad=False).copy_(tensors[f"mean.{name}"]),
            "exp_avg_sq": torch.empty_like(parameter, requires_grad=False).copy_(tensors[f"square.{name}"]),
        }


def _save(out: Path, state: _State, card: CombCard, settings: TrainSettings, plan: Schedule, progress: float) -> None:
    """Write the model and, last, the resume state. `card` has the history of the runs before this one.

    The model has the levels reached by now, and the gain of the last: it can be used while levels grow.
    """
    phase = plan.at(progress)
    dims = state.comb.dims
    card = replace(card, dims=CombDims(phase.level, dims.width), alpha=phase.alpha)
    entry: dict[str, Any] = {
        "settings": asdict(settings),
        "iterations": state.iteration,
        "images": state.images,
        "seconds": round(state.seconds, 1),
        "progress": round(progress, 6),
        "torch": torch.__version__,
    }
    went_on = not card.history or card.history[-1].get("iterations") != state.iteration
    save_comb(out, state.comb, replace(card, history=(*card.history, entry)) if went_on else card)
    tensors = {f"comb.{name}": value for name, value in state.comb.state_dict().items()}
    for name, parameter in state.comb.named_parameters():
        moments = state.optimiser.state.get(parameter)
        if moments:
            tensors[f"step.{name}"] = moments["step"].reshape(1)[0].clone()
            tensors[f"mean.{name}"] = moments["exp_avg"]
            tensors[f"square.{name}"] = moments["exp_avg_sq"]
    # Weights, moments and progress in one file: a kill between two files cannot tear them apart.
    tensors["progress"] = torch.tensor([state.iteration, state.seconds, state.images], dtype=torch.float64)
    save_tensors(out / "training" / "state.safetensors", tensors)
    write_json(
        out / "training" / "state.json",
        {
            "version": STATE_VERSION,
            "model": {"level": dims.level, "width": dims.width, "personas": list(card.names)},
        },
    )
