"""Work on frames in groups."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from bodydouble.alignment.grouping import TOGETHER, by_groups


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [0, 1, TOGETHER, 3 * TOGETHER + 1])
def test_every_item_is_worked_on_once_and_results_come_in_order(count: int, threads: int) -> None:
    parts = by_groups(range(count), list, threads)
    assert [item for part in parts for item in part] == list(range(count))
    assert all(0 < len(part) <= TOGETHER for part in parts)


def test_blas_has_one_thread_meanwhile_and_as_many_as_before_then() -> None:
    def threads() -> list[int]:
        return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = threads()
        (meanwhile,) = by_groups(range(3), lambda items: threads())
        assert meanwhile == [1] * len(before) and before != meanwhile and threads() == before


def test_an_error_of_the_work_is_passed_on() -> None:
    def fail(items: Sequence[int]) -> int:
        return 1 // items[0]

    with pytest.raises(ZeroDivisionError):
        by_groups(range(40), fail)
