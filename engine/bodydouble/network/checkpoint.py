"""A model on disk: the folder ``NAME.comb/``. The only module of the torch layer that opens files.

::

    NAME.comb/
        comb.json                    what it is: dims, model space, crop geometry, personas with rights, history
        encoder.safetensors          shared
        trunk.safetensors            tied decoder levels 0 and 1
        personas/NAME.safetensors    one file per persona, loaded only when named
        training/                    resume state; not needed to swap

Tensors are safetensors, everything else JSON: reading a model runs no code of whoever made it, and nothing is loaded
whose shapes are not those that ``comb.json`` fixes. A save that is killed, at any moment, leaves a model that can be
read: weights are written whole beside the old ones (``.NAME.next``), then ``comb.json`` with the digest of each is
renamed into place, and only then do the new files take their names. A reader, like the next save, takes that
one of the two whose digest ``comb.json`` gives. The header of a persona's file carries the digest of its rights record,
so that a record edited in ``comb.json`` is found out.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bodydouble.errors import ModelError, OutputError, UnknownPersonaError, near_names, system_reason
from bodydouble.network.comb import Comb, CombDims, is_persona_name
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.rights import SEAL, rights_digest
from bodydouble.writing import atomic_path

SCHEMA = "bodydouble.comb"
VERSION = 2
ENCODER, TRUNK = "encoder.safetensors", "trunk.safetensors"
CARD_LIMIT = 64 << 20
"""Bytes; no comb.json is so large."""


@dataclass(frozen=True)
class PersonaCard:
    """What ``comb.json`` says of a persona: rights record or None, crops it was trained on, digest of its weights."""

    name: str
    rights: Mapping[str, Any] | None = None
    crops: int = 0
    digest: str = ""


@dataclass(frozen=True)
class CombCard:
    """What ``comb.json`` says of a model.

    Attributes:
        dims: shapes of the network.
        model_space: colour encoding of its crops.
        interocular, eye_line: the crop geometry it was trained with, in unit-crop sides.
        forehead: reach of the matte it was trained with.
        personas: one card each.
        history: one entry per training run: its settings; iterations, images and seconds trained up to its end.
        encoder_digest, trunk_digest: SHA-256 of the files.
        alpha: gain of the top level; below 1 in a model that was saved while it faded in.
        folder: where it was read from, for messages; None of one that was made here.
    """

    dims: CombDims
    model_space: ModelSpace
    interocular: float
    eye_line: float
    forehead: float
    personas: tuple[PersonaCard, ...]
    history: tuple[Mapping[str, Any], ...] = field(default=())
    encoder_digest: str = ""
    trunk_digest: str = ""
    alpha: float = 1.0
    folder: Path | None = field(default=None, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the personas."""
        return tuple(card.name for card in self.personas)

    def persona(self, name: str) -> PersonaCard:
        """Card of persona `name`.

        Raises:
            UnknownPersonaError: the model does not have it.
        """
        for card in self.personas:
            if card.name == name:
                return card
        raise UnknownPersonaError(
            f"{self.folder or 'the model'} has no persona {name!r}. {near_names(name, self.names)}"
        )


