"""The types of a dumped config in the pure Python style are found again."""

from mmdet.models.losses import L1Loss
from mmdet.registry import MODELS
from torch.optim import SGD

from nst_det.compat.dumped_types import find


def test_a_class_whose_module_has_the_name_of_a_function_is_found():
    path = f'{L1Loss.__module__}.{L1Loss.__name__}'
    assert path == 'mmdet.models.losses.smooth_l1_loss.L1Loss'
    assert type(MODELS.build(dict(type=path))) is L1Loss


def test_other_paths_are_found_as_before():
    assert find('torch.optim.sgd.SGD') is SGD
    assert find('mmdet.models.nothing.L1Loss') is None
    assert find('L1Loss') is None
