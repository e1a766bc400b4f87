"""The stamp of a finished frame: digests of what a reader sees, and what rewrites do to them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bodydouble.plates.images import lossy_compression, read_plate, write_image, write_plate
from bodydouble.plates.plate import Plate
from bodydouble.swap.provenance import (
    COMPOSITE_WITH_TRAINED_MEDIA,
    NO_RECORD,
    SOURCE_TYPE,
    Origin,
    channel_digest,
    stamp_of,
    stamped,
)
from bodydouble.swap.verifying import verify_frame

RECORD = {"performer": "Anna", "granted_by": "Agency", "contact": "a@example.com", "expires": "2030-01-01"}
ORIGIN = Origin(
    version="9.9",
    persona="anna",
    persona_sha256="aa",
    encoder_sha256="bb",
    trunk_sha256="cc",
    settings={"edge": 3.0, "forehead": 0.6},
    plate="plate.1001.exr",
    plate_sha256="dd",
    frame=1001,
    colorspace="ACEScg",
    production="The Long Shot",
    rights=RECORD,
    job="ee",
    swapped=True,
    confidence=0.1,
    person=2,
)


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    """Half light with NaN, Inf, −0.0 and black borders, a float depth that half cannot hold."""
    random = np.random.default_rng(5)
    light = random.uniform(0, 4, (40, 60, 4)).astype(np.float32)
    light[:3] = light[:, -4:] = 0
    light[10, 10], light[11, 11], light[12, 12] = np.nan, np.inf, -0.0
    path = tmp_path / "plate.1001.exr"
    write_image(path, light, ("R", "G", "B", "A"), {"colorInteropID": "lin_rec709_scene"}, "half", "zip")
    return read_plate(path).with_channels({"depth.Z": random.uniform(0, 1, (40, 60)).astype(np.float32)}, "float")


@pytest.fixture
def finished(plate: Plate, tmp_path: Path) -> Path:
    path = tmp_path / "out.1001.exr"
    write_plate(path, stamped(plate, stamp_of(ORIGIN)))
    return path


def oiiotool(*arguments: object) -> None:
    """OpenImageIO's own command, as any pipeline has it."""
    command = Path(sys.executable).with_name("oiiotool")
    if not command.exists():
        pytest.skip("this OpenImageIO comes without oiiotool")
    subprocess.run([command, *map(str, arguments)], check=True, capture_output=True)


def status(path: Path) -> str:
    return verify_frame(read_plate(path), 1001).status


# ---------------------------------------------------------------- digests of pixels


def test_a_digest_is_of_values_not_of_how_they_are_stored():
    half = np.array([[0, 0, 0], [0, 1.5, 0], [0, np.nan, 65504]], np.float16)
    digest = channel_digest(half)
    assert channel_digest(half.astype(np.float32)) == digest
    assert channel_digest(-1 * half * -1) == digest
    assert channel_digest(half[1:], 0, 1) == digest
    assert channel_digest(np.pad(half, 3), -3, -3) == digest
    other_nan = half.copy()
    other_nan.view(np.uint16)[2, 1] = 0xFE01
    assert channel_digest(other_nan) == digest


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint32])
def test_one_changed_pixel_or_a_shift_changes_the_digest(dtype):
    pixels = np.arange(12, dtype=dtype).reshape(3, 4)
    changed = pixels.copy()
    changed[1, 1] += 1
    assert len({channel_digest(pixels), channel_digest(changed), channel_digest(pixels, 1, 0)}) == 3


def test_floats_beyond_half_are_told_apart_and_black_is_black_everywhere():
    fine = np.full((2, 2), 1 + 2**-20, np.float32)
    assert channel_digest(fine) != channel_digest(np.ones((2, 2), np.float32))
    assert channel_digest(np.full((2, 2), 1e9, np.float32)) != channel_digest(np.full((2, 2), np.inf, np.float32))
    assert channel_digest(np.zeros((2, 2), np.float16)) == channel_digest(np.zeros((5, 7), np.float32), 9, 9)


# ---------------------------------------------------------------- stamps


def test_a_stamped_frame_is_intact_and_says_what_made_it(finished: Path):
    verdict = verify_frame(read_plate(finished), 1001)
    assert (verdict.status, verdict.message) == ("intact", "")
    facts = verdict.facts
    assert facts["digital_source_type"] == COMPOSITE_WITH_TRAINED_MEDIA
    assert (facts["rights"], facts["rights_granted_by"], facts["production"]) == ("Anna", "Agency", "The Long Shot")
    assert len(facts["rights_sha256"]) == len(facts["settings_sha256"]) == 64
    assert "notice" not in facts


def test_without_a_record_the_stamp_carries_the_notice():
    stamp = stamp_of(replace(ORIGIN, rights=None))
    assert stamp["bodydouble/rights"] == NO_RECORD
    assert "permission" in str(stamp["bodydouble/notice"])


