"""The frame's straight line and sequences, with a small untrained comb and faces placed by hand."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bodydouble.alignment.geometry import EYE_LINE, INTEROCULAR
from bodydouble.alignment.shotfaces import ShotFaces
from bodydouble.errors import ModelError, NoFaceError, RightsError, UnknownPersonaError, UsageError
from bodydouble.network.checkpoint import CombCard, PersonaCard, load_comb, save_comb
from bodydouble.network.comb import Comb, CombDims
from bodydouble.plates.colour import Colour
from bodydouble.plates.images import read_headers, read_plate, write_image
from bodydouble.plates.modelspace import ModelSpace
from bodydouble.plates.plate import Plate
from bodydouble.plates.sequences import PlateSequence
from bodydouble.rights import RightsRecord, rights_to_document
from bodydouble.settings import SwapSettings
from bodydouble.swap.framejob import FrameResult
from bodydouble.swap.lookfile import ShotLook
from bodydouble.swap.swapframe import SwapModel, load_swap_model, swap_frame
from bodydouble.swap.swaplayers import LAYERS
from bodydouble.swap.swapping import swap_sequence
from bodydouble.swap.swapstages import blend_size, face_region, plate_to_model_space, warp_to_crop
from tiny import face_at

WIDTH, HEIGHT, FRAMES = 96, 80, (1001, 1002, 1003, 1004)


def picture(seed: int) -> NDArray[np.float32]:
    """Smooth light with highlights far above 1, negative values, and NaN and Inf inside and outside the face."""
    random = np.random.default_rng(seed)
    coarse = torch.from_numpy(random.uniform(0.02, 0.9, (1, 3, 6, 6)).astype(np.float32))
    light = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bicubic")[0].permute(1, 2, 0).numpy()
    light[30:33, 45:50] = 9.0
    light[2, 2] = -0.25
    light[3, 3], light[40, 48] = np.nan, np.inf
    return np.ascontiguousarray(light)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("model") / "cast.comb"
    dims = CombDims(level=3, width=1 / 64)
    record = RightsRecord("Ann Example", "Ann's agent", date(2020, 1, 1), "agent@example.org", productions=("Show",))
    expired = dataclasses.replace(record, performer="Bo Example", expires=date(2021, 1, 1), productions=())
    cards = (
        PersonaCard("anna"),
        PersonaCard("ben", rights_to_document(record)),
        PersonaCard("bo", rights_to_document(expired)),
    )
    card = CombCard(dims, ModelSpace(), INTEROCULAR, EYE_LINE, 0.7, cards)
    save_comb(folder, Comb(dims, card.names), card)
    return folder


@pytest.fixture(scope="module")
def colour() -> Colour:
    return Colour(None)


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> PlateSequence:
    folder = tmp_path_factory.mktemp("plates")
    for frame in FRAMES:
        light = picture(frame)
        depth = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH, 1)
        write_image(
            folder / f"plate.{frame}.exr",
            np.concatenate([light, np.ones_like(depth), depth], axis=2),
            channel_names=("R", "G", "B", "A", "depth.Z"),
            attributes={"colorInteropID": "lin_rec709_scene", "camera": "second unit"},
            format="half",
            compression="zip",
        )
    return PlateSequence.find(folder / "plate.####.exr")


@pytest.fixture(scope="module")
def shot(plates: PlateSequence) -> ShotFaces:
    faces = {frame: (face_at(48 + index, 42, 60, 0.1 * index),) for index, frame in enumerate(FRAMES)}
    return ShotFaces(plates.pattern, WIDTH, HEIGHT, faces)


@pytest.fixture(scope="module")
def model(model_folder: Path) -> SwapModel:
    return load_swap_model(model_folder, "anna", "cpu")


def bits(plate: Plate) -> dict[str, NDArray[Any]]:
    return {name: as_bits(plate.main.channel(name)) for name in plate.main.channels}


def as_bits(pixels: NDArray[Any]) -> NDArray[np.unsignedinteger[Any]]:
    return np.ascontiguousarray(pixels).view(f"u{pixels.itemsize}")


def run(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, out: Path, colour: Colour, **options: object
) -> list[FrameResult]:
    settings = options.pop("settings", SwapSettings(layers=True))
    frames = options.pop("frames", FRAMES)
    target = PlateSequence.output(out, like=plates)
    arguments = {"device": "cpu", **options}
    results: Iterator[FrameResult] = swap_sequence(
        plates,
        target,
        model_folder,
        "anna",
        shot,
        frames,
        colour,
        None,
        settings,
        **arguments,  # type: ignore[arg-type]
    )
    return list(results)


def test_pixels_outside_the_matte_are_bit_identical_and_inside_they_change(
    plates: PlateSequence, shot: ShotFaces, model: SwapModel, colour: Colour
) -> None:
    plate = read_plate(plates.path(1002))
    swapped = swap_frame(plate, shot.frames[1002][0], model, colour, None, SwapSettings())
    before, after = bits(plate), bits(swapped.plate)
    assert swapped.matte.max() == 1.0
    for name in "RGB":
        changed = before[name] != after[name]
        assert not changed[swapped.matte == 0].any()
        assert changed[swapped.matte == 1].mean() > 0.8
    assert np.array_equal(before["A"], after["A"])
    assert np.array_equal(before["depth.Z"], after["depth.Z"])


def test_nan_and_inf_stay_where_they_are_and_spread_nowhere(
    plates: PlateSequence, shot: ShotFaces, model: SwapModel, colour: Colour
) -> None:
    plate = read_plate(plates.path(1001))
    result = swap_frame(plate, shot.frames[1001][0], model, colour, None, SwapSettings()).plate
    assert np.array_equal(np.isfinite(plate.rgb()), np.isfinite(result.rgb()))
    assert np.isinf(result.rgb()[40, 48]).all()


def test_the_same_frame_twice_gives_the_same_pixels(
    plates: PlateSequence, shot: ShotFaces, model: SwapModel, colour: Colour
) -> None:
    plate = read_plate(plates.path(1003))
    first, second = (
        bits(swap_frame(plate, shot.frames[1003][0], model, colour, None, SwapSettings()).plate) for _ in range(2)
    )
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_persona_that_returns_the_plate_leaves_the_face_as_it_was(
    plates: PlateSequence, shot: ShotFaces, model: SwapModel, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The straight line without the network is the identity up to resampling: colour, warps, blend and matte."""
    monkeypatch.setattr("bodydouble.swap.swapframe.encode", lambda _comb, crop, _precision: crop)
    monkeypatch.setattr("bodydouble.swap.swapframe.decode", lambda _comb, latent, _persona, _precision: latent)
    large = dataclasses.replace(model, comb=Comb(CombDims(7, 1 / 64), ["anna"]))
    plate = read_plate(plates.path(1004))
    result = swap_frame(plate, shot.frames[1004][0], large, colour, None, SwapSettings(blend_size=512)).plate
    before, after = np.nan_to_num(plate.rgb(), posinf=99), np.nan_to_num(result.rgb(), posinf=99)
    error = np.abs(before - after)[np.abs(before) < 2]
    assert np.median(error) < 1e-3
    assert np.percentile(error, 99) < 0.05


