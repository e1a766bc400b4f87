"""A persona as TorchScript for Nuke: the module, a script that makes a .cat file of it, and a README."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from bodydouble import __version__
from bodydouble.errors import ModelError, UsageError
from bodydouble.exports.nukescript import Node, UserKnob, braced, number, script_text
from bodydouble.exports.scripted import PersonaModule
from bodydouble.network.checkpoint import CombCard, load_comb, read_latent_mean
from bodydouble.swap.swapframe import rights_notice
from bodydouble.writing import atomic_path

CHANNELS = "rgba.red, rgba.green, rgba.blue"


@dataclass(frozen=True)
class ScriptedPersona:
    """What an export wrote, and what must be shown to the user about the persona's rights."""

    module: Path
    script: Path
    readme: Path
    notice: str | None


def export_torchscript(
    model: Path,
    persona: str,
    out: Path,
    production: str | None = None,
    overwrite: bool = False,
    performer: str | None = None,
) -> ScriptedPersona:
    """Write ``PERSONA.pt``, ``PERSONA.nk`` and ``README.md`` into the folder `out`.

    Args:
        performer: whose crops it will be given, for the likeness of `SwapSettings`; None for anybody's.

    Raises:
        ModelError, UnknownPersonaError: the model cannot be read, is still fading a level in, or lacks the persona or
            the performer.
        RightsError: the persona may not be used.
        UsageError: the folder holds an earlier export and `overwrite` is not given.
        OutputError: the folder cannot be written.
    """
    comb, card = load_comb(model, [persona])
    if card.alpha < 1:
        raise ModelError(f"{model} was saved while its top level faded in; export a later save of the training.")
    if performer is not None:
        moved = read_latent_mean(card, persona) - read_latent_mean(card, performer)
        comb.encoder.to_latent.bias.data += moved  # type: ignore[union-attr]
    notice = rights_notice(card, model, persona, production)
    name = re.sub(r"\W", "_", persona)
    written = ScriptedPersona(out / f"{name}.pt", out / f"{name}.nk", out / "README.md", notice)
    there = [path for path in (written.module, written.script, written.readme) if path.exists()]
    if there and not overwrite:
        raise UsageError(f"{there[0]} exists; say --overwrite to replace it.")
    about = {"bodydouble.json": json.dumps(_about(card, persona) | {"performer": performer})}
    with warnings.catch_warnings():
        # Newer torch would rather have torch.export, which Nuke cannot read.
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(PersonaModule(comb, persona, card.model_space).eval())
        with atomic_path(written.module) as temporary:
            torch.jit.save(scripted, str(temporary), _extra_files=about)
    with atomic_path(written.script) as temporary:
        temporary.write_text(_cat_script(name, card), encoding="utf-8")
    with atomic_path(written.readme) as temporary:
        temporary.write_text(_readme(name, persona, card, card.persona(persona).rights is not None), encoding="utf-8")
    return written


def _about(card: CombCard, persona: str) -> dict[str, object]:
    """What travels inside the module: whose face it makes, from which model, and what is allowed."""
    return {
        "version": __version__,
        "persona": persona,
        "persona_sha256": card.persona(persona).digest,
        "encoder_sha256": card.encoder_digest,
        "rights": card.persona(persona).rights,
        "size": card.dims.size,
        "primaries": card.model_space.primaries,
    }


def _cat_script(name: str, card: CombCard) -> str:
    """CatFileCreator with the knobs that Inference gets, and Inference with the file it makes."""
    here = "[file dirname [value root.name]]"
    knobs = (
        UserKnob("strength", "7 strength l strength t {0 the plate, 1 the persona} R 0 1", number(1)),
        UserKnob("stops", "7 stops l stops t {light raised before the network and lowered after it} R -4 4", number(0)),
    )
    creator = Node(
        "CatFileCreator",
        "BD_make_cat",
        {
            "torchScriptFile": braced(f"{here}/{name}.pt"),
            "catFile": braced(f"{here}/{name}.cat"),
            "channelsIn": braced(CHANNELS),
            "channelsOut": braced(CHANNELS),
            "modelId": braced(f"bodydouble_{name}"),
            "outputScale": "1",
        },
        (),
        knobs,
        (0, 0),
    )
    size = card.dims.size
    note = f"Press Create .cat File and Inference in BD_make_cat. Give it the aligned crop, {size} x {size} or larger."
    return script_text([Node("StickyNote", "BD_note", {"label": braced(note)}, at=(0, -100)), creator])


def _readme(name: str, persona: str, card: CombCard, has_rights: bool) -> str:
    size, primaries = card.dims.size, card.model_space.primaries
    rights = f"`torch.jit.load` with `_extra_files={{'bodydouble.json': ''}}` gives the rights record of {persona}."
    known = rights if has_rights else f"No rights record came with {persona}; ask whoever trained the model."
    template = (Path(__file__).parent.parent / "templates" / "torchscript.md").read_text(encoding="utf-8")
    return template.format(persona=persona, name=name, size=size, primaries=primaries, rights=known)
