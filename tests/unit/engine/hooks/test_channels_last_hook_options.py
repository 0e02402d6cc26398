"""The options of ChannelsLastHook."""

import pytest

from nst_det.engine import ChannelsLastHook
from nst_det.errors import UserError


@pytest.mark.parametrize('devices', ['cpu', [], ['gpu'], ['cuda:0'], [0], 5, None])
def test_channels_last_hook_refuses_what_is_no_list_of_device_types(devices):
    with pytest.raises(UserError) as caught:
        ChannelsLastHook(devices=devices)
    assert caught.value.option == 'devices'
