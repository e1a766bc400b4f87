"""Content Credentials in review media: signed, read by c2pa's own reader, and broken by one byte."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bodydouble.errors import InputError, OutputError, UsageError
from bodydouble.plates.images import write_image
from bodydouble.reviews import credentials
from bodydouble.reviews.credentials import DISCLOSURE, StudioKey, manifest_of, read_credentials, sign_media
from bodydouble.swap.provenance import COMPOSITE_WITH_TRAINED_MEDIA
from bodydouble_cli.main import run
from certificates import make_certificates

FACTS = {"version": "9.9", "persona": "anna", "persona_sha256": "ab" * 32, "rights": "Anna", "plate": "secret.1001.exr"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudioKey, Path]:
    """A key to sign with, and the root that vouches for it."""
    chain, key, root = make_certificates(tmp_path_factory.mktemp("studio"))
    return StudioKey(chain, key), root


def picture(path: Path) -> Path:
    shades = np.linspace(0, 1, 48 * 64 * 3, dtype=np.float32).reshape(48, 64, 3)
    write_image(path, shades)
    return path


def movie(path: Path) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 60 * shade, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def medium(folder: Path, suffix: str) -> Path:
    path = folder / f"review{suffix}"
    return movie(path) if suffix in (".mp4", ".mov") else picture(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".mp4", ".mov"])
def test_a_signed_medium_validates_with_the_librarys_own_reader(tmp_path: Path, studio, suffix: str):
    import c2pa

    key, _ = studio
    signed = tmp_path / f"signed{suffix}"
    sign_media(medium(tmp_path, suffix), signed, FACTS, key)
    with c2pa.Reader(str(signed)) as reader:
        assert reader.get_validation_state() == "Valid"
        document = json.loads(reader.json())
    said = {one["label"]: one["data"] for one in document["manifests"][document["active_manifest"]]["assertions"]}
    (created,) = said["c2pa.actions.v2"]["actions"]
    assert created["digitalSourceType"] == COMPOSITE_WITH_TRAINED_MEDIA
    assert said["c2pa.ai-disclosure"]["modelIdentifier"] == "sha256:" + "ab" * 32
    assert "Article 50" in said[DISCLOSURE]["statement"] and said[DISCLOSURE]["deep_fake"] is True
    assert said[DISCLOSURE]["rights"] == "Anna"
    assert "secret" not in json.dumps(document)


def envelope(data: bytes, suffix: str) -> range:
    """Where the manifest lies in a file: the PNG's caBX chunk, the JPEG's APP11 segment, the MP4's uuid box."""
    if suffix == ".png":
        start = data.index(b"caBX") - 4
        return range(start, start + 12 + int.from_bytes(data[start : start + 4], "big"))
    if suffix == ".jpg":
        start = data.index(b"\xff\xeb")
        return range(start, start + 2 + int.from_bytes(data[start + 2 : start + 4], "big"))
    start = data.index(b"uuid") - 4
    return range(start, start + int.from_bytes(data[start : start + 4], "big"))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".mp4"])
def test_one_changed_byte_makes_it_invalid(tmp_path: Path, studio, suffix: str):
    """A byte of the picture, wherever it is, or of what was said of it.

    C2PA leaves out what says neither: the padding behind the signature, the lengths and labels of the manifest's own
    boxes, and an MP4's first box.
    """
    key, root = studio
    path = medium(tmp_path, suffix)
    sign_media(path, path, FACTS, key)
    whole = path.read_bytes()
    assert read_credentials(path, root).state == "trusted"
    manifest = envelope(whole, suffix)
    first = int.from_bytes(whole[:4], "big") if suffix == ".mp4" else 0
    of_the_picture = [place for place in range(first, len(whole)) if place not in manifest]
    said = [whole.index(text) + 3 for text in (b"deep_fake", b"disclosed as Article 50", b"anna", b"Test Studio")]
    for place in (*np.random.default_rng(1).choice(of_the_picture, 30, replace=False), of_the_picture[-1], *said):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        found = read_credentials(path, root)
        assert found.state in ("invalid", "none"), f"byte {place} of {len(whole)}: {found}"
    path.write_bytes(whole + b"\0")
    assert read_credentials(path, root).state == "invalid"


