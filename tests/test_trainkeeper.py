"""What a training leaves behind: states, curves, previews, a report, and a way back when it diverges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodydouble.network.checkpoint import read_card
from bodydouble.plates.images import read_image
from bodydouble.settings import TrainSettings
from bodydouble.training import iterating
from bodydouble.training.batchsize import wanted_batch
from bodydouble.training.curves import CurvePoint, Curves, read_curve
from bodydouble.training.optimisers import Muon, _add_inverse, _root_by_inverses, _root_by_products, orthogonal
from bodydouble.training.training import train
from bodydouble.training.trainreport import summarise
from tiny import TINY_TRAINING, tiny_faceset


@pytest.fixture(scope="module")
def facesets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("facesets")
    return [tiny_faceset(folder / "anna", "anna", crops=12), tiny_faceset(folder / "ben", "ben")]


@pytest.fixture(scope="module")
def trained(facesets: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "cast.comb"
    list(train(facesets, out, replace(TINY_TRAINING, checkpoint_every_s=0.0, preview_every_s=1e-9, keep=3)))
    return out


def test_the_last_states_are_kept_and_no_more(trained):
    iterations = [int(path.stem.split("-")[1]) for path in sorted((trained / "training").glob("state-*"))]
    last = read_card(trained).history[-1]["iterations"]
    assert iterations == [last - 2, last - 1, last]


def test_losses_are_told_per_persona_and_held_out_crops_validated(facesets, tmp_path):
    reports = list(train(facesets, tmp_path / "cast.comb", TINY_TRAINING))
    assert all(set(report.losses) == {"anna", "ben"} for report in reports[:-1])
    assert reports[0].loss == pytest.approx(sum(reports[0].losses.values()) / 2)
    # ben has four crops, too few to hold one out; each level is validated at its end.
    checked = [report for report in reports if report.validation]
    assert [report.level for report in checked] == [0, 1, 2] and set(checked[0].validation) == {"anna"}
    assert all(report.level_seconds_left >= 0 for report in reports)
    assert reports[0].seconds_left > reports[-2].seconds_left


def test_held_out_crops_are_never_trained_on(facesets, tmp_path, monkeypatch):
    drawn: set[int] = set()
    draw = iterating.draw_iteration

    def spy(trained, batch, seed):
        draws = draw(trained, batch, seed)
        drawn.update(draws["anna"].index.tolist())
        return draws

    monkeypatch.setattr(iterating, "draw_iteration", spy)
    list(train(facesets, tmp_path / "cast.comb", replace(TINY_TRAINING, iterations=8, batch=8)))
    assert drawn == set(range(11))


def test_the_preview_is_a_grid_of_every_path(trained):
    picture = read_image(max((trained / "training" / "previews").glob("*.png")))
    # Two rows of performers; their crop and two personas beside it; cells of 64 px and a line of 2.
    assert picture.shape[:2] == (2 * 66, 3 * 66)
    assert 0.05 < picture.mean() < 0.95


def test_the_report_names_every_level_and_what_was_reached(trained):
    document = json.loads((trained / "report.json").read_text())
    assert [level["size"] for level in document["levels"]] == [4, 8, 16]
    assert sum(level["iterations"] for level in document["levels"]) == document["last_run"]["iterations"]
    assert all(level["loss"] > 0 and level["images_per_s"] > 0 for level in document["levels"])
    assert document["held_out"]["anna"]["crops"] == 1 and 0 < document["held_out"]["anna"]["ms_ssim"] <= 1
    assert "ben" not in document["held_out"]
    text = (trained / "report.md").read_text()
    assert "| 2 | 16 |" in text and "| anna | 12 | 1 |" in text
    assert document["held_out"]["anna"]["texture"] is None  # 16 px have no fine octaves


def test_the_report_says_how_strong_the_finest_octaves_of_rebuilt_crops_are(facesets, tmp_path):
    list(train(facesets, tmp_path / "cast.comb", replace(TINY_TRAINING, resolution=32, texture_weight=1.0)))
    document = json.loads((tmp_path / "cast.comb" / "report.json").read_text())
    texture = document["held_out"]["anna"]["texture"]
    assert 0 < texture < 100
    assert f"| {texture:.0%} |" in (tmp_path / "cast.comb" / "report.md").read_text()


def test_going_on_from_an_earlier_state_leaves_no_fold_in_the_curve(tmp_path):
    with Curves(tmp_path, 0, False) as curves:
        for iteration in (1, 2, 3, 4):
            curves.add(CurvePoint(iteration, 0, 1.0, 1e-3, iteration * 4, iteration * 0.5, {"anna": 0.5}))
    with open(tmp_path / "curves.jsonl", "a", encoding="utf-8") as file:
        file.write('{"iteration": 5, "lev')  # cut off by a kill
    with Curves(tmp_path, 2, False) as curves:
        curves.add(CurvePoint(3, 0, 1.0, 1e-3, 12, 1.5, {"anna": float("nan")}))
    points = read_curve(tmp_path)
    assert [point.iteration for point in points] == [1, 2, 3] and points[-1].losses == {}


def test_levels_are_summed_up_from_the_curve():
    points = [
        CurvePoint(10, 0, 1.0, 1e-3, 40, 2.0, {"anna": 0.5, "ben": 0.3}),
        CurvePoint(30, 1, 1.0, 1e-3, 120, 10.0, {"anna": 0.2, "ben": 0.2}, {"anna": 0.25}),
    ]
    first, second = summarise(points)
    assert (first.iterations, first.images, first.images_per_s, first.loss) == (10, 40, 20.0, pytest.approx(0.4))
    assert (second.iterations, second.images, second.images_per_s, second.validation) == (20, 80, 10.0, 0.25)


def failing(monkeypatch: pytest.MonkeyPatch, times: int) -> Iterator[int]:
    """From now on the loss is not a number, so many times."""
    honest = iterating.level_loss
    left = iter(range(times))

    def loss(result, *rest):
        return honest(result, *rest) if next(left, None) is None else result.mean() * float("nan")

    monkeypatch.setattr(iterating, "level_loss", loss)
    return left


def test_a_training_that_diverges_goes_back_lowers_its_rate_and_goes_on(facesets, tmp_path, monkeypatch):
    training = train(facesets, tmp_path / "cast.comb", replace(TINY_TRAINING, checkpoint_every_s=0.0))
    reports = [next(training) for _ in range(5)]
    failing(monkeypatch, 2)
    reports += list(training)
    (back,) = [report for report in reports if "rolled back" in report.message]
    assert back.iteration == 5 and "from iteration 6 to 5" in back.message
    assert reports[-1].message == "done" and all(report.loss < 2 for report in reports if report.losses)
    card = read_card(tmp_path / "cast.comb")
    assert card.history[-1]["rollbacks"] == 1
    rates = {point.iteration: point.learning_rate for point in read_curve(tmp_path / "cast.comb" / "training")}
    assert rates[7] == pytest.approx(rates[4] / 2)
    assert json.loads((tmp_path / "cast.comb" / "report.json").read_text())["events"]


def test_joint_updates_train_all_personas_at_once(facesets, tmp_path):
    out = tmp_path / "cast.comb"
    steps = []
    step = torch.optim.Adam.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", lambda self: steps.append(1) or step(self))
        reports = list(train(facesets, out, replace(TINY_TRAINING, update="joint")))
    assert len(steps) == read_card(out).history[-1]["iterations"]
    assert all(set(report.losses) == {"anna", "ben"} for report in reports[:-1])


def test_a_level_without_iterations_is_skipped_and_the_first_that_is_trained_needs_no_fade(facesets, tmp_path):
    reports = list(train(facesets, tmp_path / "cast.comb", replace(TINY_TRAINING, iterations=(0, 0, 5))))
    assert {report.level for report in reports} == {2} and {report.alpha for report in reports} == {1.0}


def test_an_automatic_batch_that_does_not_fit_is_smaller_and_kept_for_the_level(facesets, tmp_path, monkeypatch):
    from bodydouble.training import batchsize

    monkeypatch.setattr(batchsize, "free_memory", lambda device: 2_000_000)
    out = tmp_path / "cast.comb"
    settings = replace(TINY_TRAINING, batch=None)
    training = train(facesets, out, settings)
    batches = {report.level: report.batch for report in training}
    assert 1024 > batches[0] > batches[2] >= 1
    monkeypatch.setattr(batchsize, "free_memory", lambda device: 10**12)
    (done,) = train(facesets, out, settings)
    assert done.batch == batches[2]


def test_tensorboard_gets_the_curves(facesets, tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is an extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "cast.comb"
    list(train(facesets, out, replace(TINY_TRAINING, tensorboard=True)))
    board = EventAccumulator(str(out / "training" / "tensorboard"))
    board.Reload()
    assert {"loss/anna", "loss/ben", "validation/anna", "schedule/level"} <= set(board.Tags()["scalars"])
    assert [point.value for point in board.Scalars("schedule/level")][-1] == 2


def test_by_iterations_a_batch_has_the_pixels_of_sixteen_crops_of_32_pixels_and_never_fewer_crops():
    assert [wanted_batch(level) for level in range(9)] == [1024, 256, 64, 16, 16, 16, 16, 16, 16]
    assert {wanted_batch(level, by_time=True) for level in range(9)} == {16}


def newton_schulz(matrix: torch.Tensor) -> torch.Tensor:
    """The iteration as published, in float64."""
    x = matrix.double() / (matrix.double() @ matrix.double().mT).norm() ** 0.5
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x - (4.7750 * gram - 2.0315 * gram @ gram) @ x
    return x


def spread_out(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Left singular vectors of a matrix, and the matrix: singular values from 10⁻⁴ to 1, normed as Muon norms them."""
    generator = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(rows, rows, generator=generator, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(columns, rows, generator=generator, dtype=torch.float64))
    values = torch.logspace(-4, 0, rows, dtype=torch.float64)
    return left, (left * (values / (values**4).sum() ** 0.25)) @ right.mT