def test_a_face_cut_by_the_frame_works_and_one_outside_says_so(
    plates: PlateSequence, model: SwapModel, colour: Colour
) -> None:
    plate = read_plate(plates.path(1001))
    swapped = swap_frame(plate, face_at(2, 40, 60), model, colour, None, SwapSettings())
    assert swapped.matte[:, 0].max() == 1.0
    with pytest.raises(NoFaceError, match="outside the picture"):
        swap_frame(plate, face_at(-400, 40, 60), model, colour, None, SwapSettings())


def test_the_crop_of_a_hand_placed_face_samples_the_plate_at_its_centre(plates: PlateSequence, colour: Colour) -> None:
    plate = read_plate(plates.path(1001))
    face = face_at(40.0, 36.0, 32)
    piece = plate_to_model_space(
        plate, face_region(plate, face), colour.converter("lin_rec709_scene", "ACEScg"), ModelSpace()
    )
    crop = warp_to_crop(piece, face, 32)  # one crop pixel per plate pixel: unit 0.5 is crop coordinate 15.5
    x0, y0 = piece.region[:2]
    around = piece.picture[0, :, 36 - y0 - 1 : 36 - y0 + 1, 40 - x0 - 1 : 40 - x0 + 1]
    assert torch.isfinite(crop).all()
    assert float(crop[0, :, 15:17, 15:17].mean()) == pytest.approx(float(around.mean()), abs=0.02)


def test_the_blend_size_is_the_power_of_two_that_holds_the_face_or_all_of_the_swap() -> None:
    assert [blend_size(side, 1024) for side in (1, 64, 65, 393, 513, 1300, 10**6)] == [
        64,
        64,
        128,
        512,
        1024,
        1024,
        1024,
    ]
    assert [blend_size(side, 8) for side in (1, 393, 5000)] == [64, 64, 64]
    assert blend_size(3000, 256) == 256