def test_who_signed_is_told_and_trusted_only_by_a_root_that_vouches_for_it(tmp_path: Path, studio):
    key, root = studio
    path = picture(tmp_path / "a.png")
    sign_media(path, path, FACTS, key)
    unknown = read_credentials(path)
    assert (unknown.state, unknown.signer) == ("valid", "Test Studio, Review")
    assert unknown.disclosure["made_by"]["persona"] == "anna"
    assert read_credentials(path, root).state == "trusted"
    _, _, other = make_certificates(tmp_path, "Another Studio")
    assert read_credentials(path, other).state == "valid"


def test_a_medium_without_credentials_says_so(tmp_path: Path, studio):
    assert read_credentials(picture(tmp_path / "a.png")).state == "none"


def test_what_cannot_be_signed_says_why_and_leaves_nothing_behind(tmp_path: Path, studio):
    key, _ = studio
    path = picture(tmp_path / "a.png")
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"only \.png"):
        sign_media(tmp_path / "review.html", tmp_path / "review.html", FACTS, key)
    with pytest.raises(UsageError, match="does not convert"):
        sign_media(path, tmp_path / "a.jpg", FACTS, key)
    with pytest.raises(InputError, match=r"none\.png"):
        sign_media(tmp_path / "none.png", tmp_path / "none.png", FACTS, key)
    with pytest.raises(InputError, match=r"none\.pem"):
        sign_media(path, path, FACTS, StudioKey(tmp_path / "none.pem", key.key))
    with pytest.raises(UsageError, match="no private key"):
        sign_media(path, path, FACTS, StudioKey(key.certificate, key.certificate))
    (other := tmp_path / "other").mkdir()
    _, stranger, _ = make_certificates(other)
    with pytest.raises(OutputError, match="cannot be signed"):
        sign_media(path, path, FACTS, StudioKey(key.certificate, stranger))
    assert path.read_bytes() == before
    assert {place.name for place in tmp_path.iterdir()} == {"a.png", "other"}


def test_without_the_extra_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(UsageError, match=r"\[c2pa\]"):
        credentials.read_credentials(picture(tmp_path / "a.png"))


def test_only_what_is_not_confidential_is_signed():
    facts = {**FACTS, "settings": "{}", "production": "The Long Shot", "notice": "made without a record"}
    text = json.dumps(manifest_of("a.png", facts))
    assert "secret" not in text and "settings" not in text
    assert "made without a record" in text


def test_a_review_folder_is_signed_and_verified_from_the_command_line(tmp_path: Path, studio, capsys):
    key, root = studio
    review = tmp_path / "review"
    stamp = {"bodydouble/persona": "anna", "bodydouble/swapped": 1, "bodydouble/version": "9.9"}
    write_image(tmp_path / "swap" / "out.1001.exr", np.zeros((8, 8, 3), np.float32), attributes=stamp)
    for name in ("contact_sheet.png", "worst.jpg"):
        picture(review / name)
    (review / "review.html").write_text("<p>")
    signing = ["--frames-of", tmp_path / "swap", "--certificate", key.certificate, "--key", key.key]
    assert run(["sign", str(review), *map(str, signing)]) == 0
    assert run(["verify", str(review), "--trust", str(root)]) == 0
    assert "found: 2 intact" in capsys.readouterr().out
    sheet = bytearray((review / "contact_sheet.png").read_bytes())
    sheet[-30] ^= 1
    (review / "contact_sheet.png").write_bytes(sheet)
    assert run(["verify", str(review), "--trust", str(root), "--json"]) == 4
    found = {Path(one["path"]).name: one["status"] for one in json.loads(capsys.readouterr().out)["frames"]}
    assert found == {"contact_sheet.png": "changed", "worst.jpg": "intact"}


def test_frames_without_a_stamp_cannot_vouch_for_a_review(tmp_path: Path, studio, capsys):
    key, _ = studio
    write_image(tmp_path / "plate" / "out.1001.exr", np.zeros((8, 8, 3), np.float32))
    picture(tmp_path / "a.png")
    arguments = [tmp_path / "a.png", "--frames-of", tmp_path / "plate", "--certificate", key.certificate]
    assert run(["sign", *map(str, arguments), "--key", str(key.key)]) == 3
    assert "no frame carries the stamp" in capsys.readouterr().err
