"""Loading weights that must fit."""

import pytest
import torch
from torch import nn

from nst_det.errors import UserError
from nst_det.fileio.state_dict import load_strictly, read_state_dict


@pytest.fixture
def file(tmp_path):
    return tmp_path / 'weights.pth'


def model():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


@pytest.mark.parametrize('wrap', [dict, lambda w: dict(state_dict=w, meta={})])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_weights_are_found_alone_or_in_a_checkpoint_of_a_wrapped_model(file, wrap, prefix):
    source, target = model(), model()
    torch.save(wrap({prefix + k: v for k, v in source.state_dict().items()}), file)
    load_strictly(target, file, 'teacher')
    assert torch.equal(target[0].weight, source[0].weight)


def test_old_files_without_batch_counters_fit(file):
    weights = model().state_dict()
    del weights['1.num_batches_tracked']
    torch.save(weights, file)
    load_strictly(model(), file, 'teacher')


def test_weights_that_do_not_fit_change_nothing(file):
    weights = model().state_dict()
    weights['0.bias'] = torch.zeros(9)
    torch.save(weights, file)
    target = model()
    before = target[0].weight.clone()
    with pytest.raises(
        UserError, match=r'6 of its 7 keys fit \(1 of another shape, such as 0.bias'
    ):
        load_strictly(target, file, 'teacher')
    assert torch.equal(target[0].weight, before)


@pytest.mark.parametrize('content', [[1, 2], dict(meta={}), dict(state_dict={})])
def test_a_file_without_weights_is_one_clear_line(file, content):
    torch.save(content, file)
    with pytest.raises(UserError, match=r'^[^\n]*is not a checkpoint: it holds no weights[^\n]*$'):
        read_state_dict(file)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match='is a folder, expected a file'):
        read_state_dict(tmp_path)


# Distillers' and wrappers' checkpoints.


def prefixed(prefix, weights):
    return {prefix + key: value for key, value in weights.items()}


@pytest.mark.parametrize('prefix', ['architecture.', 'student.', 'ema_model.module.'])
def test_weights_under_a_prefix_beside_others_are_found(file, prefix):
    source, target = model(), model()
    other = nn.Linear(2, 2).state_dict()
    torch.save({**prefixed('teacher.', other), **prefixed(prefix, source.state_dict())}, file)
    load_strictly(target, file, 'teacher')
    assert torch.equal(target[0].weight, source[0].weight)


def test_two_prefixes_that_both_fit_are_an_error_that_names_them(file):
    weights = model().state_dict()
    torch.save({**prefixed('student.', weights), **prefixed('teacher.', weights)}, file)
    with pytest.raises(UserError, match=r"^[^\n]*under 'student.' and 'teacher.': save[^\n]*$"):
        load_strictly(model(), file, 'teacher')


def test_prefixes_of_which_none_fits_are_named(file):
    other = nn.Linear(2, 2).state_dict()
    torch.save({**prefixed('student.', other), **prefixed('teacher.', other)}, file)
    with pytest.raises(UserError, match=r'0 of its 7 keys fit .* begin with student\., teacher\.'):
        load_strictly(model(), file, 'teacher')


def test_part_of_a_model_under_a_prefix_is_not_enough(file):
    weights = model().state_dict()
    del weights['1.weight']
    torch.save(prefixed('student.', weights), file)
    with pytest.raises(UserError, match='0 of its 7 keys fit'):
        load_strictly(model(), file, 'teacher')


def test_the_averaged_weights_of_an_ema_checkpoint_are_loaded(file):
    averaged, latest = model(), model()
    ema = {**prefixed('module.', latest.state_dict()), 'steps': torch.tensor(3)}
    torch.save(dict(state_dict=averaged.state_dict(), ema_state_dict=ema), file)
    target = model()
    load_strictly(target, file, 'teacher')
    assert torch.equal(target[0].weight, averaged[0].weight)