def test_a_sequence_is_swapped_with_provenance_and_a_matte(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, colour: Colour, tmp_path: Path
) -> None:
    results = run(plates, shot, model_folder, tmp_path, colour)
    assert [(result.frame, result.status) for result in results] == [(frame, "done") for frame in FRAMES]
    assert set(results[0].seconds) == {"read", "crop", "network", "blend", "write"}
    plate, result = read_plate(plates.path(1001)), read_plate(tmp_path / "plate.1001.exr")
    assert set(result.main.channels) == {*plate.main.channels, *LAYERS}
    matte = result.main.channel("bodydouble.matte")
    before, after = bits(plate), bits(result)
    assert all(np.array_equal(before[name][matte == 0], after[name][matte == 0]) for name in plate.main.channels)
    written = result.attributes
    assert written["camera"] == "second unit"
    assert written["bodydouble/persona"] == "anna"
    assert written["bodydouble/rights"] == "no rights record"
    assert written["bodydouble/confidence"] == pytest.approx(1.0)


def test_any_chunking_gives_the_same_frames(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, colour: Colour, tmp_path: Path
) -> None:
    run(plates, shot, model_folder, tmp_path / "whole", colour)
    for chunk in ((1003, 1001), (1004,), (1002,)):
        run(plates, shot, model_folder, tmp_path / "parts", colour, frames=chunk)
    for frame in FRAMES:
        whole, part = (bits(read_plate(tmp_path / name / f"plate.{frame}.exr")) for name in ("whole", "parts"))
        assert all(np.array_equal(whole[name], part[name]) for name in whole)


def test_frames_of_the_same_job_are_skipped_and_others_are_not_overwritten(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, colour: Colour, tmp_path: Path
) -> None:
    run(plates, shot, model_folder, tmp_path, colour)
    stamp = (tmp_path / "plate.1001.exr").stat().st_mtime_ns
    assert {result.status for result in run(plates, shot, model_folder, tmp_path, colour)} == {"skipped"}
    other = SwapSettings(layers=True, forehead=0.2)
    refused = run(plates, shot, model_folder, tmp_path, colour, settings=other)
    assert {result.status for result in refused} == {"failed"}
    assert "--overwrite" in refused[0].message
    assert (tmp_path / "plate.1001.exr").stat().st_mtime_ns == stamp
    again = run(plates, shot, model_folder, tmp_path, colour, settings=other, overwrite=True)
    assert {result.status for result in again} == {"done"}


