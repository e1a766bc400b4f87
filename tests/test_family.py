"""A model's family grows: others keep every bit, a persona goes from model to model, nothing foreign comes in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodydouble.errors import FacesetError, ModelError, RightsError, UnknownPersonaError, UsageError
from bodydouble.network.checkpoint import load_comb, load_tensors, read_card, rights_seal, save_tensors
from bodydouble.rights import SEAL
from bodydouble.training.family import add_persona, export_persona, fine_tune, import_persona, remove_persona
from bodydouble.training.training import train
from bodydouble.training.trainjob import TrainProgress
from tiny import TINY_TRAINING, tiny_faceset

RIGHTS = {"schema": "bodydouble.rights", "version": 1, "performer": "Dora", "contact": "dora@example.org"}
ADDING = replace(TINY_TRAINING, iterations=6)


@pytest.fixture(scope="module")
def facesets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("facesets")
    made = {name: tiny_faceset(folder / name, name) for name in ("anna", "ben")}
    return made | {"dora": tiny_faceset(folder / "dora", "dora", crops=12, rights=RIGHTS)}


@pytest.fixture(scope="module")
def trained(facesets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "cast.comb"
    list(train([facesets["anna"], facesets["ben"]], out, replace(TINY_TRAINING, iterations=2)))
    return out


@pytest.fixture(scope="module")
def grown(facesets: dict[str, Path], trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = Path(shutil.copytree(trained, tmp_path_factory.mktemp("grown") / "cast.comb"))
    list(add_persona([facesets["dora"]], out, ADDING))
    return out


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "cast.comb"))


def weights(model: Path) -> dict[str, bytes]:
    """The files of encoder, trunk and personas."""
    return {
        str(path.relative_to(model)): path.read_bytes()
        for path in model.rglob("*.safetensors")
        if "training" not in path.parts
    }


def test_a_persona_that_is_added_leaves_every_file_and_output_of_the_others_as_it_was(trained, grown):
    before, after = weights(trained), weights(grown)
    assert set(after) - set(before) == {"personas/dora.safetensors"}
    assert {name: after[name] for name in before} == before
    crop = torch.rand(1, 3, 16, 16)
    old, _ = load_comb(trained, ["anna", "ben"])
    new, card = load_comb(grown, ["anna", "ben", "dora"])
    assert all(torch.equal(old(crop, name), new(crop, name)) for name in ("anna", "ben"))
    assert torch.isfinite(new(crop, "dora")).all()
    assert card.names == ("anna", "ben", "dora") and card.persona("dora").rights == RIGHTS
    crops = [float(new.personas[name].latent_crops) for name in card.names]
    assert crops[0] == crops[1] != crops[2], "nothing is taken over from who the new one began as"
    assert card.history[-1]["added"] == "dora" and card.history[:-1] == read_card(trained).history


def test_the_new_decoder_is_trained_at_full_size_and_learns(facesets, model):
    settings = replace(ADDING, iterations=80, batch=4, l1_weight=1.0, jitter_exposure=0.0, jitter_light=0.0)
    reports = list(add_persona([facesets["dora"]], model, settings))
    assert {report.level for report in reports} == {2} and {report.alpha for report in reports} == {1.0}
    losses = [report.loss for report in reports if report.losses]
    assert sum(losses[-20:]) < 0.85 * sum(losses[:20])
    assert not (model / "training" / "added" / "dora").exists()


def test_adding_can_be_stopped_and_goes_on_to_the_same_bits(facesets, grown, model):
    adding: Iterator[TrainProgress] = add_persona([facesets["dora"]], model, ADDING)
    for report in adding:
        if report.iteration >= 3:
            break
    adding.close()  # type: ignore[attr-defined]
    assert read_card(model).names == ("anna", "ben", "dora")
    list(add_persona([facesets["dora"]], model, ADDING))
    assert weights(model) == weights(grown)


def test_a_persona_that_is_there_is_replaced_only_when_asked(facesets, grown, model, tmp_path):
    with pytest.raises(UsageError, match="--replace"):
        list(add_persona([facesets["anna"]], model, ADDING))
    with pytest.raises(UsageError, match="no persona 'dora' to replace"):
        list(add_persona([facesets["dora"]], model, ADDING, replaces=True))
    before = weights(model)
    list(add_persona([facesets["anna"]], model, ADDING, replaces=True))
    after = weights(model)
    assert {name for name in before if before[name] != after[name]} == {"personas/anna.safetensors"}


def test_the_training_before_does_not_go_on_under_a_persona_added_since(facesets, grown, tmp_path):
    model = Path(shutil.copytree(grown, tmp_path / "cast.comb"))
    with pytest.raises(ModelError, match="dora came to"):
        list(train([facesets["anna"], facesets["ben"]], model, replace(TINY_TRAINING, iterations=2)))


@pytest.mark.parametrize(
    ("unlike", "said"),
    [
        ({"primaries": "lin_rec709_scene"}, "in lin_rec709_scene, .* in ACEScg"),
        ({"forehead": 0.9}, "reach 0.9 .* on 0.7.*--forehead 0.7"),
        ({"size": 16}, "16 px with 4 px .* trained on 24 px with 4 px.*--size 24 "),
        ({"size": 48, "pad": 3}, "48 px with 3 px .* trained on 24 px with 4 px"),
    ],
)
@pytest.mark.parametrize("tunes", [False, True])
def test_crops_unlike_those_of_the_model_are_refused_and_it_stays_as_it_was(unlike, said, tunes, model, tmp_path):
    before = weights(model)
    names = ("anna", "ben", "dora") if tunes else ("dora",)
    folders = [tiny_faceset(tmp_path / name, name, **unlike) for name in names]
    with pytest.raises(FacesetError, match=said):
        list((fine_tune if tunes else add_persona)(folders, model, ADDING))
    assert weights(model) == before and read_card(model).names == ("anna", "ben")


def test_finer_crops_with_as_much_around_them_are_taken(model, tmp_path):
    list(add_persona([tiny_faceset(tmp_path / "dora", "dora", size=36)], model, ADDING))
    assert read_card(model).history[-1]["crops"] == [36, 4]


def test_a_model_that_still_grows_takes_nobody(facesets, tmp_path):
    out = tmp_path / "cast.comb"
    training = train([facesets["anna"], facesets["ben"]], out, TINY_TRAINING)
    for report in training:
        if report.iteration == 6:  # half-way into the fade of level 1
            break
    training.close()  # type: ignore[attr-defined]
    with pytest.raises(ModelError, match="still growing"):
        list(add_persona([facesets["dora"]], out, ADDING))


def test_fine_tuning_moves_everybody_and_wants_everybodys_crops(facesets, model):
    with pytest.raises(UsageError, match="ben"):
        list(fine_tune([facesets["anna"], facesets["dora"]], model, ADDING))
    before = weights(model)
    list(fine_tune([facesets["dora"], facesets["ben"], facesets["anna"]], model, ADDING))
    after = weights(model)
    assert read_card(model).names == ("anna", "ben", "dora")
    assert all(before[name] != after[name] for name in before)


def test_an_exported_persona_comes_to_a_model_with_the_same_encoder_bit_by_bit(grown, model, tmp_path):
    export_persona(grown, "dora", tmp_path / "dora.persona")
    assert import_persona(model, tmp_path / "dora.persona") == "dora"
    assert weights(model)["personas/dora.safetensors"] == weights(grown)["personas/dora.safetensors"]
    assert read_card(model).persona("dora").rights == RIGHTS
    assert import_persona(model, tmp_path / "dora.persona", "dora 1990") == "dora 1990"
    crop = torch.rand(1, 3, 16, 16)
    comb, _ = load_comb(model, ["dora", "dora 1990"])
    assert torch.equal(comb(crop, "dora"), comb(crop, "dora 1990"))
    assert rights_seal(model, "dora 1990") == rights_seal(grown, "dora")


def test_a_name_that_is_taken_or_impossible_is_refused_at_import(grown, model, tmp_path):
    export_persona(grown, "dora", tmp_path / "dora.persona")
    with pytest.raises(UsageError, match="already"):
        import_persona(model, tmp_path / "dora.persona", "anna")
    with pytest.raises(UsageError, match="persona's name"):
        import_persona(model, tmp_path / "dora.persona", "../anna")
    import_persona(model, tmp_path / "dora.persona", "anna", replaces=True)
    assert read_card(model).names == ("ben", "anna")


def test_a_persona_of_another_encoder_is_refused(facesets, grown, tmp_path):
    other = tmp_path / "other.comb"
    list(train([facesets["anna"], facesets["ben"]], other, replace(TINY_TRAINING, iterations=2, seed=9)))
    export_persona(grown, "dora", tmp_path / "dora.persona")
    with pytest.raises(ModelError, match="another encoder"):
        import_persona(other, tmp_path / "dora.persona")


def test_a_damaged_foreign_or_tampered_persona_file_is_refused(grown, model, tmp_path):
    path = tmp_path / "dora.persona"
    export_persona(grown, "dora", path)
    data, before = path.read_bytes(), weights(model)
    for wrong in (
        b"",
        data[:-1],
        data[:40],
        b"\x80\x04pickle",
        data.replace(b"bodydouble.persona", b"bodydouble.strange"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(ModelError, match=r"dora\.persona"):
            import_persona(model, path)
    path.write_bytes(data)
    tensors = load_tensors(path)
    document = {"name": "dora", "rights": None, "crops": 1, "dims": [2, 1 / 64]}
    card = read_card(grown)
    document |= {"encoder": card.encoder_digest, "trunk": card.trunk_digest}
    header = {"schema": "bodydouble.persona", "version": "1", "persona": json.dumps(document)}
    save_tensors(path, tensors, {**header, SEAL: "of the record it was exported with"})
    with pytest.raises(RightsError, match="taken away"):
        import_persona(model, path)
    save_tensors(path, {**tensors, "more": torch.zeros(3)}, header)
    with pytest.raises(ModelError, match="does not fit"):
        import_persona(model, path)
    assert weights(model) == before and read_card(model).names == ("anna", "ben")


def test_a_persona_that_is_removed_leaves_no_weights(grown, tmp_path):
    model = Path(shutil.copytree(grown, tmp_path / "cast.comb"))
    remove_persona(model, "dora")
    assert read_card(model).names == ("anna", "ben")
    assert not (model / "personas" / "dora.safetensors").exists()
    with pytest.raises(UnknownPersonaError):
        remove_persona(model, "dora")
