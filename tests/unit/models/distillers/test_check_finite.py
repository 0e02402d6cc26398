"""A NaN or infinite loss is an error that names it."""

import math

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.distillers.check_finite import check_finite, describe_inputs


def test_finite_losses_pass():
    check_finite(dict(loss_a=torch.tensor(1e30), loss_b=[torch.ones(2)], loss_c=[]), 3)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_every_nan_or_infinite_loss_is_named_with_its_iteration(value):
    losses = dict(
        loss_rpn=[torch.tensor(1.0), torch.tensor(value)],
        loss_nst=torch.tensor(value),
        loss_fine=torch.tensor(2.0),
    )
    with pytest.raises(UserError, match='^[^\n]*iteration 42[^\n]*$') as error:
        check_finite(losses, 41)
    assert 'loss_rpn=' in str(error.value)
    assert 'loss_nst=' in str(error.value)
    assert 'loss_fine' not in str(error.value)


def test_a_value_that_is_no_loss_is_not_checked():
    check_finite(dict(acc=torch.tensor(math.nan), loss=torch.tensor(1.0)), 0)


def test_the_origin_is_described_only_in_an_error():
    described = []
    describe = lambda: described.append(1) or '; where it began'  # noqa: E731
    check_finite(dict(loss=torch.tensor(1.0)), 0, describe)
    assert not described
    with pytest.raises(UserError, match='loss=nan; where it began'):
        check_finite(dict(loss=torch.tensor(math.nan)), 0, describe)


def test_inputs_that_are_not_finite_are_named_with_the_images():
    tensors = {'the images': torch.ones(1), "the teacher's neck": torch.tensor([1.0, math.nan])}
    text = describe_inputs(tensors, ['a.jpg', 'b.jpg'])
    assert text == "; not finite already: the teacher's neck; images: a.jpg, b.jpg"
    assert describe_inputs({'the images': torch.ones(1)}, []) == ''
