"""Header attributes byte for byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from bodydouble.errors import PlateError
from bodydouble.plates.exrheader import RawAttribute, put_attributes, read_attributes
from bodydouble.plates.images import read_plate, write_image, write_plate

PREVIEW = RawAttribute("preview", struct.pack("<II", 2, 1) + bytes(range(8)))
# Types that OpenImageIO does not know, or does not give back as they were.
ODD = {
    "preview": PREVIEW,
    "acme/rig": RawAttribute("acmeRigState", b"\x00\x01\xfe\xffbinary"),
    "timeCode": RawAttribute("timecode", struct.pack("<II", 0x12345678, 0x9ABCDEF0)),
    "keyCode": RawAttribute("keycode", struct.pack("<7i", 1, 2, 3, 4, 5, 6, 7)),
    "chromaticities": RawAttribute("chromaticities", struct.pack("<8f", *np.linspace(0.1, 0.8, 8))),
    "lensCurve": RawAttribute("floatvector", struct.pack("<3f", 1, 2, 3)),
    "notes": RawAttribute("string", b"caf\xe9 in latin-1"),
    "worldToCamera": RawAttribute("m44d", struct.pack("<16d", *range(16))),
    "slate": RawAttribute("stringvector", struct.pack("<i", 3) + b"abc" + struct.pack("<i", 0)),
    "a name that is longer than thirty-one characters": RawAttribute("rational", struct.pack("<iI", 24000, 1001)),
}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).random((70, 40, 4)).astype(np.float16)
    write_image(tmp_path / "odd.exr", pixels, ["R", "G", "B", "A"], compression="piz")
    put_attributes(tmp_path / "odd.exr", lambda _, attributes: {**attributes, **ODD})
    return tmp_path / "odd.exr"


def test_pixels_are_read_as_before_after_attributes_were_put_in(odd: Path):
    pixels = np.random.default_rng(0).random((70, 40, 4)).astype(np.float16)
    image = oiio.ImageInput.open(str(odd))
    np.testing.assert_array_equal(image.read_image(oiio.HALF), pixels)
    (attributes,) = read_attributes(odd)
    assert {name: attributes[name] for name in ODD} == ODD


def test_a_plate_keeps_attributes_of_every_type_and_gets_none_that_it_did_not_have(odd: Path, tmp_path: Path):
    write_plate(tmp_path / "out.exr", read_plate(odd))
    assert read_attributes(tmp_path / "out.exr") == read_attributes(odd)


def test_our_attributes_come_on_top_and_replace_those_of_the_same_name(odd: Path, tmp_path: Path):
    plate = read_plate(odd).with_attributes({"bodydouble/persona": "anna", "notes": "new"})
    write_plate(tmp_path / "out.exr", plate)
    (before,), (after,) = read_attributes(odd), read_attributes(tmp_path / "out.exr")
    assert after["bodydouble/persona"].value == b"anna" and after["notes"].value == b"new"
    assert {**before, "notes": after["notes"], "bodydouble/persona": after["bodydouble/persona"]} == dict(after)


def test_no_capture_date_is_invented(tmp_path: Path):
    write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    write_plate(tmp_path / "a.exr", read_plate(tmp_path / "a.png"))
    assert "capDate" not in read_attributes(tmp_path / "a.exr")[0]


@pytest.mark.parametrize("kept", [0, 3, 9, 30, 200])
def test_a_header_that_is_cut_short_is_refused(odd: Path, kept: int):
    odd.write_bytes(odd.read_bytes()[:kept])
    with pytest.raises(ValueError, match="cut short"):
        read_attributes(odd)


def test_what_is_no_exr_and_lying_sizes_are_refused(odd: Path):
    data = odd.read_bytes()
    odd.write_bytes(b"JUNK" + data[4:])
    with pytest.raises(ValueError, match="no EXR"):
        read_attributes(odd)
    at = data.index(b"compression\0compression\0") + 24
    odd.write_bytes(data[:at] + struct.pack("<i", -5) + data[at + 4 :])
    with pytest.raises(ValueError, match="impossible size"):
        read_attributes(odd)


def test_a_failed_change_leaves_the_file_as_it_was(odd: Path, tmp_path: Path):
    before = odd.read_bytes()
    with pytest.raises(ZeroDivisionError):
        put_attributes(odd, lambda _, attributes: {"x": 1 / 0})  # type: ignore[dict-item]
    assert odd.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["odd.exr"]


def test_a_plate_whose_header_is_damaged_is_refused_by_name(odd: Path):
    odd.write_bytes(odd.read_bytes()[:400])
    with pytest.raises(PlateError, match=r"odd\.exr"):
        read_plate(odd)
