"""Choosing channels to look at, and matching them."""

import pytest
import torch

from nst_det.visualization.channels import (
    choose_channels,
    match_channels,
    selectivity,
    strongest_channels,
)


def test_selectivity_is_0_if_all_positions_are_equal_and_1_if_only_one_is_active():
    feature_map = torch.zeros(3, 4, 5)
    feature_map[0] = 2.0
    feature_map[1, 2, 3] = 2.0  # the third is dead
    assert selectivity(feature_map).tolist() == pytest.approx([0, 1, 0], abs=1e-6)


def test_the_selectivity_of_a_half_active_channel_is_that_of_hoyers_formula():
    feature_map = torch.zeros(1, 4, 4)
    feature_map[0, :2] = 3.0  # n = 16, L1/L2 = √8
    assert selectivity(feature_map).item() == pytest.approx((4 - 8**0.5) / 3)


def test_a_channel_that_is_hardly_active_is_not_selective():
    feature_map = torch.ones(2, 4, 4)
    feature_map[1] = 0
    feature_map[1, 0, 0] = 0.01
    assert selectivity(feature_map)[1] == 0


def test_matching_undoes_a_permutation_and_a_scaling():
    teacher = torch.rand(7, 3, 4, generator=torch.Generator().manual_seed(0))
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    rows, matches, cosines = match_channels(teacher, 5 * teacher[order])
    assert rows.tolist() == list(range(7))
    assert order[matches].tolist() == list(range(7))
    assert cosines.tolist() == pytest.approx([1] * 7)


def test_the_matching_has_the_largest_sum_and_is_not_greedy():
    teacher = torch.tensor([[1.0, 0.0], [0.8, 0.6]])[:, None]
    student = torch.tensor([[1.0, 0.0], [0.6, -0.8]])[:, None]
    # The best pair first, cosine 1, would leave 0 for the other two: 0.6 + 0.8 is more.
    _, matches, cosines = match_channels(teacher, student)
    assert matches.tolist() == [1, 0]
    assert cosines.tolist() == pytest.approx([0.6, 0.8])


def test_the_chosen_channels_are_different_and_none_is_dead():
    feature_map = torch.zeros(6, 4, 4)
    feature_map[0, 0, 0] = feature_map[1, 0, 0] = feature_map[2, 3, 3] = 1.0
    feature_map[3, 1:3, 1:3] = 1.0
    chosen = choose_channels(feature_map, 3)
    assert chosen[0] in (0, 1)
    assert set(chosen[1:]) == {2, 3}
    assert set(choose_channels(feature_map, 6)) == {0, 1, 2, 3}
    assert choose_channels(torch.zeros(3, 2, 2), 2) == []


def test_the_strongest_channels_have_the_largest_norms():
    feature_map = torch.tensor([1.0, 5.0, 0.0, 3.0])[:, None, None].expand(4, 2, 2)
    assert strongest_channels(feature_map, 2).tolist() == [1, 3]
    assert strongest_channels(feature_map, 9).tolist() == [0, 1, 3]