def save_comb(folder: Path, comb: Comb, card: CombCard, dtype: torch.dtype = torch.float16) -> CombCard:
    """Write a model; returns the card with the digests of what was written.

    Args:
        folder: the ``NAME.comb`` folder, made if missing.
        comb: the network; all personas of `card` must be loaded.
        card: what it is. Its dims may have fewer levels than `comb`: those above are left out.
        dtype: of the weights on disk.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    with torch.device("meta"):
        shape = Comb(card.dims, ["persona"])
    _settle(folder)
    encoder = _save(_next(folder / ENCODER), comb.encoder, shape.encoder, dtype)
    trunk = _save(_next(folder / TRUNK), comb.trunk, shape.trunk, dtype)
    personas = tuple(
        replace(one, digest=_save_decoder(_next(persona_path(folder, one.name)), comb, one, card.dims, dtype))
        for one in card.personas
    )
    written = replace(card, personas=personas, encoder_digest=encoder, trunk_digest=trunk)
    commit_card(folder, written)
    return written


def save_persona(
    folder: Path, comb: Comb, card: CombCard, persona: PersonaCard, dtype: torch.dtype = torch.float16
) -> CombCard:
    """Write one persona into a model that exists, next to or instead of others; returns the new card.

    Encoder, trunk and the other personas stay as they are, to the byte.

    Args:
        card: what the model is; its dims are those of `comb`.
        persona: the persona's card, without digest.

    Raises:
        OutputError: the folder cannot be written.
    """
    _settle(folder)
    digest = _save_decoder(_next(persona_path(folder, persona.name)), comb, persona, card.dims, dtype)
    others = tuple(one for one in card.personas if one.name != persona.name)
    written = replace(card, personas=(*others, replace(persona, digest=digest)))
    commit_card(folder, written)
    return written


def _save_decoder(path: Path, comb: Comb, persona: PersonaCard, dims: CombDims, dtype: torch.dtype) -> str:
    """Write a persona's decoder, as far as `dims` has levels; returns the SHA-256 of the file."""
    with torch.device("meta"):
        shape = Comb(dims, ["persona"]).personas["persona"]
    return _save(path, comb.personas[persona.name], shape, dtype, {SEAL: seal_of(persona.rights)})


def seal_of(rights: Mapping[str, Any] | None) -> str:
    """What is written into a persona's weights of its rights record: the digest, "" for none."""
    return "" if rights is None else rights_digest(rights)


def commit_card(folder: Path, card: CombCard) -> None:
    """Write ``comb.json``, from then on the truth, and give the weights written for it their names."""
    write_json(folder / "comb.json", _as_json(card))
    _settle(folder)


def persona_path(folder: Path, name: str) -> Path:
    """Where the decoder of a persona lies."""
    return folder / "personas" / f"{name}.safetensors"


def _next(path: Path) -> Path:
    return path.with_name(f".{path.name}.next")


def _settle(folder: Path) -> None:
    """Finish what a killed save left: files that ``comb.json`` means take their names, others go."""
    for path in sorted((*folder.glob(".*.next"), *(folder / "personas").glob(".*.next"))):
        final = path.with_name(path.name[1:].removesuffix(".next"))
        try:
            if _digest(path) in _digests(folder):
                os.replace(path, final)
            else:
                path.unlink()
        except OSError as error:
            raise OutputError(f"{final}: cannot be written ({system_reason(error)}).") from error


def _digests(folder: Path) -> set[str]:
    """The digests that ``comb.json`` gives, none where it cannot be read."""
    try:
        card = read_card(folder)
    except ModelError:
        return set()
    return {card.encoder_digest, card.trunk_digest, *(one.digest for one in card.personas)}


def read_card(folder: Path) -> CombCard:
    """Read ``comb.json`` alone.

    Raises:
        ModelError: missing, damaged, or of a newer version.
    """
    path = Path(folder) / "comb.json"
    try:
        if path.stat().st_size > CARD_LIMIT:
            raise ModelError(f"{path} is larger than any that describes a model; it is not to be trusted.")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{folder} is not a model: it has no comb.json. Give the NAME.comb folder that 'train' made."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy the model again.") from error
    try:
        return replace(_from_json(data, path), folder=Path(folder))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__}: {error}); copy the model again.") from error


def load_comb(folder: Path, personas: Sequence[str], device: torch.device | str = "cpu") -> tuple[Comb, CombCard]:
    """Load encoder, trunk and only the named personas, float32, ready to swap (no gradients).

    Raises:
        ModelError: a file is missing, damaged, or not what ``comb.json`` says.
        UnknownPersonaError: a name the model does not have.
    """
    folder = Path(folder)
    card = read_card(folder)
    try:
        comb = _load_all(folder, card, personas)
    except ModelError:
        # A training may have saved in between: then comb.json has changed, and its files are whole again.
        saved_since = read_card(folder)
        if saved_since == card:
            raise
        card = saved_since
        comb = _load_all(folder, card, personas)
    return comb.to(device).eval().requires_grad_(False), card


