"""What a finished frame says of itself: who made it from what, by whose permission, and what its pixels were.

The stamp is a set of header attributes `bodydouble/…` and one of the IPTC's. Two of them are digests:
`bodydouble/pixels` has one per channel of the values that a reader decodes, so that a lossless rewrite by another
program keeps them true and one changed pixel does not; `bodydouble/stamp` is over the other attributes. They find
accidents and careless edits. Whoever wants to forge a frame can compute new digests: there is no secret in them. What
must stand against forgers is signed (`credentials`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodydouble.plates.plate import Part, Plate
from bodydouble.rights import rights_digest

PREFIX = "bodydouble/"
PIXELS, STAMP, EARLIER = PREFIX + "pixels", PREFIX + "stamp", PREFIX + "earlier"
SOURCE_TYPE = "Iptc4xmpExt:DigitalSourceType"
"""The property's name in the IPTC Photo Metadata Standard, where it is written into XMP."""
COMPOSITE_WITH_TRAINED_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
NO_RECORD = "no rights record"
NO_RECORD_NOTICE = "made without a record of the permission to show this face"
NOT_SEALED = "not sealed"
"""What `bodydouble/pixels` begins with when the file's compression changes pixels after the stamp is made."""

Value = str | int | float
_DIGITS = 32  # hexadecimal; 128 bits of SHA-256
_KEPT_OF_EARLIER = ("version", "persona", "persona_sha256", "rights", "rights_sha256", "plate", "plate_sha256", "job")


@dataclass(frozen=True)
class Origin:
    """What made a frame. Digests are SHA-256 in hexadecimal; empty text and None mean that there is nothing to say.

    Attributes:
        version: of Bodydouble.
        persona, persona_sha256: who appears, and the weights of that decoder.
        encoder_sha256, trunk_sha256: the weights that all personas share.
        settings: the look, by field.
        plate, plate_sha256: file name of the plate's frame, and its content.
        frame: its number.
        colorspace: of plate and result, OpenColorIO's name.
        production: what it was made for, as `--production` said.
        rights: the persona's rights record as a document, None without one.
        job: digest of everything the result depends on; a run that is resumed compares it.
        swapped: False for a frame without a face.
        shows: what the frame shows: "swap", "plate" (a copy of it) or "black".
        confidence, person: of the alignment; None without a face.
    """

    version: str
    persona: str
    persona_sha256: str
    encoder_sha256: str
    trunk_sha256: str
    settings: Mapping[str, Any]
    plate: str
    plate_sha256: str
    frame: int
    colorspace: str
    production: str | None
    rights: Mapping[str, Any] | None
    job: str
    swapped: bool
    shows: str = "swap"
    confidence: float | None = None
    person: int | None = None


def stamp_of(origin: Origin) -> dict[str, Value]:
    """The attributes that say where a frame comes from, not sealed yet."""
    settings = json.dumps(dict(origin.settings), sort_keys=True)
    record = origin.rights
    said: dict[str, Value | None] = {
        "version": origin.version,
        "persona": origin.persona,
        "persona_sha256": origin.persona_sha256,
        "encoder_sha256": origin.encoder_sha256,
        "trunk_sha256": origin.trunk_sha256,
        "settings": settings,
        "settings_sha256": hashlib.sha256(settings.encode()).hexdigest(),
        "plate": origin.plate,
        "plate_sha256": origin.plate_sha256,
        "frame": origin.frame,
        "colorspace": origin.colorspace,
        "production": origin.production,
        "rights": NO_RECORD if record is None else str(record.get("performer", "")),
        "rights_granted_by": None if record is None else str(record.get("granted_by", "")),
        "rights_contact": None if record is None else str(record.get("contact", "")),
        "rights_document_sha256": None if record is None else str(record.get("document_sha256", "")),
        "rights_sha256": None if record is None else rights_digest(record),
        "notice": NO_RECORD_NOTICE if record is None and origin.swapped else None,
        "job": origin.job,
        "swapped": int(origin.swapped),
        "shows": origin.shows,
        "confidence": None if origin.confidence is None else float(origin.confidence),
        "person": origin.person,
    }
    stamp: dict[str, Value] = {PREFIX + name: value for name, value in said.items() if value not in (None, "")}
    return stamp | ({SOURCE_TYPE: COMPOSITE_WITH_TRAINED_MEDIA} if origin.swapped else {})


