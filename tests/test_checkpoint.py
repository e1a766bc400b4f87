"""A model folder: what goes in comes out, only what is named is read, and nothing damaged or foreign is believed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from bodydouble.errors import ModelError, OutputError, UnknownPersonaError
from bodydouble.network import checkpoint
from bodydouble.network.checkpoint import (
    CombCard,
    PersonaCard,
    load_comb,
    load_tensors,
    read_card,
    save_comb,
    save_tensors,
)
from bodydouble.network.comb import Comb, CombDims
from bodydouble.plates.modelspace import ModelSpace

DIMS = CombDims(level=3, width=1 / 64)
RIGHTS = {"schema": "bodydouble.rights", "version": 1, "performer": "Anna", "productions": ["Öl"]}
NAMES = ("anna", "ben", "Dörte K")
CARD = CombCard(
    DIMS,
    ModelSpace(white=0.65),
    interocular=0.29,
    eye_line=0.35,
    forehead=0.7,
    personas=(PersonaCard("anna", RIGHTS, 12), PersonaCard("ben"), PersonaCard("Dörte K")),
    history=({"iterations": 3, "seconds": 1.5},),
)


@pytest.fixture(scope="module")
def comb() -> Comb:
    torch.manual_seed(0)
    return Comb(DIMS, NAMES)


@pytest.fixture(scope="module")
def saved(comb: Comb, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "cast.comb"
    save_comb(folder, comb, CARD, torch.float32)
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(saved, tmp_path / "cast.comb"))


def edit(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = model / "comb.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def refused(model: Path, *names: str, personas: tuple[str, ...] = ("anna",)) -> None:
    """Loading is a ModelError of one line that names the file."""
    with pytest.raises(ModelError) as caught:
        load_comb(model, personas)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    for name in names:
        assert name in message


def test_a_model_comes_back_as_it_was_saved(comb, saved):
    loaded, card = load_comb(saved, NAMES)
    assert replace(card, personas=CARD.personas, encoder_digest="", trunk_digest="") == CARD
    assert [replace(one, digest="") for one in card.personas] == list(CARD.personas)
    ours, theirs = comb.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_loaded_model_is_float32_without_gradients_and_gives_the_same_picture(comb, saved):
    loaded, _ = load_comb(saved, ["ben"])
    crop = torch.rand(1, 3, DIMS.size, DIMS.size)
    assert not loaded.training
    assert all(one.dtype == torch.float32 and not one.requires_grad for one in loaded.parameters())
    torch.testing.assert_close(loaded(crop, "ben"), comb(crop, "ben").detach(), rtol=0, atol=1e-6)


def test_half_precision_on_disk_changes_pictures_by_less_than_a_thousandth(comb, tmp_path):
    save_comb(tmp_path / "half.comb", comb, CARD)
    loaded, _ = load_comb(tmp_path / "half.comb", ["anna"])
    crop = torch.rand(1, 3, DIMS.size, DIMS.size)
    torch.testing.assert_close(loaded(crop, "anna"), comb(crop, "anna").detach(), rtol=0, atol=1e-3)


def test_digests_are_of_the_files(saved):
    card = read_card(saved)
    assert card.encoder_digest == checkpoint._digest(saved / "encoder.safetensors")
    assert card.persona("ben").digest == checkpoint._digest(saved / "personas" / "ben.safetensors")


def test_only_the_named_personas_are_needed(model):
    (model / "personas" / "anna.safetensors").unlink()
    (model / "personas" / "Dörte K.safetensors").write_bytes(b"rubbish")
    loaded, card = load_comb(model, ["ben"])
    assert list(loaded.personas) == ["ben"] and card.names == NAMES
    loaded, _ = load_comb(model, [])
    assert list(loaded.personas) == []


def test_loading_one_persona_of_a_hundred_opens_three_weight_files(tmp_path, monkeypatch):
    names = [f"p{number:03d}" for number in range(100)]
    card = replace(CARD, personas=tuple(PersonaCard(name) for name in names))
    save_comb(tmp_path / "crowd.comb", Comb(DIMS, names), card)
    opened = []
    monkeypatch.setattr(checkpoint, "load_file", lambda path: opened.append(path) or safetensors.torch.load_file(path))
    loaded, _ = load_comb(tmp_path / "crowd.comb", ["p042"])
    assert [Path(path).name for path in opened] == ["encoder.safetensors", "trunk.safetensors", "p042.safetensors"]
    one, _ = load_comb(tmp_path / "crowd.comb", ["p000"])
    assert sum(part.numel() for part in loaded.parameters()) == sum(part.numel() for part in one.parameters())


def test_an_unknown_persona_is_refused_with_near_names(saved):
    with pytest.raises(UnknownPersonaError, match="anna") as caught:
        load_comb(saved, ["Ana"])
    assert "'Ana'" in str(caught.value)


@pytest.mark.parametrize("file", ["encoder.safetensors", "trunk.safetensors", "personas/anna.safetensors"])
def test_a_missing_weight_file_is_named(file, model):
    (model / file).unlink()
    refused(model, file, "missing")


@pytest.mark.parametrize("file", ["encoder.safetensors", "trunk.safetensors", "personas/anna.safetensors"])
@pytest.mark.parametrize("damage", ["empty", "header", "half", "last byte", "longer", "text", "folder"])
def test_a_damaged_weight_file_is_named(file, damage, model):
    path = model / file
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(
            {
                "empty": b"",
                "header": data[:20],
                "half": data[: len(data) // 2],
                "last byte": data[:-1],
                "longer": data + b"\0",
                "text": b"not tensors at all, and long enough to be taken for a header",
            }[damage]
        )
    refused(model, file)


def test_one_flipped_bit_is_noticed(model):
    path = model / "encoder.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    refused(model, "encoder.safetensors", "digest")


def test_weights_of_another_model_are_noticed(model, tmp_path):
    shutil.copy(model / "personas" / "ben.safetensors", model / "personas" / "anna.safetensors")
    refused(model, "anna.safetensors", "digest")


def test_weights_of_other_shapes_are_noticed_even_with_the_right_digest(model):
    wider = Comb(CombDims(3, 1 / 32), ["anna"]).personas["anna"]
    digest = save_tensors(model / "personas" / "anna.safetensors", wider.state_dict())
    edit(model, lambda document: document["personas"]["anna"].update(sha256=digest))
    refused(model, "anna.safetensors", "expected")


def test_missing_and_surplus_tensors_are_noticed(model):
    tensors = load_tensors(model / "trunk.safetensors")
    name, value = tensors.popitem()
    for changed in (tensors, tensors | {name: value, "more": value.clone()}):
        digest = save_tensors(model / "trunk.safetensors", changed)
        edit(model, lambda document, digest=digest: document["trunk"].update(sha256=digest))
        refused(model, "trunk.safetensors")


class Bomb:
    """Runs a command when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_is_never_read_whatever_it_is_called(model, tmp_path):
    for way in (lambda bomb: pickle.dumps(bomb), lambda bomb: pickle.dumps({"encoder": bomb}, protocol=0)):
        (model / "encoder.safetensors").write_bytes(way(Bomb(tmp_path / "exploded")))
        refused(model, "encoder.safetensors")
    torch.save({"bomb": Bomb(tmp_path / "exploded")}, model / "encoder.safetensors")
    refused(model, "encoder.safetensors")
    assert not (tmp_path / "exploded").exists()


