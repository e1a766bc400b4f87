"""`inspect`: what a path is."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from bodydouble.alignment.shotfaces import Face, ShotFaces, write_shot_faces
from bodydouble.errors import InputError, ModelError, PlateError, UsageError
from bodydouble.inspecting import inspect
from bodydouble.network.comb import CombDims, PersonaDecoder
from bodydouble.plates.colour import Colour
from bodydouble.plates.exrheader import RawAttribute, put_attributes
from bodydouble.plates.images import read_plate, write_image, write_plate
from tiny import tiny_comb


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    pixels = np.full((6, 8, 4), 0.5, np.float32)
    attributes = {"shot": "sh010", "colorInteropID": "lin_rec709_scene"}
    for frame in (1001, 1002, 1004):
        write_image(tmp_path / "in" / f"a.{frame}.exr", pixels, ["R", "G", "B", "A"], attributes, "half", "zips")
    return tmp_path / "in" / "a.####.exr"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "cast.comb"
    (folder / "personas").mkdir(parents=True)
    entry = {"sha256": "", "crops": 40, "rights": {"holder": "Ann"}, "later": 1}
    document = {
        "schema": "bodydouble.comb",
        "version": 1,
        "dims": {"level": 5, "size": 128, "width": 0.5},
        "personas": {"A": entry, "B": {}},
        "history": [{}, {}],
        "unheard_of": {},
    }
    (folder / "comb.json").write_text(json.dumps(document))
    header = json.dumps({"__metadata__": {}, "w": {"dtype": "F16", "shape": [3, 4], "data_offsets": [0, 24]}}).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(24)
    for name in ("encoder", "trunk", "personas/A"):
        (folder / f"{name}.safetensors").write_bytes(weights)
    return folder


def test_a_plate_says_frames_gaps_windows_channels_and_colour_space(plate: Path):
    result = inspect(plate, Colour("ocio://studio-config-latest"))
    facts = result.as_dict()
    assert (facts["kind"], facts["frames"], facts["missing_frames"]) == ("plate", "1001-1002,1004", "1003")
    assert facts["size"] == "8x6" and facts["colour_space"] == "Linear Rec.709 (sRGB)"
    (part,) = facts["parts"]
    assert part["channels"] == {"half": "R G B A"} and part["compression"] == "zips"
    assert part["data_window"] == part["display_window"] == [0, 0, 8, 6]
    assert facts["attributes"]["shot"] == "sh010" and facts["made_by_bodydouble"] is None


def test_a_plate_in_an_unknown_space_is_still_described(tmp_path: Path):
    odd = RawAttribute("chromaticities", struct.pack("<8f", 0.7, 0.3, 0.2, 0.7, 0.1, 0.1, 0.3, 0.3))
    write_image(tmp_path / "b.exr", np.ones((4, 4, 3), np.float32))
    put_attributes(tmp_path / "b.exr", lambda _, attributes: {**attributes, "chromaticities": odd})
    assert "--colorspace" in inspect(tmp_path / "b.exr", Colour("ocio://studio-config-latest")).facts["colour_space"]


def test_a_finished_frame_says_who_appears_in_it(plate: Path, tmp_path: Path):
    frame = plate.with_name("a.1001.exr")
    write_plate(tmp_path / "out.1001.exr", read_plate(frame).with_attributes({"bodydouble/persona": "A"}))
    result = inspect(tmp_path / "out.1001.exr")
    assert result.kind == "finished frames" and result.facts["made_by_bodydouble"] == {"persona": "A"}
    assert "bodydouble/persona" not in result.facts["attributes"]


def test_shot_faces_say_plate_frames_and_people(tmp_path: Path):
    landmarks = np.random.default_rng(0).uniform(100, 200, (68, 2))
    faces = [Face(np.array([90.0, 90, 210, 210]), landmarks, 1.0, 0.9, person) for person in (0, 1)]
    shot = ShotFaces("a.####.exr", 960, 540, {1001: tuple(faces), 1002: (faces[0],), 1003: ()})
    write_shot_faces(tmp_path / "a.faces.json", shot)
    facts = inspect(tmp_path / "a.faces.json").as_dict()
    assert facts["kind"] == "shot faces" and facts["size"] == "960x540" and facts["frames"] == "1001-1003"
    assert facts["persons"] == {"0": "2 frames", "1": "1 frames"} and facts["frames_without_a_face"] == "1003"


def test_a_faceset_says_persona_size_and_crops(tmp_path: Path):
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "1.exr").write_bytes(bytes(100))
    document = {"schema": "bodydouble.faceset", "version": 1, "persona": "A", "size": 128, "crops": [{}], "later": [1]}
    (tmp_path / "faceset.json").write_text(json.dumps(document))
    facts = inspect(tmp_path).as_dict()
    assert (facts["kind"], facts["persona"], facts["size"], facts["crops"]) == ("faceset", "A", 128, 1)
    assert facts["bytes"] == 100 and facts["later"] == [1]
    assert "yaw_deg" not in facts


def test_a_faceset_says_what_its_crops_span(tmp_path: Path):
    crops: list[object] = [{"yaw_deg": 12.0}, {"yaw_deg": -31.5}, {"yaw_deg": "much"}, {"yaw_deg": float("nan")}, {}, 3]
    document = {"schema": "bodydouble.faceset", "version": 2, "persona": "A", "crops": crops, "model_space": {}}
    (tmp_path / "faceset.json").write_text(json.dumps(document))
    facts = inspect(tmp_path).as_dict()
    assert facts["yaw_deg"] == [-31.5, 12.0] and facts["crops"] == 6 and "model_space" not in facts


def test_a_model_says_size_personas_and_rights_and_what_is_missing(model: Path):
    facts = inspect(model).as_dict()
    assert (facts["kind"], facts["level"], facts["size"], facts["width"]) == ("model", 5, 128, 0.5)
    assert facts["encoder"] == {
        "bytes": (model / "encoder.safetensors").stat().st_size,
        "parameters": 12,
        "types": ["F16"],
    }
    assert facts["personas"]["A"]["rights"] == {"holder": "Ann"} and facts["training_runs"] == 2
    assert "not a rights record" in facts["personas"]["A"]["rights_state"]
    assert facts["personas"]["B"] == {
        "rights": None,
        "rights_state": "no record: make sure you may show this face",
        "crops": None,
        "can_be_named_as_performer": False,
        "weights": "missing",
    }


def test_a_model_says_who_can_be_named_as_the_performer_and_counts_no_mean_as_a_parameter(tmp_path: Path):
    people = inspect(tiny_comb(tmp_path / "cast.comb", personas=("anna", "ben"), noted=("ben",))).facts["personas"]
    assert [people[name]["can_be_named_as_performer"] for name in ("anna", "ben")] == [False, True]
    expected = sum(one.numel() for one in PersonaDecoder(CombDims(3, 1 / 64)).parameters())
    assert people["anna"]["weights"]["parameters"] == expected


@pytest.mark.parametrize("data", [b"", b"\x08", b"\xff" * 8, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 9) + b"{"])
def test_a_damaged_weight_file_is_said_to_be_damaged(model: Path, data: bytes):
    (model / "trunk.safetensors").write_bytes(data)
    assert inspect(model).facts["trunk"] == "damaged"


@pytest.mark.parametrize("text", ["{", "[]", '{"personas": 3}'])
def test_a_damaged_model_is_an_error_that_names_the_file(model: Path, text: str):
    (model / "comb.json").write_text(text)
    with pytest.raises(ModelError, match=r"comb\.json"):
        inspect(model)


def test_a_model_folder_without_its_description_is_a_model_error(tmp_path: Path):
    (tmp_path / "x.comb").mkdir()
    with pytest.raises(ModelError, match=r"x\.comb"):
        inspect(tmp_path / "x.comb")
    with pytest.raises(ModelError, match="no such folder"):
        inspect(tmp_path / "y.comb")


def test_anything_else_is_an_input_error_that_names_it(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"schema": "else"}')
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match=r"a\.json.*else"):
        inspect(tmp_path / "a.json")
    with pytest.raises(PlateError, match=r"a\.txt"):
        inspect(tmp_path / "a.txt")
    with pytest.raises(PlateError, match="no such file"):
        inspect(tmp_path / "nothing")


def test_everything_said_fits_in_json(plate: Path, model: Path):
    for path in (plate, model):
        assert json.loads(json.dumps(inspect(path).as_dict()))["path"] == str(path)


def test_inspecting_loads_no_torch(python, model: Path):
    program = (
        "import sys; from bodydouble.inspecting import inspect; inspect(sys.argv[1]); print('torch' in sys.modules)"
    )
    assert python("-c", program, model).stdout == "False\n"


def test_a_plate_says_what_a_swap_would_work_on(plate: Path):
    facts = inspect(plate, Colour("ocio://studio-config-latest")).facts
    assert facts["swap"] == {"part": 1, "channels": "R G B", "alpha": "A", "output_compression": "zips"}
    assert facts["pixel_aspect"] == 1.0 and facts["views"] is None
    assert facts["colour_space_by"] == "the attribute colorInteropID: lin_rec709_scene"


def test_a_stereo_plate_lists_its_views_and_takes_the_one_asked_for(shared: Path):
    stereo = shared / "exr" / "valid" / "openexr-images" / "Beachball" / "multipart.0001.exr"
    facts = inspect(stereo, view="left").facts
    assert facts["views"] == ["right", "left"] and facts["swap"]["part"] == 5 and len(facts["parts"]) == 10
    with pytest.raises(UsageError, match="no view middle; views: right, left"):
        inspect(stereo, view="middle").facts["swap"]


def test_a_plate_that_a_swap_refuses_is_described_with_the_reason(shared: Path):
    deep = shared / "exr" / "valid" / "openexr-images" / "v2" / "LowResLeftView" / "Trunks.exr"
    assert "flatten it first" in inspect(deep).facts["swap"]["refused"]