def test_a_frame_without_a_face_is_no_composite_and_keeps_the_plates_own_source_type(plate: Plate, tmp_path: Path):
    camera = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    stamp = stamp_of(replace(ORIGIN, swapped=False, confidence=None, person=None))
    write_plate(tmp_path / "out.exr", stamped(plate.with_attributes({SOURCE_TYPE: camera}), stamp))
    copy = read_plate(tmp_path / "out.exr")
    assert copy.attributes[SOURCE_TYPE] == camera
    assert verify_frame(copy, 1001).status == "intact"


def test_a_second_swap_keeps_who_was_swapped_first_and_nothing_stale(plate: Plate, finished: Path, tmp_path: Path):
    again = replace(ORIGIN, persona="ben", production=None, job="ff")
    write_plate(tmp_path / "both.exr", stamped(read_plate(finished), stamp_of(again)))
    verdict = verify_frame(read_plate(tmp_path / "both.exr"), 1001)
    assert verdict.status == "intact"
    assert (verdict.facts["persona"], verdict.facts["job"]) == ("ben", "ff")
    assert "production" not in verdict.facts
    (earlier,) = json.loads(verdict.facts["earlier"])
    assert (earlier["persona"], earlier["rights"]) == ("anna", "Anna")


@pytest.mark.parametrize(
    "arguments",
    [[], ["--compression", "piz"], ["-d", "float"], ["--tile", "16", "16"], ["--attrib", "artist", "somebody"]],
    ids=" ".join,
)
def test_the_stamp_survives_a_lossless_rewrite_through_oiiotool(finished: Path, tmp_path: Path, arguments: list[str]):
    oiiotool(finished, *arguments, "-o", tmp_path / "again.exr")
    verdict = verify_frame(read_plate(tmp_path / "again.exr"), 1001)
    assert (verdict.status, verdict.message) == ("intact", "")
    assert verdict.facts["persona"] == "anna"


def test_a_changed_pixel_is_found_and_its_channels_named(finished: Path, tmp_path: Path):
    oiiotool(finished, "--point:color=0.5,0.25,0.125,1,0.5", "20,20", "-o", tmp_path / "touched.exr")
    verdict = verify_frame(read_plate(tmp_path / "touched.exr"), 1001)
    assert verdict.status == "changed"
    assert "A, B, G, R" in verdict.message


def test_one_bit_of_one_pixel_is_enough(finished: Path, tmp_path: Path):
    before = read_plate(finished)
    pixels = before.main.channel("G").copy()
    pixels.view(np.uint16)[20, 20] ^= 1
    write_plate(tmp_path / "touched.exr", before.with_channels({"G": pixels.astype(np.float32)}))
    verdict = verify_frame(read_plate(tmp_path / "touched.exr"), 1001)
    assert (verdict.status, verdict.message) == ("changed", "pixels changed in: G")


def test_a_lossy_rewrite_is_found_and_says_that_it_may_be_only_that(finished: Path, tmp_path: Path):
    oiiotool(finished, "--compression", "dwaa:200", "-o", tmp_path / "lossy.exr")
    verdict = verify_frame(read_plate(tmp_path / "lossy.exr"), 1001)
    assert verdict.status == "changed"
    assert "dwaa, which is lossy" in verdict.message


def test_a_frame_that_is_written_lossily_says_that_its_pixels_are_not_sealed(plate: Plate, tmp_path: Path):
    assert lossy_compression(plate, "dwaa:60") == "dwaa"
    assert lossy_compression(plate, "pxr24") == "pxr24"
    assert lossy_compression(plate) == lossy_compression(plate, "zip") == ""
    write_plate(tmp_path / "out.exr", stamped(plate, stamp_of(ORIGIN), "dwaa"), "dwaa")
    verdict = verify_frame(read_plate(tmp_path / "out.exr"), 1001)
    assert verdict.status == "intact"
    assert "cannot be checked (not sealed: dwaa is lossy)" in verdict.message


def test_an_altered_attribute_a_removed_mark_and_a_stripped_stamp_are_found(finished: Path, tmp_path: Path):
    oiiotool(finished, "--attrib", "bodydouble/persona", "ben", "-o", tmp_path / "renamed.exr")
    oiiotool(finished, "--eraseattrib", SOURCE_TYPE, "-o", tmp_path / "unmarked.exr")
    oiiotool(finished, "--eraseattrib", "bodydouble/.*", "-o", tmp_path / "stripped.exr")
    found = [status(tmp_path / f"{name}.exr") for name in ("renamed", "unmarked", "stripped")]
    assert found == ["forged", "forged", "unstamped"]


def test_channels_that_comp_adds_are_told_and_those_it_drops_are_missed(finished: Path, tmp_path: Path):
    done = read_plate(finished)
    write_plate(tmp_path / "more.exr", done.with_channels({"mask.A": np.ones((40, 60), np.float32)}))
    more = verify_frame(read_plate(tmp_path / "more.exr"), 1001)
    assert (more.status, more.message) == ("intact", "added since: mask.A")
    oiiotool(finished, "--ch", "R,G,B", "-o", tmp_path / "fewer.exr")
    fewer = verify_frame(read_plate(tmp_path / "fewer.exr"), 1001)
    assert (fewer.status, fewer.message) == ("changed", "gone: A, depth.Z")