def test_a_folder_without_comb_json_is_no_model(tmp_path):
    refused(tmp_path, str(tmp_path), "comb.json", "train")
    refused(tmp_path / "nowhere", "nowhere")
    (tmp_path / "file.comb").write_text("")
    refused(tmp_path / "file.comb", "file.comb")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '"x"', "{}", '{"schema": "bodydouble.comb"}', "[" * 100_000, "\ud83d"]
)
def test_a_comb_json_that_is_not_one_is_named(text, model):
    (model / "comb.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    refused(model, "comb.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(schema="bodydouble.shotfaces"),
        lambda d: d.update(version=3),
        lambda d: d.update(version="1.5"),
        lambda d: d.update(personas=["anna"]),
        lambda d: d.update(personas={"anna": 3}),
        lambda d: d.update(dims=None),
        lambda d: d["dims"].update(level=9),
        lambda d: d["dims"].update(level="3"),
        lambda d: d["dims"].update(width=1e9),
        lambda d: d["dims"].update(width=float("nan")),
        lambda d: d["model_space"].update(gamma="2.4"),
        lambda d: d["model_space"].update(white=7),
        lambda d: d["model_space"].update(surprise=1),
        lambda d: d["model_space"].update(shoulder=float("inf")),
        lambda d: d["model_space"].update(primaries=None),
        lambda d: d["crop"].update(forehead=None),
        lambda d: d["crop"].update(eye_line=float("inf")),
        lambda d: d.pop("crop"),
        lambda d: d.pop("encoder"),
        lambda d: d["personas"]["anna"].pop("rights"),
        lambda d: d.update(history=5),
    ],
)
def test_a_comb_json_that_says_what_cannot_be_is_named(change, model):
    edit(model, change)
    refused(model, "comb.json")


