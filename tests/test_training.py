"""Training on tiny made-up personas: it learns, stops, goes on bit by bit where it was, and says what does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bodydouble.errors import FacesetError, ModelError, UsageError
from bodydouble.network.checkpoint import load_comb, load_tensors, read_card, rights_seal, save_tensors
from bodydouble.plates.modelspace import ModelSpace, to_model
from bodydouble.rights import rights_digest
from bodydouble.settings import TrainSettings
from bodydouble.training import iterating
from bodydouble.training.training import TrainProgress, train
from tiny import COLOURS, tiny_faceset
from tiny import TINY_TRAINING as TINY

RIGHTS = {"schema": "bodydouble.rights", "version": 1, "performer": "Anna", "contact": "anna@example.org"}


@pytest.fixture(scope="module")
def facesets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("facesets")
    return [tiny_faceset(folder / "anna", "anna", rights=RIGHTS), tiny_faceset(folder / "ben", "ben")]


def run(facesets: list[Path], out: Path, settings: TrainSettings = TINY) -> list[TrainProgress]:
    return list(train(facesets, out, settings))


def run_until(facesets: list[Path], out: Path, iteration: int) -> None:
    """Train and interrupt after `iteration`, as a closed terminal or Ctrl-C does."""
    training: Iterator[TrainProgress] = train(facesets, out, TINY)
    for report in training:
        if report.iteration >= iteration:
            break
    training.close()  # type: ignore[attr-defined]


def state_of(model: Path) -> Path:
    """The newest training state of a model."""
    return max((model / "training").glob("state-*.safetensors"))


def different(first: Path, second: Path) -> list[str]:
    """Names of the tensors of two models' training states that differ in any bit."""
    ours, theirs = (load_tensors(state_of(model)) for model in (first, second))
    assert ours.keys() == theirs.keys()
    return [name for name in ours if not torch.equal(ours[name], theirs[name]) and name != "progress"]


def files_of(out: Path) -> dict[Path, bytes]:
    """The files of a model and its state; not the curves, which tell of what went wrong too."""
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.suffix != ".jsonl"}