def _load_all(folder: Path, card: CombCard, personas: Sequence[str]) -> Comb:
    cards = [card.persona(name) for name in personas]
    with torch.device("meta"):
        comb = Comb(card.dims, [one.name for one in cards], card.alpha)
    load_weights(folder / ENCODER, comb.encoder, card.encoder_digest)
    load_weights(folder / TRUNK, comb.trunk, card.trunk_digest)
    for one in cards:
        load_weights(persona_path(folder, one.name), comb.personas[one.name], one.digest)
    return comb


def rights_seal(folder: Path, persona: str) -> str | None:
    """The digest of the rights record that a persona was saved with, from its weights' file; "" if it had none.

    None in models saved before there were seals.

    Raises:
        ModelError: the file is missing or damaged.
    """
    path = persona_path(Path(folder), persona)
    return read_header(_meant(path, read_card(folder).persona(persona).digest)).get(SEAL)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write a safetensors file atomically, with `metadata` in its header; returns its SHA-256.

    Raises:
        OutputError: it cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        try:
            save_file(plain, str(temporary), dict(metadata) if metadata else None)
        except SafetensorError as error:
            raise OutputError(f"{path}: cannot be written ({error}).") from error
        # safetensors lets only the owner read its files; a farm reads them as somebody else.
        temporary.chmod(mode)
        return _digest(temporary)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        ModelError: missing or damaged.
    """
    with _reading(path):
        return load_file(str(path))


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON atomically.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What is wrong with a safetensors file, as a ModelError."""
    try:
        yield
    except FileNotFoundError as error:
        raise ModelError(f"the model is incomplete: {path} is missing; copy the model again.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({error}); copy the model again.") from error


def _save(
    path: Path, module: nn.Module, shape: nn.Module, dtype: torch.dtype, metadata: Mapping[str, str] | None = None
) -> str:
    """Write those weights of `module` that `shape`, which may have fewer levels, has too."""
    weights = module.state_dict()
    return save_tensors(path, {name: weights[name].to(dtype) for name in shape.state_dict()}, metadata)


def load_weights(path: Path, module: nn.Module, digest: str) -> None:
    """Fill `module`, on any device or none ("meta"), with the weights of a file, as float32.

    Raises:
        ModelError: missing, damaged, or not the weights that are meant.
    """
    path = _meant(path, digest)
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = _shapes(path)
    found |= {name: shape for name, shape in wanted.items() if _is_latents(name) and name not in found}
    if wanted != found:
        wrong = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise ModelError(f"{path} does not fit comb.json: {wrong} is {found.get(wrong)}, expected {wanted.get(wrong)}.")
    _check_digest(path, digest)
    tensors = load_tensors(path)
    if not all(tensor.is_floating_point() for tensor in tensors.values()):
        raise ModelError(f"{path} holds something else than floating-point weights; this model is not to be trusted.")
    weights = with_latents({name: tensor.float() for name, tensor in tensors.items()}, module)
    module.load_state_dict(weights, assign=True)


