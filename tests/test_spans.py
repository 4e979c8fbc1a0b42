"""Runs of true values."""

from __future__ import annotations

import numpy as np
import pytest

from dttnet.spans import count_in_long_spans, spans


@pytest.mark.parametrize(
    ("holds", "expected"),
    [
        ([], []),
        ([0, 0], []),
        ([1], [(0, 1)]),
        ([1, 1, 0, 1], [(0, 2), (3, 4)]),
        ([0, 1, 1, 0, 0, 1, 0], [(1, 3), (5, 6)]),
    ],
)
def test_spans_are_from_the_first_to_after_the_last_of_a_run(holds: list[int], expected: list[tuple[int, int]]) -> None:
    found = spans(np.array(holds, bool))
    assert found.shape == (len(expected), 2)
    assert [tuple(span) for span in found] == expected


def test_only_long_spans_count_and_none_goes_on_in_the_next_row() -> None:
    holds = np.array([[1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0]], bool)
    assert count_in_long_spans(holds, at_least=3) == 3
    assert count_in_long_spans(holds, at_least=2) == 7
