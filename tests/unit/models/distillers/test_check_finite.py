"""A loss that is no number is caught by name."""

import math

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.distillers.check_finite import check_finite


def test_finite_losses_pass():
    check_finite(dict(loss_a=torch.tensor(1e30), loss_b=[torch.ones(2)], loss_c=[]), 3)


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_every_bad_term_is_named_with_its_iteration(bad):
    losses = dict(
        loss_rpn=[torch.tensor(1.0), torch.tensor(bad)],
        loss_nst=torch.tensor(bad),
        loss_fine=torch.tensor(2.0),
    )
    with pytest.raises(UserError, match='^[^\n]*iteration 42[^\n]*$') as error:
        check_finite(losses, 41)
    assert 'loss_rpn=' in str(error.value)
    assert 'loss_nst=' in str(error.value)
    assert 'loss_fine' not in str(error.value)


def test_what_is_no_loss_is_left_alone():
    check_finite(dict(acc=torch.tensor(math.nan), loss=torch.tensor(1.0)), 0)


def test_the_images_and_the_maps_that_were_no_numbers_already_are_named():
    maps = {'the images': torch.ones(1), "the teacher's neck": torch.tensor([1.0, math.nan])}
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        check_finite(dict(loss=torch.tensor(math.nan)), 0, maps, ['a.jpg', 'b.jpg'])
    assert "not finite already: the teacher's neck; images: a.jpg, b.jpg" in str(error.value)