def with_latents(weights: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Weights of `module`, of which those saved by an earlier version do not say where a persona's latents lie."""
    latents = {name: value for name, value in module.state_dict().items() if _is_latents(name)}
    return {name: torch.zeros(value.shape) for name, value in latents.items()} | dict(weights)


def _is_latents(name: str) -> bool:
    return name.rpartition(".")[2] in ("latent_mean", "latent_crops")


def read_latent_mean(card: CombCard, persona: str) -> Tensor:
    """The mean latent of a persona of a model that was read, C values, float32; its decoder is not loaded.

    Raises:
        UnknownPersonaError: the model does not have it.
        ModelError: the file is missing, damaged, or of an earlier version, which did not note it.
    """
    one = card.persona(persona)
    path = persona_path(card.folder or Path(), persona)
    mean, crops = _latents_of(path, one.digest, card.dims.channels(0))
    if not crops > 0:
        raise ModelError(
            f"{card.folder}: nobody noted where the latents of {persona!r} lie, as trainings do now; call its `train` "
            "once more, or name no performer."
        )
    return mean


def notes_latents(card: CombCard, persona: str) -> bool:
    """Whether `read_latent_mean` has something to read; raises ModelError for a file that is missing or damaged."""
    path = _meant(persona_path(card.folder or Path(), persona), card.persona(persona).digest)
    with _reading(path), safe_open(str(path), "pt") as file:
        return "latent_crops" in file.keys() and bool((file.get_tensor("latent_crops") > 0).all())  # noqa: SIM118


@functools.lru_cache(maxsize=64)
def _latents_of(path: Path, digest: str, channels: int) -> tuple[Tensor, float]:
    """Mean latent of a persona's file, and of how many crops. Each file is read once: its digest says what is in it."""
    path = _meant(path, digest)
    shapes = _shapes(path)
    if "latent_crops" not in shapes:
        return torch.zeros(channels), 0.0
    if (shapes.get("latent_mean"), shapes["latent_crops"]) != ((channels,), ()):
        raise ModelError(f"{path} does not fit comb.json: latent_mean is {shapes.get('latent_mean')}.")
    _check_digest(path, digest)
    with _reading(path), safe_open(str(path), "pt") as file:
        mean, crops = file.get_tensor("latent_mean").float(), float(file.get_tensor("latent_crops"))
    if not (bool(torch.isfinite(mean).all()) and math.isfinite(crops)):
        raise ModelError(f"{path} is damaged (its mean latent is no number); copy the model again.")
    return mean, crops


def _meant(path: Path, digest: str) -> Path:
    """The file itself, or the one written to take its name, if that has the digest."""
    written = _next(path)
    return written if digest and written.is_file() and _digest(written) == digest else path


def _check_digest(path: Path, digest: str) -> None:
    if digest and _digest(path) != digest:
        raise ModelError(f"{path} is not the file comb.json describes (digest differs); copy the model again.")


def read_header(path: Path) -> dict[str, str]:
    """The texts in the header of a safetensors file.

    Raises:
        ModelError: missing or damaged.
    """
    with _reading(path), safe_open(str(path), "pt") as file:
        return dict(file.metadata() or {})


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a file's tensors, from its header alone: a file may claim more than memory holds."""
    with _reading(path), safe_open(str(path), "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _as_json(card: CombCard) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "dims": {"level": card.dims.level, "size": card.dims.size, "width": card.dims.width},
        "alpha": card.alpha,
        "model_space": card.model_space.as_dict(),
        "crop": {"interocular": card.interocular, "eye_line": card.eye_line, "forehead": card.forehead},
        "encoder": {"sha256": card.encoder_digest},
        "trunk": {"sha256": card.trunk_digest},
        "personas": {
            one.name: {"sha256": one.digest, "crops": one.crops, "rights": one.rights} for one in card.personas
        },
        "history": [dict(entry) for entry in card.history],
    }


def _from_json(data: Mapping[str, Any], path: Path) -> CombCard:
    if data["schema"] != SCHEMA or data["version"] > VERSION:
        raise ModelError(
            f"{path}: {data['schema']} version {data['version']} is not one this version reads "
            f"({SCHEMA} up to {VERSION}); update bodydouble."
        )
    for name in data["personas"]:
        if not is_persona_name(name):
            raise ModelError(f"{path}: persona name {name!r} is not a plain name; this model is not to be trusted.")
    crop = {key: float(data["crop"][key]) for key in ("interocular", "eye_line", "forehead")}
    if not all(map(math.isfinite, crop.values())):
        raise ValueError(f"crop geometry {crop}")
    alpha = float(data.get("alpha", 1.0))
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha {alpha}")
    return CombCard(
        CombDims(data["dims"]["level"], data["dims"]["width"]),
        ModelSpace(**data["model_space"]),
        crop["interocular"],
        crop["eye_line"],
        crop["forehead"],
        tuple(
            PersonaCard(name, entry["rights"], entry["crops"], entry["sha256"])
            for name, entry in data["personas"].items()
        ),
        tuple(data["history"]),
        data["encoder"]["sha256"],
        data["trunk"]["sha256"],
        alpha,
    )
