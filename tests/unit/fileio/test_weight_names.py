"""The table of rules for the names in a checkpoint."""

import re

import pytest
from locations import DOCS

from nst_det.fileio.weight_names import (
    NO_WEIGHTS,
    PARTS,
    WRAPPERS,
    renamed,
    unwrapped,
    without_weights,
)


@pytest.mark.parametrize(
    'name',
    [
        'module.backbone.conv1.weight',
        'module.module.backbone.conv1.weight',
        '_orig_mod.backbone.conv1.weight',
        'module._orig_mod.backbone.conv1.weight',
        'backbone._orig_mod.conv1.weight',
        '_fsdp_wrapped_module.backbone._fsdp_wrapped_module.conv1.weight',
        'backbone._checkpoint_wrapped_module.conv1.weight',
    ],
)
def test_a_wrapper_is_taken_out_of_a_name(name):
    assert unwrapped(name) == 'backbone.conv1.weight'


@pytest.mark.parametrize(
    'name', ['backbone.conv1.weight', 'backbone.module.weight', 'not_orig_mod.weight', 'bbox_head.']
)
def test_other_names_are_as_they_were(name):
    assert unwrapped(name) == name


@pytest.mark.parametrize(
    'name',
    [
        'data_preprocessor.mean',
        'ema_backbone_conv1_weight',
        'backbone.bn1.num_batches_tracked',
        'backbone.conv1.total_ops',
        'total_params',
        'steps',
        'n_averaged',
        'teacher.backbone.conv1.weight',
        'distiller.connectors.a.weight',
        'optimizer.state.0.exp_avg',
        'optimizer_states',
        'lr_scheduler',
        'epoch',
        'best_map',
    ],
)
def test_a_name_without_weights_is_told_apart(name):
    assert without_weights(name)


@pytest.mark.parametrize(
    'name',
    [
        'backbone.conv1.weight',
        'bbox_head.retina_cls.bias',
        'ema_backbone.conv1.weight',
        'bbox_head.loss_cls.cum_samples',
        'neck.steps.0.weight',
        'query_embedding.weight',
        'level_embed',
    ],
)
def test_a_name_of_a_weight_is_none_of_them(name):
    assert without_weights(name) is None


def test_an_old_name_is_changed_only_if_the_detector_has_the_new_one():
    old, new = 'layer2.0.conv2_offset.weight', 'layer2.0.conv2.conv_offset.weight'
    assert renamed(old, {new: None}) == new
    assert renamed(old, {old: None, new: None}) == old
    assert renamed(old, {}) == old


def test_the_page_shows_the_whole_table():
    page = (DOCS / 'checkpoints.md').read_text()
    for name in PARTS:
        assert f'`{name}`' in page
    for kind in (*NO_WEIGHTS.values(), *filter(None, [*WRAPPERS.values(), *PARTS.values()])):
        assert re.search(rf'\| {re.escape(kind)} \|', page), kind
