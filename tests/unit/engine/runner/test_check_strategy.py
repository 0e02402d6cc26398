"""A distiller refuses a parallel strategy that shards it."""

import pytest

from nst_det.engine.runner.check_strategy import check_strategy
from nst_det.errors import UserError


@pytest.mark.parametrize(
    ('change', 'option'),
    [
        (dict(strategy=dict(type='FSDPStrategy')), 'strategy'),
        (dict(strategy=dict(type='DeepSpeedStrategy')), 'strategy'),
        (dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')), 'model_wrapper_cfg'),
    ],
)
def test_check_strategy_refuses_to_shard_a_distiller_only(
    tiny_distiller, tiny_config, change, option
):
    with pytest.raises(UserError) as caught:
        check_strategy(tiny_distiller(**change))
    assert caught.value.option == option
    check_strategy(tiny_config('student', **change))


def test_check_strategy_accepts_ddp(tiny_distiller):
    check_strategy(tiny_distiller(strategy=dict(type='DDPStrategy')))