def test_a_missing_and_a_damaged_frame_fail_alone_and_leave_no_file(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, colour: Colour, tmp_path: Path
) -> None:
    folder = tmp_path / "plates"
    folder.mkdir()
    for frame in (1001, 1003, 1004):
        data = plates.path(frame).read_bytes()
        (folder / f"plate.{frame}.exr").write_bytes(data[: len(data) // 2] if frame == 1003 else data)
    broken = PlateSequence.find(folder / "plate.####.exr")
    results = {result.frame: result for result in run(broken, shot, model_folder, tmp_path / "out", colour)}
    assert {frame: result.status for frame, result in results.items()} == {
        1001: "done",
        1002: "missing",
        1003: "failed",
        1004: "done",
    }
    assert "plate.1002.exr" in results[1002].message
    assert "plate.1003.exr" in results[1003].message
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["plate.1001.exr", "plate.1004.exr"]


def test_a_frame_without_a_face_fails_unless_the_plate_may_stand_for_it(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, colour: Colour, tmp_path: Path
) -> None:
    faces = {**shot.frames, 1002: (), 1003: (face_at(48, 42, 60, confidence=0.05),)}
    gappy = dataclasses.replace(shot, frames=faces)
    results = run(plates, gappy, model_folder, tmp_path / "fail", colour)
    assert [result.status for result in results] == ["done", "no_face", "no_face", "done"]
    assert "confidence 0.05" in results[2].message
    allowed = run(plates, gappy, model_folder, tmp_path / "plate", colour, settings=SwapSettings(on_no_face="plate"))
    assert [result.status for result in allowed] == ["done"] * 4
    assert "no face" in allowed[1].message
    copied = read_plate(tmp_path / "plate" / "plate.1002.exr")
    assert copied.attributes["bodydouble/swapped"] == 0
    before, after = bits(read_plate(plates.path(1002))), bits(copied)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_shot_faces_of_a_plate_of_another_size_are_refused_and_so_is_a_frame_that_is_larger(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, colour: Colour, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=rf"is {WIDTH}x{HEIGHT}, and the shot faces are of a plate of {WIDTH}x99"):
        run(plates, dataclasses.replace(shot, height=99), model_folder, tmp_path / "out", colour)
    for frame in FRAMES:
        shutil.copy(plates.path(frame), tmp_path / f"plate.{frame}.exr")
    odd = FRAMES[1]
    write_image(tmp_path / f"plate.{odd}.exr", np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.float32))
    results = run(PlateSequence.find(tmp_path / "plate.####.exr"), shot, model_folder, tmp_path / "out", colour)
    assert {result.frame: result.status for result in results} == {
        frame: "failed" if frame == odd else "done" for frame in FRAMES
    }
    assert f"is {2 * WIDTH}x{2 * HEIGHT}, and the shot faces" in results[1].message


def test_the_plate_itself_is_never_written(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, colour: Colour
) -> None:
    with pytest.raises(UsageError):
        run(plates, shot, model_folder, plates.path(1001).parent, colour, overwrite=True)


def test_rights_are_checked_before_the_first_frame(model_folder: Path) -> None:
    with pytest.raises(RightsError, match="ended on 2021-01-01"):
        load_swap_model(model_folder, "bo", "cpu")
    with pytest.raises(RightsError, match="--production"):
        load_swap_model(model_folder, "ben", "cpu")
    assert load_swap_model(model_folder, "ben", "cpu", production="Show").notice is None
    notice = load_swap_model(model_folder, "anna", "cpu").notice
    assert notice is not None and "no rights record" in notice


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda entry: entry["rights"].update(productions=[]), "was changed after training"),
        (lambda entry: entry.update(rights=None), "was taken away after training"),
    ],
)
def test_a_tampered_rights_record_is_refused_with_whom_to_ask(
    model_folder: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "cast.comb"))
    document = json.loads((folder / "comb.json").read_text())
    change(document["personas"]["ben"])
    (folder / "comb.json").write_text(json.dumps(document))
    with pytest.raises(RightsError, match=says) as caught:
        load_swap_model(folder, "ben", "cpu", production="Show")
    assert "ask whoever trained it" in str(caught.value)
    assert load_swap_model(folder, "anna", "cpu").notice is not None


def test_an_unknown_persona_lists_those_the_model_has(model_folder: Path) -> None:
    with pytest.raises(UnknownPersonaError, match=r"\.comb has no persona .ana.\. Did you mean: anna"):
        load_swap_model(model_folder, "ana", "cpu")


def test_a_model_that_misses_a_file_names_it(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "comb.json").write_text((model_folder / "comb.json").read_text())
    with pytest.raises(ModelError, match=r"encoder\.safetensors is missing"):
        load_comb(tmp_path, ["anna"])


def test_an_unknown_person_of_the_shot_is_refused(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, colour: Colour, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no person 5"):
        run(plates, shot, model_folder, tmp_path, colour, person=5)


def test_finished_frames_name_what_made_them_in_their_header(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, colour: Colour, tmp_path: Path
) -> None:
    run(plates, shot, model_folder, tmp_path, colour, frames=(1001,))
    attributes = read_headers(tmp_path / "plate.1001.exr")[0].attributes
    wanted = {"version", "persona", "persona_sha256", "encoder_sha256", "rights", "settings", "job", "swapped"}
    assert wanted <= {name.removeprefix("bodydouble/") for name in attributes}


def test_key_frames_change_the_look_of_their_frames_and_each_frame_says_its_own(
    plates: PlateSequence, shot: ShotFaces, model_folder: Path, tmp_path: Path, colour: Colour
) -> None:
    look = ShotLook(SwapSettings(), {"edge": {1001: 2.0, 1003: 10.0}})
    run(plates, shot, model_folder, tmp_path / "keyed", colour, settings=look, frames=(1001, 1002))
    run(plates, shot, model_folder, tmp_path / "plain", colour, settings=SwapSettings(edge=6.0), frames=(1002,))
    keyed = read_plate(tmp_path / "keyed" / plates.path(1002).name)
    plain = read_plate(tmp_path / "plain" / plates.path(1002).name)
    assert all(np.array_equal(bits(keyed)[name], bits(plain)[name]) for name in "RGB")
    assert json.loads(keyed.attributes["bodydouble/settings"])["edge"] == 6.0
    first = read_headers(tmp_path / "keyed" / plates.path(1001).name)[0]
    assert json.loads(first.attributes["bodydouble/settings"])["edge"] == 2.0
