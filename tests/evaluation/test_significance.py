"""Whether a difference is more than chance."""

import pytest
import torch

from housenumbers.evaluation.significance import holm, mcnemar, wilson


def test_mcnemar_counts_what_one_alone_gets_right() -> None:
    first = torch.tensor([True] * 90 + [False] * 10)
    second = first.clone()
    second[:8] = False  # the first alone
    second[90:92] = True  # the second alone
    test = mcnemar(first, second)
    assert (test.only_first, test.only_second) == (8, 2)
    assert test.p == pytest.approx(2 * (1 + 10 + 45) / 2**10)  # two tails of ten throws of a coin
    assert mcnemar(second, first).p == test.p


def test_equal_nets_do_not_differ() -> None:
    right = torch.tensor([True, False, True])
    assert mcnemar(right, right).p == 1


def test_holm_is_r_s_p_adjust() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]


def test_wilson_s_interval() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I, method 3
    low, high = wilson(50, 50)
    assert 0.9 < low < high == 1
