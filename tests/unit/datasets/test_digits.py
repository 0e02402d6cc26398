"""The data set of scikit-learn's handwritten digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from nst_det.datasets import DigitsDataset
from nst_det.errors import UserError


def test_the_two_splits_hold_each_digit_once_and_in_the_order_of_the_file():
    train, test = (DigitsDataset(split, size=8) for split in ('train', 'test'))
    assert (len(train), len(test)) == (1200, 597)
    digits = load_digits()
    rows = [*train, *test]
    assert [row['gt_label'] for row in rows] == digits.target.tolist()
    images = np.stack([row['img'] for row in rows])
    assert images.dtype == np.uint8
    for channel in range(3):
        assert np.abs(images[..., channel] / 255 * 16 - digits.images).max() < 0.04


def test_a_digit_is_enlarged_to_the_size_asked_for():
    row = DigitsDataset('test', indices=2)[0]
    assert row['img'].shape == (32, 32, 3) and row['img_shape'] == (32, 32)


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="DigitsDataset.split is 'val'"):
        DigitsDataset('val')