@pytest.fixture(scope="module")
def trained(facesets: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that ran through without a stop."""
    out = tmp_path_factory.mktemp("trained") / "cast.comb"
    run(facesets, out)
    return out


@pytest.mark.parametrize("stop", [1, 6, 11])
def test_an_interrupted_training_ends_with_the_very_bits_of_one_that_was_not(stop, facesets, trained, tmp_path):
    out = tmp_path / "cast.comb"
    run_until(facesets, out, stop)
    assert 0 < read_card(out).history[-1]["progress"] < 1
    run(facesets, out)
    assert different(out, trained) == []
    assert read_card(out).encoder_digest == read_card(trained).encoder_digest
    assert read_card(out).personas == read_card(trained).personas


def test_the_loss_falls_and_a_persona_takes_on_its_colour(facesets, tmp_path):
    settings = replace(TINY, iterations=90, batch=4, learning_rate=5e-3, l1_weight=1.0)
    reports = run(facesets, tmp_path / "cast.comb", settings)
    top = [report.loss for report in reports if report.level == 2 and report.alpha == 1.0 and not report.message]
    assert np.mean(top[-10:]) < 0.7 * np.mean(top[:10])
    comb, card = load_comb(tmp_path / "cast.comb", ["anna", "ben"])
    crops = (
        torch.from_numpy(np.full((1, 3, 16, 16), 0.5, np.float32) * np.array(colour, np.float32)[:, None, None])
        for colour in COLOURS.values()
    )
    for crop in crops:
        encoded = to_model(crop, card.model_space).float()
        red, blue = (comb(encoded, name)[0, :, 4:12, 4:12].mean((1, 2)) for name in ("anna", "ben"))
        assert red[0] > red[2] and blue[2] > blue[0]


def test_levels_grow_one_by_one_to_the_resolution_and_reports_say_so(facesets, tmp_path):
    reports = run(facesets, tmp_path / "cast.comb")
    assert [report.size for report in reports[:-1]] == [4] * 4 + [8] * 4 + [16] * (len(reports) - 9)
    assert [report.alpha for report in reports[4:8]] == pytest.approx([0, 0.5, 1, 1], abs=1e-6)
    assert [report.iteration for report in reports[:-1]] == list(range(1, len(reports)))
    assert reports[-1].message == "done" and reports[-1].progress == 1.0
    assert all(0 < report.loss < 2 and report.images_per_s > 0 for report in reports[:-1])
    assert read_card(tmp_path / "cast.comb").history[-1]["images"] == 2 * 2 * reports[-1].iteration


def test_rights_and_the_number_of_crops_travel_into_the_model(trained):
    card = read_card(trained)
    assert card.persona("anna").rights == RIGHTS and card.persona("ben").rights is None
    assert [one.crops for one in card.personas] == [4, 4]


def test_the_model_says_how_it_was_trained(trained):
    card = read_card(trained)
    assert card.dims.size == 16 and card.model_space == ModelSpace() and card.forehead == 0.7
    (entry,) = card.history
    assert entry["progress"] == 1.0 and entry["iterations"] > 12
    assert TrainSettings(**entry["settings"]) == TINY


def test_a_finished_model_can_be_used_and_training_it_again_changes_nothing(facesets, trained, tmp_path):
    again = Path(shutil.copytree(trained, tmp_path / "again.comb"))
    (report,) = run(facesets, again)
    assert report.message == "done"
    assert read_card(again) == read_card(trained)
    comb, _ = load_comb(again, ["ben"])
    assert comb(torch.rand(1, 3, 16, 16), "ben").shape == (1, 3, 16, 16)


def test_every_run_of_a_training_stays_in_its_history(facesets, tmp_path):
    out = tmp_path / "cast.comb"
    run_until(facesets, out, 2)
    run_until(facesets, out, 5)
    run(facesets, out)
    iterations = [entry["iterations"] for entry in read_card(out).history]
    assert iterations[:2] == [2, 5] and len(iterations) == 3


def test_a_longer_plan_goes_on_with_a_finished_training(facesets, trained, tmp_path):
    longer = Path(shutil.copytree(trained, tmp_path / "longer.comb"))
    reports = run(facesets, longer, replace(TINY, iterations=6))
    assert reports[0].iteration == read_card(trained).history[-1]["iterations"] + 1


def test_a_time_budget_is_kept_and_counts_earlier_runs(facesets, tmp_path):
    settings = replace(TINY, time_budget_s=0.4)
    reports = run(facesets, tmp_path / "cast.comb", settings)
    assert 0.4 <= reports[-1].seconds < 5
    assert [report.progress for report in reports] == sorted(report.progress for report in reports)
    before = load_tensors(state_of(tmp_path / "cast.comb"))["progress"]
    assert [report.message for report in run(facesets, tmp_path / "cast.comb", settings)] == ["done"]
    after = load_tensors(state_of(tmp_path / "cast.comb"))["progress"]
    assert torch.equal(before, after)


def test_a_model_saved_while_training_has_the_levels_reached_and_the_gain_of_the_last(facesets, tmp_path):
    sizes = []
    for report in train(facesets, tmp_path / "cast.comb", replace(TINY, checkpoint_every_s=0.0)):
        comb, card = load_comb(tmp_path / "cast.comb", ["anna"])
        size = card.dims.size
        picture = comb(torch.rand(1, 3, size, size), "anna")
        assert torch.isfinite(picture).all() and picture.shape[-1] == size
        assert (size, card.alpha, comb.alpha) == (report.size, report.alpha, report.alpha)
        sizes.append(size)
    assert sizes == sorted(sizes) and set(sizes) == {4, 8, 16}


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(facesets, trained, tmp_path):
    run(facesets, tmp_path / "same.comb")
    assert different(tmp_path / "same.comb", trained) == []
    run(facesets, tmp_path / "other.comb", replace(TINY, seed=1))
    assert different(tmp_path / "other.comb", trained)


def test_bf16_trains_too(facesets, tmp_path):
    reports = run(facesets, tmp_path / "cast.comb", replace(TINY, precision="bf16"))
    assert all(np.isfinite(report.loss) for report in reports[:-1])
    load_comb(tmp_path / "cast.comb", ["anna", "ben"])


def test_a_training_that_diverges_stops_and_leaves_the_last_save(facesets, tmp_path, monkeypatch):
    out = tmp_path / "cast.comb"
    run_until(facesets, out, 3)
    before = files_of(out)
    monkeypatch.setattr(iterating, "level_loss", lambda result, *_: result.mean() * float("nan"))
    with pytest.raises(UsageError, match=r"diverged at iteration 4 .* 3 times"):
        run(facesets, out)
    assert files_of(out) == before


@pytest.mark.parametrize("changed", [{"resolution": 32}, {"width": 1 / 32}])
def test_another_architecture_does_not_go_on_with_a_training(changed, facesets, trained, tmp_path):
    out = Path(shutil.copytree(trained, tmp_path / "cast.comb"))
    with pytest.raises(ModelError, match="another folder"):
        run(facesets, out, replace(TINY, **changed))


def test_other_personas_do_not_go_on_with_a_training(facesets, trained, tmp_path):
    with pytest.raises(ModelError, match="another folder"):
        run(facesets[:1], Path(shutil.copytree(trained, tmp_path / "cast.comb")))


def test_a_model_without_training_state_is_not_overwritten(facesets, trained, tmp_path):
    out = Path(shutil.copytree(trained, tmp_path / "cast.comb"))
    shutil.rmtree(out / "training")
    with pytest.raises(ModelError, match="already holds a model"):
        run(facesets, out)


@pytest.mark.parametrize("content", [b"", b"short", b"\x02\0\0\0\0\0\0\0{}"])
def test_a_training_without_any_readable_state_is_named(content, facesets, trained, tmp_path):
    out = Path(shutil.copytree(trained, tmp_path / "cast.comb"))
    for path in (out / "training").glob("state-*.safetensors"):
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"no training state in .*training can be read"):
        run(facesets, out)


def test_a_damaged_last_state_is_passed_over_for_the_one_before_and_this_is_told(facesets, trained, tmp_path):
    out = Path(shutil.copytree(trained, tmp_path / "cast.comb"))
    damaged = state_of(out)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    first, *_ = run(facesets, out)
    assert damaged.name in first.message and "damaged" in first.message
    assert different(out, trained) == []


def test_a_state_of_a_newer_version_is_refused(facesets, trained, tmp_path):
    out = Path(shutil.copytree(trained, tmp_path / "cast.comb"))
    tensors = load_tensors(state_of(out))
    for path in (out / "training").glob("state-*.safetensors"):
        save_tensors(path, tensors, {"schema": "bodydouble.training", "version": "99", "model": "{}"})
    with pytest.raises(ModelError, match="newer bodydouble"):
        run(facesets, out)


def test_a_training_that_version_1_left_goes_on(facesets, trained, tmp_path):
    """Version 1 had the state in `state.safetensors`, what it is of in `state.json`, and its own names for moments."""
    out = tmp_path / "cast.comb"
    run_until(facesets, out, 6)
    names = {"exp_avg": "mean", "exp_avg_sq": "square"}
    tensors = load_tensors(state_of(out))
    iteration, images, seconds, *_ = tensors["progress"].tolist()
    kinds = {name: name.split(".", 1) for name in tensors if name != "progress"}
    old = {".".join([names.get(kind, kind), rest]): tensors[name] for name, (kind, rest) in kinds.items()}
    old["progress"] = torch.tensor([iteration, seconds, images], dtype=torch.float64)
    shutil.rmtree(out / "training")
    save_tensors(out / "training" / "state.safetensors", old)
    document = {"version": 1, "model": {"level": 2, "width": 1 / 64, "personas": ["anna", "ben"]}}
    (out / "training" / "state.json").write_text(json.dumps(document))
    run(facesets, out)
    assert different(out, trained) == []
    assert not (out / "training" / "state.json").exists()


def test_facesets_that_do_not_fit_together_are_named(facesets, tmp_path):
    for name, different_kind in {
        "size": {"size": 32},
        "pad": {"pad": 2},
        "primaries": {"primaries": "lin_rec709_scene"},
    }.items():
        other = tiny_faceset(tmp_path / name, "carl", crops=1, **different_kind)
        with pytest.raises(FacesetError, match=f"{name} has crops of .* extract them alike"):
            run([*facesets, other], tmp_path / "cast.comb")
    assert not (tmp_path / "cast.comb").exists()


def test_two_facesets_of_one_persona_are_trained_together_if_their_rights_agree(facesets, tmp_path):
    more = tiny_faceset(tmp_path / "more", "anna", crops=2, rights=RIGHTS)
    run([*facesets, more], tmp_path / "cast.comb")
    assert read_card(tmp_path / "cast.comb").persona("anna").crops == 6
    without = tiny_faceset(tmp_path / "without", "anna", crops=2)
    with pytest.raises(FacesetError, match="different rights records of 'anna'"):
        run([*facesets, without], tmp_path / "other.comb")


def test_no_faceset_at_all_is_a_faceset_error(tmp_path):
    with pytest.raises(FacesetError, match="extract"):
        run([], tmp_path / "cast.comb")


@pytest.mark.parametrize(
    "wrong",
    [
        {"resolution": 100},
        {"width": 0.001},
        {"iterations": 0},
        {"batch": 0},
        {"time_budget_s": 0.0},
        {"settle": 1.0},
        {"loss": "l2"},
        {"precision": "fp8"},
        {"learning_rate": 0.0},
    ],
)
def test_settings_that_make_no_training_are_usage_errors(wrong):
    with pytest.raises(UsageError):
        replace(TINY, **wrong)


def test_a_rights_record_given_to_train_replaces_the_facesets_and_renews_a_finished_model(
    facesets: list[Path], tmp_path: Path
) -> None:
    list(train(facesets, tmp_path / "cast.comb", TINY))
    before = read_card(tmp_path / "cast.comb")
    renewed = {**RIGHTS, "expires": "2030-01-01"}
    list(train(facesets, tmp_path / "cast.comb", TINY, {"anna": renewed}))
    after = read_card(tmp_path / "cast.comb")
    assert (before.persona("anna").rights, after.persona("anna").rights) == (RIGHTS, renewed)
    assert after.history == before.history
    assert rights_seal(tmp_path / "cast.comb", "anna") == rights_digest(renewed)
    assert rights_seal(tmp_path / "cast.comb", "ben") == ""
    assert after.encoder_digest == before.encoder_digest


def test_a_rights_record_of_nobody_in_the_training_is_a_usage_error(facesets: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="anna"):
        list(train(facesets, tmp_path / "cast.comb", TINY, {"ana": RIGHTS}))
