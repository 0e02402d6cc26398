"""The options of FiniteLossHook."""

import pytest

from nst_det.engine import FiniteLossHook
from nst_det.errors import UserError


@pytest.mark.parametrize('max_skips', [-1, 0.5, True, '3', None])
def test_finite_loss_hook_refuses_what_is_no_number_of_iterations(max_skips):
    with pytest.raises(UserError) as caught:
        FiniteLossHook(max_skips=max_skips)
    assert caught.value.option == 'max_skips'
