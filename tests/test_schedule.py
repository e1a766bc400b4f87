"""The training schedule as a function of one number."""

from __future__ import annotations

import random

import pytest

from bodydouble.training.schedule import BUDGET_WEIGHTS, Schedule, by_weights

PLANS = [
    by_weights((1.0,), 0.0, 1e-4, 1e-5),
    by_weights((1.0,) * 9, 0.1, 1e-4, 1e-5),
    by_weights(BUDGET_WEIGHTS[:7], 0.12, 5e-4, 5e-5),
    by_weights((3.0, 1.0, 0.01), 0.5, 1e-3, 1e-4),
]
STEPS = [step / 5000 for step in range(5001)]


@pytest.fixture(params=PLANS, ids=lambda plan: f"{len(plan.shares)}-levels")
def plan(request: pytest.FixtureRequest) -> Schedule:
    return request.param


def starts(plan: Schedule) -> list[float]:
    """Progress at which each level begins, and the settling."""
    return [sum(plan.shares[:level]) for level in range(len(plan.shares) + 1)]


def test_the_same_progress_gives_the_same_phase_in_whatever_order_it_is_asked(plan):
    shuffled = random.Random(0).sample(STEPS, len(STEPS))
    asked = {progress: plan.at(progress) for progress in shuffled}
    assert all(asked[progress] == plan.at(progress) for progress in STEPS)


def test_levels_come_one_after_the_other_and_none_is_left_out(plan):
    levels = [plan.at(progress).level for progress in STEPS]
    assert levels == sorted(levels)
    assert set(levels) == set(range(len(plan.shares)))


def test_a_level_gets_its_share_of_progress(plan):
    for level, share in enumerate(plan.shares):
        at = [progress for progress in STEPS if plan.at(progress).level == level and not plan.at(progress).settling]
        assert len(at) / len(STEPS) == pytest.approx(share, abs=1e-3)


def test_gain_rises_linearly_over_the_first_half_of_a_level_and_stays_full(plan):
    for level, start in enumerate(starts(plan)[1:-1], start=1):
        for part, gain in ((1e-9, 0.0), (0.125, 0.25), (0.25, 0.5), (0.5, 1.0), (0.75, 1.0), (1 - 1e-6, 1.0)):
            phase = plan.at(start + part * plan.shares[level])
            assert (phase.level, phase.alpha) == (level, pytest.approx(gain, abs=1e-6))


def test_gain_never_leaves_0_to_1_and_the_first_level_is_there_at_once(plan):
    assert all(0.0 <= plan.at(progress).alpha <= 1.0 for progress in STEPS)
    assert all(plan.at(progress).alpha == 1.0 for progress in STEPS if plan.at(progress).level == 0)


def test_settling_comes_last_at_full_gain_and_its_own_learning_rate(plan):
    for progress in STEPS:
        phase = plan.at(progress)
        assert phase.settling == (progress >= starts(plan)[-1])
        assert phase.learning_rate == (plan.settle_learning_rate if phase.settling else plan.learning_rate)
        if phase.settling:
            assert (phase.level, phase.alpha) == (len(plan.shares) - 1, 1.0)


def test_the_end_is_the_top_level_at_full_gain(plan):
    for progress in (1.0, 1.5):
        assert (plan.at(progress).level, plan.at(progress).alpha) == (len(plan.shares) - 1, 1.0)


def test_a_level_without_a_share_is_skipped_and_the_first_one_trained_is_there_at_once():
    plan = by_weights((0.0, 0.0, 1.0, 1.0), 0.0, 1e-3, 1e-4)
    phases = [plan.at(step / 100) for step in range(101)]
    assert {phase.level for phase in phases} == {2, 3}
    assert all(phase.alpha == 1.0 for phase in phases if phase.level == 2)
    assert plan.at(0.5).alpha == 0.0


def test_a_phase_says_where_its_level_ends(plan):
    for progress in STEPS[::100]:
        phase = plan.at(progress)
        assert phase.end == pytest.approx(1.0 if phase.settling else starts(plan)[phase.level + 1])


def test_the_settling_rate_ramps_down_exponentially_or_begins_low():
    ramp = by_weights((1.0,), 0.5, 1e-3, 1e-5, "ramp")
    assert [ramp.at(p).learning_rate for p in (0.49, 0.5, 0.75, 1.0)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-5])
    step = by_weights((1.0,), 0.5, 1e-3, 1e-5, "step")
    assert [step.at(p).learning_rate for p in (0.49, 0.5, 1.0)] == pytest.approx([1e-3, 1e-5, 1e-5])


def test_weights_are_shares_of_what_settling_leaves():
    plan = by_weights((1.0, 3.0), 0.2, 1e-4, 1e-5)
    assert plan.shares == pytest.approx((0.2, 0.6)) and plan.settle == 0.2
    assert sum(plan.shares) + plan.settle == pytest.approx(1.0)


@pytest.mark.parametrize(("shares", "settle"), [((), 1.0), ((0.5, 0.4), 0.0), ((1.1, -0.1), 0.0), ((1.0, 0.0), 0.0)])
def test_shares_that_do_not_make_a_whole_are_refused(shares, settle):
    with pytest.raises(ValueError, match="sum to one"):
        Schedule(shares, settle, 1e-4, 1e-5)


def test_a_time_budget_gives_every_level_more_than_the_one_below():
    assert list(BUDGET_WEIGHTS[1:]) == sorted(BUDGET_WEIGHTS[1:]) and len(BUDGET_WEIGHTS) == 9
