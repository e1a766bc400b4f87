"""The attributes in the header of an EXR file, byte for byte, for what OpenImageIO does not carry from file to file.

OpenImageIO drops previews and attribute types it does not know, and adds some of its own (the time of writing as
`capDate`, which says when a picture was *taken*). So `images` keeps a plate's raw attributes and puts them into the
finished file: `put_attributes` rewrites the header and moves the chunk offsets by as much as it grew.

Source: OpenEXR File Layout, https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = 20000630
LONG_NAMES, MULTI_PART = 0x400, 0x1000
LONGEST_SHORT_NAME = 31
# A header is kilobytes, a preview a megabyte at most: a longer one is no header.
MAX_HEADER_BYTES = 64 << 20
FIRST_READ = 1 << 16

STRUCTURE = frozenset(
    {"channels", "chunkCount", "compression", "dataWindow", "deepImageState", "lineOrder", "tiles", "version"}
)
"""Attributes that say how the pixels lie in the file: those of the file that was written are the right ones."""


@dataclass(frozen=True)
class RawAttribute:
    """An attribute as it lies in the file: the name of its type and its bytes."""

    type: str
    value: bytes


Attributes = Mapping[str, RawAttribute]


def read_attributes(path: Path) -> tuple[Attributes, ...]:
    """The raw attributes of every part, by name. Errors: ValueError for what is no EXR header, OSError."""
    with open(path, "rb") as file:
        return _read(file)[1]


def put_attributes(path: Path, change: Callable[[int, Attributes], Attributes]) -> None:
    """Replace the attributes of every part by what `change(part, attributes)` makes of them; pixels stay.

    The attributes in `STRUCTURE` must come back unchanged. Errors: ValueError for what is no EXR header, OSError.
    """
    with open(path, "rb") as file:
        version, parts, size = _read(file)
        changed = tuple(change(index, part) for index, part in enumerate(parts))
        if [dict(part) for part in changed] == [dict(part) for part in parts]:
            return
        head = _encode(version, changed)
        offsets = _offsets(file, size)
        moved = struct.pack(f"<{len(offsets)}Q", *(at + len(head) - size for at in offsets))
        other = path.with_name(path.name + ".header")
        try:
            with open(other, "wb") as out:
                out.write(head + moved)
                shutil.copyfileobj(file, out, 1 << 22)
            os.replace(other, path)
        finally:
            other.unlink(missing_ok=True)


def _read(file: BinaryIO) -> tuple[int, tuple[Attributes, ...], int]:
    """Version field, attributes by part, and the header's size in bytes; the file is left at its end."""
    length = FIRST_READ
    while True:
        file.seek(0)
        data = file.read(length)
        try:
            version, parts, size = _decode(data)
        except (IndexError, struct.error) as error:
            if len(data) < length or length >= MAX_HEADER_BYTES:
                raise ValueError("the header is cut short") from error
            length *= 8
            continue
        file.seek(size)
        return version, parts, size


def _decode(data: bytes) -> tuple[int, tuple[Attributes, ...], int]:
    """IndexError or struct.error where the data ends too early."""
    magic, version = struct.unpack_from("<II", data)
    if magic != MAGIC:
        raise ValueError("no EXR file")
    parts: list[Attributes] = []
    position = 8
    while data[position]:
        attributes: dict[str, RawAttribute] = {}
        while data[position]:
            name, position = _text(data, position)
            kind, position = _text(data, position)
            (size,) = struct.unpack_from("<i", data, position)
            end = position + 4 + size
            if size < 0 or end > MAX_HEADER_BYTES:
                raise ValueError("an attribute has an impossible size")
            if end > len(data):
                raise IndexError
            attributes[name] = RawAttribute(kind, data[position + 4 : end])
            position = end
        parts.append(attributes)
        position += 1
        if not version & MULTI_PART:
            return version, tuple(parts), position
    return version, tuple(parts), position + 1


def _text(data: bytes, position: int) -> tuple[str, int]:
    end = data.find(b"\0", position, position + 256)
    if end < 0:
        if len(data) < position + 256:
            raise IndexError
        raise ValueError("a name has no end")
    # Latin-1 takes every byte and gives it back.
    return data[position:end].decode("latin-1"), end + 1


def _encode(version: int, parts: tuple[Attributes, ...]) -> bytes:
    named = [(name, attribute.type) for part in parts for name, attribute in part.items()]
    if any(len(text) > LONGEST_SHORT_NAME for pair in named for text in pair):
        version |= LONG_NAMES
    headers = [
        b"".join(
            name.encode("latin-1") + b"\0" + found.type.encode("latin-1") + b"\0"
            + struct.pack("<i", len(found.value)) + found.value
            for name, found in part.items()
        ) + b"\0"
        for part in parts
    ]  # fmt: skip
    return struct.pack("<II", MAGIC, version) + b"".join(headers) + (b"\0" if version & MULTI_PART else b"")


def _offsets(file: BinaryIO, start: int) -> list[int]:
    """The offset table that follows the header; it ends where the first chunk begins. The file is left there."""
    offsets: list[int] = []
    first = None
    while first is None or start + 8 * len(offsets) < first:
        entry = file.read(8)
        if len(entry) < 8:
            raise ValueError("the offset table is cut short")
        offsets += struct.unpack("<Q", entry)
        first = offsets[-1] if first is None else min(first, offsets[-1])
    if start + 8 * len(offsets) != first:
        raise ValueError("the offset table does not end where the first chunk begins")
    return offsets
