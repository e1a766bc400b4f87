"""Does a finished frame still say the truth of itself: the stamp of `provenance` held against the pixels.

Reads any EXR, however it was written again since, and the Content Credentials of pictures and movies. Nothing outside
the file is asked unless a plate, a model or trusted roots are given to hold it against.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bodydouble.errors import BodydoubleError, InputError
from bodydouble.plates.images import LOSSY_COMPRESSIONS, read_headers, read_plate
from bodydouble.plates.plate import Plate
from bodydouble.plates.reading import find_plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.reviews.credentials import MEDIA, read_credentials
from bodydouble.swap.provenance import (
    COMPOSITE_WITH_TRAINED_MEDIA,
    NOT_SEALED,
    PIXELS,
    PREFIX,
    SOURCE_TYPE,
    STAMP,
    pixel_digests,
    stamp_digest,
)

if TYPE_CHECKING:
    from bodydouble.network.checkpoint import CombCard

Status = Literal["intact", "changed", "forged", "unstamped", "missing", "unreadable"]


@dataclass(frozen=True)
class Verdict:
    """What became of one finished frame, or of a picture or movie of them.

    Attributes:
        frame: its number; None for a medium.
        status: "intact"; "changed": pixels are not those that were stamped; "forged": the stamp was altered, or the
            plate or model given is not the one it names; "unstamped"; "missing"; "unreadable".
        message: what is wrong, or what could not be checked.
        facts: what the stamp says, without the prefix.
    """

    frame: int | None
    path: str
    status: Status
    message: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def verify_frames(
    sequence: PlateSequence,
    frames: Sequence[int],
    plate: PlateSequence | None = None,
    card: CombCard | None = None,
) -> Iterator[Verdict]:
    """Check finished frames one after the other.

    Args:
        sequence: the finished frames.
        frames: which of them.
        plate: frames that they must have been made from; None to take the stamp's word.
        card: model that must have made them; None to take the stamp's word.
    """
    for frame in frames:
        path = sequence.path(frame)
        if not path.is_file():
            yield Verdict(frame, str(path), "missing", "no such file")
            continue
        try:
            found = read_plate(path)
        except BodydoubleError as error:
            yield Verdict(frame, str(path), "unreadable", str(error))
            continue
        source = None if plate is None or plate.is_movie else plate.path(frame)
        yield verify_frame(found, frame, source, card)


def verify_frame(finished: Plate, frame: int, plate: Path | None = None, card: CombCard | None = None) -> Verdict:
    """Check one finished frame, as read from its file; see `verify_frames`."""
    path = str(finished.path)
    index = next((i for i, part in enumerate(finished.parts) if PREFIX + "version" in part.attributes), None)
    if index is None:
        return Verdict(frame, path, "unstamped", "carries no stamp of Bodydouble: made otherwise, or stripped of it")
    attributes = finished.parts[index].attributes
    facts = {name.removeprefix(PREFIX): value for name, value in attributes.items() if name.startswith(PREFIX)}
    if SOURCE_TYPE in attributes:
        facts["digital_source_type"] = attributes[SOURCE_TYPE]
    altered = [*_altered(attributes), *_foreign(facts, plate, card)]
    if altered:
        return Verdict(frame, path, "forged", "; ".join(altered), facts)
    changed, note = _pixels(finished, index, str(attributes.get(PIXELS, "")))
    return Verdict(frame, path, "changed" if changed else "intact", changed or note, facts)


def stamp_facts(frames: str | Path) -> Mapping[str, Any]:
    """What the stamps of finished frames say: of the first frame in which a face was swapped.

    Errors: InputError if none was.
    """
    sequence = find_plate(frames)
    for frame in sequence.frames:
        for header in read_headers(sequence.path(frame)):
            facts = {
                name.removeprefix(PREFIX): value for name, value in header.attributes.items() if name.startswith(PREFIX)
            }
            if facts.get("swapped"):
                return facts
    raise InputError(f"{frames}: no frame carries the stamp of a swap.")


def is_media(place: Path) -> bool:
    """Whether a path names pictures or movies rather than finished frames."""
    if place.is_dir():
        suffixes = {file.suffix.lower() for file in place.iterdir()}
        return ".exr" not in suffixes and bool(suffixes & set(MEDIA))
    return place.suffix.lower() in MEDIA and place.is_file()


def media_of(place: Path) -> tuple[Path, ...]:
    """The files that can carry Content Credentials: the file itself, or those of a folder. Errors: InputError."""
    if place.is_dir():
        return tuple(sorted(file for file in place.iterdir() if file.suffix.lower() in MEDIA))
    if not place.is_file():
        raise InputError(f"{place}: no such file.")
    return (place,)


def verify_media(path: Path, trusted: Path | None = None) -> Verdict:
    """Check the Content Credentials of a picture or movie; see `read_credentials`."""
    found = read_credentials(path, trusted)
    facts = {**found.disclosure, "signer": found.signer} if found.signer else {}
    if found.state == "none":
        return Verdict(None, str(path), "unstamped", "carries no Content Credentials")
    if found.state == "invalid":
        return Verdict(None, str(path), "changed", f"not as it was signed ({', '.join(found.problems)})", facts)
    if not found.disclosure:
        return Verdict(None, str(path), "unstamped", f"signed by {found.signer}, without our disclosure", facts)
    known = "" if found.state == "trusted" else f"signed by {found.signer}, whom no trusted root was given for"
    return Verdict(None, str(path), "intact", known, facts)


def _altered(attributes: Mapping[str, Any]) -> Iterator[str]:
    if STAMP not in attributes:
        yield "the stamp has no digest: part of it is gone, or an early version of Bodydouble made it"
    elif attributes[STAMP] != stamp_digest(attributes):
        yield "the stamp was altered: its attributes are not those it was made with"
    if attributes.get(PREFIX + "swapped") and attributes.get(SOURCE_TYPE) != COMPOSITE_WITH_TRAINED_MEDIA:
        yield "the mark as a composite with trained media (IPTC digital source type) is gone"


def _foreign(facts: Mapping[str, Any], plate: Path | None, card: CombCard | None) -> Iterator[str]:
    """What does not fit the plate or the model that the frame is held against."""
    if plate is not None and not plate.is_file():
        yield f"the plate {plate} is missing"
    elif plate is not None:
        with plate.open("rb") as handle:
            if hashlib.file_digest(handle, "sha256").hexdigest() != facts.get("plate_sha256"):
                yield f"not made from {plate.name} as it is now"
    if card is not None:
        named = {one.name: one.digest for one in card.personas}.get(str(facts.get("persona")))
        ours = (card.encoder_digest, card.trunk_digest, named)
        if ours != tuple(facts.get(name) for name in ("encoder_sha256", "trunk_sha256", "persona_sha256")):
            yield f"not made by this model as it is now (persona {facts.get('persona')})"


def _pixels(finished: Plate, index: int, sealed: str) -> tuple[str, str]:
    """What changed since the pixels were sealed ("" if nothing), and what else is worth saying of them."""
    if not sealed or sealed.startswith(NOT_SEALED):
        return "", f"pixels cannot be checked ({sealed or 'the stamp has no digest of them'})"
    try:
        were = json.loads(sealed)
    except ValueError:
        return "the digest of the pixels cannot be read", ""
    now = pixel_digests(finished.parts, index)
    changed = sorted(name for name in were if name in now and now[name] != were[name])
    gone, new = sorted(set(were) - set(now)), sorted(set(now) - set(were))
    added = f"added since: {', '.join(new)}" if new else ""
    if not changed and not gone:
        return "", added
    said = [f"{what}: {', '.join(names)}" for what, names in (("pixels changed in", changed), ("gone", gone)) if names]
    compression = finished.parts[index].compression
    if changed and compression in LOSSY_COMPRESSIONS:
        said.append(f"the file is compressed with {compression}, which is lossy and may be all that happened")
    return "; ".join([*said, *filter(None, [added])]), ""