@pytest.mark.parametrize("shape", [(8, 72), (128, 1152), (300, 310), (40, 16)])
def test_a_matrix_becomes_nearly_orthogonal(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3


def test_on_an_accelerator_the_steps_are_newton_schulzs_as_published():
    _, matrix = spread_out(96, 200)
    gram = (matrix @ matrix.mT).float()
    torch.testing.assert_close(
        _root_by_products(gram / gram.norm()).double() @ matrix, newton_schulz(matrix), rtol=0, atol=0.01
    )


def test_on_a_processor_every_singular_value_becomes_what_the_published_steps_make_of_it_but_for_their_swings():
    left, matrix = spread_out(400, 500)
    gram = (matrix @ matrix.mT).float()
    ours = (left.mT @ _root_by_inverses(gram / gram.norm()).double() @ matrix).norm(dim=1)
    published = (left.mT @ newton_schulz(matrix)).norm(dim=1)
    assert float((ours - published).square().mean().sqrt()) < 0.125
    assert float((ours - published).abs().max()) < 0.35
    assert float(ours.mean() / published.mean()) == pytest.approx(1, abs=0.05)
    small = published < 0.5
    assert float((ours[small] / published[small]).max()) < 1.2


@pytest.mark.parametrize("rows", [120, 301, 512])
def test_an_inverse_by_halves_is_right_where_the_matrix_is_nearly_of_rank_one(rows):
    generator = torch.Generator().manual_seed(0)
    one_way = torch.randn(rows, 1, generator=generator) + 1e-3 * torch.randn(rows, 40, generator=generator)
    gram = one_way @ one_way.mT
    matrix = gram / gram.norm() + 1.3e-5 * torch.eye(rows)
    truth = 2 + 0.5 * torch.linalg.inv(matrix.double())
    total = torch.full_like(matrix, 2)
    _add_inverse(total, matrix, 0.5)
    assert float((total - truth).norm() / truth.norm()) < 0.005
    torch.testing.assert_close(total, total.mT, rtol=1e-4, atol=1.0)


def test_a_step_stays_bounded_where_nearly_all_of_a_gradient_points_one_way():
    generator = torch.Generator().manual_seed(0)
    one_way = torch.randn(64, 1, generator=generator) @ torch.randn(1, 576, generator=generator)
    nearly = one_way + 1e-4 * torch.randn(64, 576, generator=generator)
    for matrix in (one_way, nearly, torch.zeros(64, 576)):
        assert float(torch.linalg.svdvals(orthogonal(matrix)).max()) < 1.3


def test_muon_moves_hidden_kernels_by_an_orthogonal_step_and_the_rest_as_adam():
    torch.manual_seed(0)
    hidden, to_rgb = torch.nn.Parameter(torch.randn(8, 8, 3, 3)), torch.nn.Parameter(torch.randn(3, 8, 1, 1))
    before = hidden.detach().clone(), to_rgb.detach().clone()
    muon = Muon([hidden, to_rgb], lr=0.1)
    hidden.grad, to_rgb.grad = torch.randn_like(hidden), torch.randn_like(to_rgb)
    muon.step()
    values = torch.linalg.svdvals((hidden - before[0]).detach().flatten(1)) / (0.1 * 0.2 * 72**0.5)
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3
    torch.testing.assert_close((to_rgb - before[1]).detach().abs(), torch.full_like(to_rgb, 0.1), rtol=1e-3, atol=0)
    assert set(muon.state[hidden]) == {"momentum"} and set(muon.state[to_rgb]) == {"step", "exp_avg", "exp_avg_sq"}


@pytest.mark.parametrize("optimisers", [("muon", "muon"), ("adam", "muon"), ("muon", "adam")])
def test_a_training_goes_on_with_either_optimiser(optimisers, facesets, tmp_path):
    out = tmp_path / "cast.comb"
    settings: list[TrainSettings] = [replace(TINY_TRAINING, optimiser=one) for one in optimisers]
    training = train(facesets, out, settings[0])
    for report in training:
        if report.iteration == 6:
            break
    training.close()  # type: ignore[attr-defined]
    reports = list(train(facesets, out, settings[1]))
    assert reports[0].iteration == 7 and reports[-1].message == "done"
    if optimisers == ("muon", "muon"):
        list(train(facesets, tmp_path / "unbroken.comb", settings[0]))
        assert read_card(out).encoder_digest == read_card(tmp_path / "unbroken.comb").encoder_digest
