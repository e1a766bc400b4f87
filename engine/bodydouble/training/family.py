"""A model's family of personas grows: one more is trained, all are tuned together, one is handed from model to model.

A persona's decoder speaks the language of its encoder and trunk. Training only the decoder leaves both, and with them
every other persona, as they are to the last bit; a decoder taken elsewhere fits only where encoder and trunk are the
same. The same actor at another age, or in another make-up, is one more persona like any other.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bodydouble.errors import FacesetError, ModelError, UsageError
from bodydouble.network.checkpoint import (
    CombCard,
    PersonaCard,
    commit_card,
    load_comb,
    load_weights,
    persona_path,
    read_card,
    read_header,
    save_persona,
    save_tensors,
    seal_of,
)
from bodydouble.network.comb import Comb, is_persona_name
from bodydouble.rights import SEAL, check_seal
from bodydouble.settings import TrainSettings
from bodydouble.training.cropstore import CropStore
from bodydouble.training.facesets import Faceset
from bodydouble.training.schedule import Phase
from bodydouble.training.training import Clock, job_of, load_facesets, optimiser_of, run_training, training_device
from bodydouble.training.trainjob import TrainJob, TrainProgress, plan_of
from bodydouble.training.trainstate import TrainState, has_state, restore_state
from bodydouble.training.validating import CropReader, trial_loss

SCHEMA, VERSION = "bodydouble.persona", 1
MOST_DONORS = 16
"""Personas that are tried as the one to start from."""


def add_persona(
    folders: Sequence[Path],
    model: Path,
    settings: TrainSettings,
    rights: Mapping[str, Mapping[str, Any]] | None = None,
    replaces: bool = False,
    cache: Path | None = None,
    clock: Clock = time.monotonic,
) -> Iterator[TrainProgress]:
    """Train one more persona for a finished model; encoder, trunk and the others keep every bit.

    The decoder starts as that of the persona whose decoder shows the new crops best, and is trained at the full
    resolution only. Resumable like `train`: call it again.

    Args:
        folders: facesets, all of one persona.
        model: the ``NAME.comb`` folder; is changed in place.
        settings: resolution and width are the model's, whatever they say.
        rights: persona → rights record as a document, in place of the one its faceset carries.
        replaces: train anew a persona that the model has.

    Raises:
        FacesetError: as for `train`, or the crops are unlike those the model was trained on.
        ModelError: the model cannot be read, or is still growing.
        UsageError: the persona is there already, or with `replaces` is not.
    """
    model = Path(model)
    facesets = load_facesets(folders, settings, rights)
    if len(facesets) != 1:
        raise UsageError(f"one persona is added at a time, not {', '.join(facesets)}; call it once for each.")
    ((name, parts),) = facesets.items()
    card = _finished(model, parts[0])
    state_folder = model / "training" / "added" / name
    if not has_state(state_folder) and replaces != (name in card.names):
        raise UsageError(
            f"{model} has no persona {name!r} to replace; it has {', '.join(card.names)}."
            if replaces
            else f"{model} has a persona {name!r} already; --replace trains it anew."
        )
    settings = _straight(settings, card)
    with training_device(settings) as (device, ranks):
        store = CropStore(cache or state_folder / "crops", facesets, card.dims.level, settings.held_out)
        reader = CropReader(settings, card.model_space, store.reach, device)
        comb = _with_new(model, card, (name,), {name: store}, reader)
        comb.encoder.requires_grad_(False)
        comb.trunk.requires_grad_(False)
        state = TrainState(comb, optimiser_of(comb, settings))
        frozen = {key: value.clone() for key, value in comb.state_dict().items() if not key.startswith("personas.")}
        notices = restore_state(state_folder, state) if has_state(state_folder) else []
        comb.load_state_dict(frozen, strict=False)  # whatever the state says
        entry = PersonaCard(name, parts[0].rights, sum(len(one.crops) for one in parts))
        others = tuple(one for one in card.personas if one.name != name)
        grown = replace(card, personas=(*others, entry))
        job = TrainJob(
            model, state_folder, store, (name,), grown, plan_of(settings), settings, card.model_space, adds=name
        )
        yield from run_training(job, state, device, ranks, clock, notices)
        if ranks.leads:
            shutil.rmtree(state_folder)


def fine_tune(
    folders: Sequence[Path],
    model: Path,
    settings: TrainSettings,
    rights: Mapping[str, Mapping[str, Any]] | None = None,
    cache: Path | None = None,
    clock: Clock = time.monotonic,
) -> Iterator[TrainProgress]:
    """Train a finished model on, with one or more new personas, everything free to move: all outputs change.

    Args:
        folders: facesets of every persona of the model, and of the new ones.

    Raises:
        FacesetError, ModelError: as for `add_persona`.
        UsageError: a persona of the model has no faceset, or none is new.
    """
    model = Path(model)
    facesets = load_facesets(folders, settings, rights)
    card = _finished(model, next(iter(facesets.values()))[0])
    left = [name for name in card.names if name not in facesets]
    if left:
        raise UsageError(f"fine-tuning moves the encoder under everybody: give the facesets of {', '.join(left)} too.")
    state_folder = model / "training" / "tuned"
    names = (*card.names, *(name for name in facesets if name not in card.names))
    settings = _straight(settings, card)
    with training_device(settings) as (device, ranks):
        ordered = {name: facesets[name] for name in names}
        store = CropStore(cache or state_folder / "crops", ordered, card.dims.level, settings.held_out)
        reader = CropReader(settings, card.model_space, store.reach, device)
        comb = _with_new(model, card, names, dict.fromkeys(names, store), reader)
        state = TrainState(comb, optimiser_of(comb, settings))
        notices = restore_state(state_folder, state) if has_state(state_folder) else []
        job = job_of(model, state_folder, ordered, state, settings, cache)
        yield from run_training(job, state, device, ranks, clock, notices)
        if ranks.leads:
            shutil.rmtree(state_folder)


def export_persona(model: Path, name: str, path: Path) -> None:
    """Write one persona, with its rights record and what it fits, to a file of its own.

    Raises:
        ModelError, UnknownPersonaError: the model or the persona cannot be read.
        OutputError: the file cannot be written.
    """
    comb, card = load_comb(model, [name])
    one = card.persona(name)
    document = {
        "name": name,
        "rights": one.rights,
        "crops": one.crops,
        "dims": [card.dims.level, card.dims.width],
        "encoder": card.encoder_digest,
        "trunk": card.trunk_digest,
    }
    tensors = {key: value.half() for key, value in comb.personas[name].state_dict().items()}
    header = {"schema": SCHEMA, "version": str(VERSION), "persona": json.dumps(document), SEAL: seal_of(one.rights)}
    save_tensors(path, tensors, header)


def import_persona(model: Path, path: Path, name: str | None = None, replaces: bool = False) -> str:
    """Put a persona that was exported from a model of the same family into `model`; returns its name there.

    Args:
        name: what it shall be called; None for the name it was exported under.
        replaces: instead of the persona of that name.

    Raises:
        ModelError: the file is damaged, or its decoder belongs to another encoder or trunk.
        UsageError: the name is taken, or none that a persona can have.
        RightsError: its rights record was changed after the export.
    """
    card = read_card(model)
    document = _persona_document(path)
    if document["dims"] != [card.dims.level, card.dims.width] or (document["encoder"], document["trunk"]) != (
        card.encoder_digest,
        card.trunk_digest,
    ):
        raise ModelError(
            f"{path} was exported from a model with another encoder: its decoder would not understand the latents of "
            f"{model}. Extract its faceset and add the persona by training (train --add)."
        )
    name = name if name is not None else str(document["name"])
    if not is_persona_name(name):
        raise UsageError(f"{name!r} cannot be a persona's name; use letters, digits, blanks, '_' and '-'.")
    if name in card.names and not replaces:
        raise UsageError(f"{model} has a persona {name!r} already; import it under another name, or replace that one.")
    with torch.device("meta"):
        comb = Comb(card.dims, [name])
    load_weights(path, comb.personas[name], "")
    save_persona(model, comb, card, PersonaCard(name, document["rights"], int(document["crops"])))
    return name


def remove_persona(model: Path, name: str) -> None:
    """Take a persona out of a model, its weights included.

    Raises:
        UnknownPersonaError: the model does not have it.
        OutputError: the folder cannot be changed.
    """
    card = read_card(model)
    gone = card.persona(name)
    commit_card(model, replace(card, personas=tuple(one for one in card.personas if one is not gone)))
    persona_path(model, name).unlink(missing_ok=True)


def _persona_document(path: Path) -> Mapping[str, Any]:
    header = read_header(path)
    try:
        if header.get("schema") != SCHEMA or int(header["version"]) > VERSION:
            raise ModelError(
                f"{path}: {header.get('schema')} {header.get('version')} is not an exported persona that this version "
                f"reads ({SCHEMA} up to {VERSION})."
            )
        document = json.loads(header["persona"])
        rights = document["rights"]
        if not (rights is None or isinstance(rights, Mapping)) or not isinstance(document["crops"], int):
            raise ValueError("rights or crops")
        check_seal(rights, header.get(SEAL, ""), str(document["name"]), str(path))
        return {key: document[key] for key in ("name", "rights", "crops", "dims", "encoder", "trunk")}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}: {error}); export it again.") from error


def _finished(model: Path, faceset: Faceset) -> CombCard:
    """The card of a model that is grown up and was trained on crops like those of the faceset."""
    card = read_card(model)
    if card.alpha < 1.0:
        raise ModelError(f"{model} is still growing (its top level fades in); finish its training first.")
    if faceset.primaries != card.model_space.primaries:
        raise FacesetError(
            f"{faceset.folder} is in {faceset.primaries}, {model} in {card.model_space.primaries}: its colours would "
            "mean others to the encoder. Extract the faceset again in the model's."
        )
    if faceset.forehead != card.forehead:
        raise FacesetError(
            f"the mattes of {faceset.folder} reach {faceset.forehead:g} over the forehead, those that {model} was "
            f"trained on {card.forehead:g}, and a swap shows every persona that far; extract the faceset again with "
            f"--forehead {card.forehead:g}."
        )
    size, pad = next((entry["crops"] for entry in reversed(card.history) if "crops" in entry), (0, 0))
    if faceset.size < size or faceset.pad < pad:
        raise FacesetError(
            f"{faceset.folder} has crops of {faceset.size} px with {faceset.pad} px around, {model} was trained on "
            f"{size} px with {pad} px: the new persona would be softer than the others, or turned and shifted beyond "
            f"its crops. Extract the faceset again with --size {size} and {pad} px around."
        )
    return card


def _straight(settings: TrainSettings, card: CombCard) -> TrainSettings:
    """The settings for a network that is there: its shapes, and its top level only."""
    iterations = (0,) * card.dims.level + (settings.level_iterations[-1],)
    return replace(
        settings,
        resolution=card.dims.size,
        width=card.dims.width,
        iterations=iterations,
    )


def _with_new(
    model: Path, card: CombCard, names: Sequence[str], stores: Mapping[str, CropStore], reader: CropReader
) -> Comb:
    """The model's network with the decoders `names`; those it does not have start as the one that fits best."""
    known = [name for name in names if name in card.names]
    base, _ = load_comb(model, known, reader.device)
    comb = Comb(card.dims, names).to(reader.device)
    comb.encoder.load_state_dict(base.encoder.state_dict())
    comb.trunk.load_state_dict(base.trunk.state_dict())
    for name in names:
        if name in known:
            comb.personas[name].load_state_dict(base.personas[name].state_dict())
        elif card.names:
            donor = _nearest(model, card, name, stores[name], reader)
            comb.personas[name].load_state_dict(donor.state_dict())
            comb.personas[name].forget_latents()  # type: ignore[operator]
    return comb.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _nearest(model: Path, card: CombCard, name: str, store: CropStore, reader: CropReader) -> torch.nn.Module:
    """The decoder of the model that rebuilds some crops of `name` best."""
    crops = store.crops(name, card.dims.level)
    phase = Phase(card.dims.level, 1.0, 0.0)
    tried: list[tuple[float, str]] = []
    for donor in card.names[:MOST_DONORS]:
        comb, _ = load_comb(model, [donor], reader.device)
        tried.append((trial_loss(comb, crops, donor, phase, reader), donor))
    best, _ = load_comb(model, [min(tried)[1]], reader.device)
    return best.personas[min(tried)[1]]