def test_a_newer_version_says_to_update(model):
    edit(model, lambda document: document.update(version=99))
    refused(model, "comb.json", "99", "update")


@pytest.mark.parametrize(
    "name",
    ["../anna", "/etc/passwd", "a/b", "a\\b", "..", ".", ".anna", "", " ", "a.b", "a\0b", "C:anna", "train", "a\n"],
)
def test_persona_names_that_reach_outside_the_folder_are_not_trusted(name, model):
    edit(model, lambda document: document["personas"].update({name: document["personas"]["anna"]}))
    refused(model, "comb.json", "persona name", personas=(name,))


def test_a_failed_save_leaves_the_model_as_it_was(model, comb, monkeypatch):
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    monkeypatch.setattr(checkpoint, "save_file", lambda tensors, path, *_: Path(path).write_bytes(b"half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_comb(model, comb, CARD)
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before


def test_a_place_that_cannot_be_written_is_an_output_error_that_names_it(comb, tmp_path):
    (tmp_path / "cast.comb").write_text("a file is in the way")
    with pytest.raises(OutputError, match=r"encoder\.safetensors"):
        save_comb(tmp_path / "cast.comb", comb, CARD)


def test_nothing_temporary_is_left(saved):
    files = {str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file()}
    weights = {"encoder.safetensors", "trunk.safetensors", *(f"personas/{name}.safetensors" for name in NAMES)}
    assert files == weights | {"comb.json"}


def test_weight_files_may_be_read_by_whoever_may_read_comb_json(saved):
    modes = {stat.S_IMODE(path.stat().st_mode) for path in saved.rglob("*") if path.is_file()}
    assert len(modes) == 1


def test_a_save_that_was_cut_off_after_comb_json_is_read_and_finished(model, comb, monkeypatch):
    """The new weights still have their temporary names; the old ones lie beside them."""
    other = Comb(DIMS, NAMES)
    monkeypatch.setattr(checkpoint, "_settle", lambda folder: None)
    save_comb(model, other, CARD, torch.float32)
    monkeypatch.undo()
    assert (model / ".encoder.safetensors.next").exists()
    loaded, card = load_comb(model, NAMES)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in other.state_dict().items())
    assert checkpoint.rights_seal(model, "anna") == checkpoint.seal_of(RIGHTS)
    save_comb(model, comb, card, torch.float32)
    assert not list(model.rglob("*.next")) and load_comb(model, ["ben"])


def test_a_file_that_claims_more_than_memory_holds_is_refused_by_its_header(model, monkeypatch):
    tensors = load_tensors(model / "encoder.safetensors")
    name = max(tensors, key=lambda key: tensors[key].numel())
    shape = list(tensors[name].shape)
    header = {name: {"dtype": "F16", "shape": [2**20, *shape], "data_offsets": [0, 2**21 * tensors[name].numel()]}}
    text = json.dumps(header).encode()
    with open(model / "encoder.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 2**21 * tensors[name].numel())  # sparse: nothing is on the disk
    monkeypatch.setattr(checkpoint, "load_file", lambda path: pytest.fail("was loaded"))
    refused(model, "encoder.safetensors")


def test_weights_that_are_no_floating_point_numbers_are_refused(model):
    tensors = {name: value.to(torch.int32) for name, value in load_tensors(model / "trunk.safetensors").items()}
    digest = save_tensors(model / "trunk.safetensors", tensors)
    edit(model, lambda document: document["trunk"].update(sha256=digest))
    refused(model, "trunk.safetensors", "floating-point")


def test_a_comb_json_beyond_any_size_is_not_read(model):
    with open(model / "comb.json", "ab") as file:
        file.truncate(checkpoint.CARD_LIMIT + 1)
    refused(model, "comb.json", "larger")


def test_reading_a_model_does_not_load_torchs_compiler(python, model):
    """It takes a second, which every task of a farm would pay."""
    script = (
        "import sys; from pathlib import Path; from bodydouble.network.checkpoint import load_comb, read_card\n"
        f"folder = Path({str(model)!r}); load_comb(folder, read_card(folder).names[:1])\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = python("-c", script)
    assert done.stdout == "False\n", done.stderr