def stamped(plate: Plate, stamp: Mapping[str, Value], lossy: str = "") -> Plate:
    """The plate with the stamp sealed over its pixels.

    A stamp that the plate carries already is kept as `bodydouble/earlier`, a JSON list, oldest first: a shot is often
    swapped once per person. lossy: the compression the file will be written with where it changes pixels, else "".
    """
    old = {name: value for name, value in plate.attributes.items() if name.startswith(PREFIX)}
    if old.get(PREFIX + "swapped"):
        earlier = json.loads(str(old.get(EARLIER, "[]")))
        kept = {name: old[PREFIX + name] for name in _KEPT_OF_EARLIER if PREFIX + name in old}
        stamp = {**stamp, EARLIER: json.dumps([*earlier, kept])}
    bare = plate.without_attributes(old)
    digests = None if lossy else pixel_digests(bare.parts, bare.main_index)
    return bare.with_attributes(sealed(stamp, digests, lossy))


def sealed(stamp: Mapping[str, Value], digests: Mapping[str, str] | None, lossy: str = "") -> dict[str, Value]:
    """The stamp with the digests of the pixels, and the digest of itself."""
    pixels = f"{NOT_SEALED}: {lossy} is lossy" if digests is None else json.dumps(dict(digests), sort_keys=True)
    whole = {**stamp, PIXELS: pixels}
    return {**whole, STAMP: stamp_digest(whole)}


def stamp_digest(attributes: Mapping[str, Any]) -> str:
    """Digest of the stamp among a header's attributes, itself left out. Floats count as the 32 bits that EXR stores."""
    ours = {name: _canonical(value) for name, value in attributes.items() if name.startswith(PREFIX) and name != STAMP}
    return hashlib.sha256(json.dumps(ours, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def pixel_digests(parts: Sequence[Part], main: int) -> dict[str, str]:
    """Digest by channel of what a reader sees; channels of parts other than the main one are named PART/CHANNEL."""
    return dict(_digests(parts, main))


def channel_digest(pixels: NDArray[Any], x0: int = 0, y0: int = 0) -> str:
    """Digest of the values of one channel, H×W of half, float or uint, whose first pixel lies at x0, y0.

    Equal for whatever decodes to the same values at the same places: a half channel and a float one of the same
    values, 0.0 and −0.0, any NaN and any other, a data window grown by black or cropped to what is not black.
    """
    kind, bits = _bits(pixels)
    rows, columns = np.flatnonzero(bits.any(axis=1)), np.flatnonzero(bits.any(axis=0))
    if not len(rows):
        return hashlib.sha256(b"black").hexdigest()[:_DIGITS]
    top, left = int(rows[0]), int(columns[0])
    seen = np.ascontiguousarray(bits[top : rows[-1] + 1, left : columns[-1] + 1])
    digest = hashlib.sha256(f"{kind} {x0 + left} {y0 + top} {seen.shape[1]} {seen.shape[0]}\n".encode())
    digest.update(seen.view(np.uint8).data)
    return digest.hexdigest()[:_DIGITS]


def _digests(parts: Sequence[Part], main: int) -> Iterator[tuple[str, str]]:
    for index, part in enumerate(parts):
        x0, y0, _, _ = part.data_region
        prefix = "" if index == main else f"{part.name or index + 1}/"
        for name, pixels in zip(part.channels, part.pixels, strict=True):
            yield prefix + name, channel_digest(pixels, x0, y0)


def _bits(pixels: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """The kind of the values and their bits, with one zero and one NaN; floats that half can hold count as half."""
    if pixels.dtype == np.uint32:
        return "uint", pixels
    if pixels.dtype == np.float32:
        with np.errstate(over="ignore"):
            half = pixels.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), pixels, equal_nan=True):
            whole = np.ascontiguousarray(pixels).view(np.uint32).copy()
            whole[pixels == 0] = 0
            whole[np.isnan(pixels)] = 0x7FC00000
            return "float", whole
        pixels = half
    bits = np.ascontiguousarray(pixels).view(np.uint16).copy()
    magnitude = bits & 0x7FFF
    bits[magnitude == 0] = 0
    bits[magnitude > 0x7C00] = 0x7E00
    return "half", bits


def _canonical(value: Any) -> Value:
    if isinstance(value, float):
        return float(np.float32(value)).hex()
    return value if isinstance(value, int) else str(value)
