"""Loading weights that must fit."""

from contextlib import contextmanager
from copy import deepcopy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.logging import MMLogger
from torch import nn

from nst_det.errors import UserError
from nst_det.fileio.fit import load_strictly, select_fitting
from nst_det.fileio.state_dict import find_state_dict, read_state_dict


@contextmanager
def logged(caplog):
    """Let caplog see what mmengine's logger logs."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)


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
    with pytest.raises(UserError, match=r"^[^\n]*under 'student.' and 'teacher.': choose[^\n]*$"):
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
    with pytest.raises(UserError, match=r"6 of its 7 keys fit under 'student\.' \(1 missing"):
        load_strictly(model(), file, 'teacher')


def test_the_averaged_weights_of_an_ema_checkpoint_are_loaded(file):
    averaged, latest = model(), model()
    ema = {**prefixed('module.', latest.state_dict()), 'steps': torch.tensor(3)}
    torch.save(dict(state_dict=averaged.state_dict(), ema_state_dict=ema), file)
    target = model()
    load_strictly(target, file, 'teacher')
    assert torch.equal(target[0].weight, averaged[0].weight)


# Checkpoints as they are published.


def save(file, content):
    torch.save(content, file)
    return str(file)


@pytest.fixture(scope='module')
def detector():
    """A small detector of mmdet, whose modules rename the weights of older versions."""
    return MODELS.build(fcos())


def fcos():
    return dict(
        type='FCOS',
        data_preprocessor=dict(
            type='DetDataPreprocessor', mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0]
        ),
        backbone=dict(type='ResNet', depth=18, base_channels=4),
        neck=dict(type='FPN', in_channels=[4, 8, 16, 32], out_channels=4, num_outs=5),
        bbox_head=dict(
            type='FCOSHead',
            num_classes=2,
            in_channels=4,
            feat_channels=4,
            stacked_convs=1,
            norm_cfg=None,
        ),
    )


def changed(detector):
    """Its weights, changed, so that it can be seen which were loaded."""
    return {key: value + 1 for key, value in detector.state_dict().items()}


def loads(detector, file, content, weights, **options):
    """Whether exactly these weights are loaded into a copy of a detector."""
    target = deepcopy(detector)
    load_strictly(target, save(file, content), 'teacher', **options)
    return all(torch.equal(value, weights[key]) for key, value in target.state_dict().items())


PUBLISHED = {
    'means and deviations': lambda w: dict(
        state_dict={'data_preprocessor.mean': torch.tensor([[[1.0]], [[2.0]], [[3.0]]]), **w}
    ),
    "mmdet 2's EMA": lambda w: dict(
        state_dict={**w, **{'ema_' + k.replace('.', '_'): v - 1 for k, v in w.items()}}
    ),
    'DDP': lambda w: prefixed('module.', w),
    'torch.compile': lambda w: dict(state_dict=prefixed('_orig_mod.', w)),
    'Lightning': lambda w: dict(
        state_dict={**prefixed('model.', w), 'criterion.weight': torch.ones(3)}, epoch=3
    ),
    'Detectron2': lambda w: dict(model=w, optimizer=dict(state={0: dict(step=torch.ones(1))})),
    'an EMA alone': lambda w: dict(ema=dict(module=w, updates=3)),
    'beside the optimizer': lambda w: {**w, 'optimizer': dict(lr=0.1), 'epoch': 12},
    'counted operations': lambda w: {**w, 'backbone.conv1.total_ops': torch.ones(1)},
    'mmrazor': lambda w: dict(
        state_dict={
            **prefixed('architecture.', w),
            **prefixed('teacher.', nn.Linear(2, 2).state_dict()),
            'data_preprocessor.mean': torch.tensor([1.0, 2.0, 3.0]),
        }
    ),
    'a DDP of averaged weights': lambda w: {**prefixed('module.', w), 'n_averaged': torch.ones(())},
    'a former FCOS': lambda w: {
        k.replace('.conv_cls', '.fcos_cls').replace('.conv_reg', '.fcos_reg'): v
        for k, v in w.items()
    },
}


@pytest.mark.parametrize('kind', PUBLISHED)
def test_a_published_checkpoint_is_read(detector, file, kind):
    weights = changed(detector)
    assert loads(detector, file, PUBLISHED[kind](weights), weights)


def test_what_is_left_out_is_logged(detector, file, caplog):
    content = {
        **changed(detector),
        'ema_backbone_conv1_weight': torch.ones(1),
        'data_preprocessor.mean': torch.tensor([1.0, 2.0, 3.0]),
    }
    with logged(caplog):
        load_strictly(deepcopy(detector), save(file, content), 'teacher')
    assert "one key is left out: copies of mmdet 2's EMA (ema_backbone_conv1_weight)" in caplog.text
    assert 'one key is left out: the normalisation of the images' in caplog.text
    assert 'the config is followed' not in caplog.text  # the means are the same


@pytest.mark.parametrize('prefix', ['', 'architecture.'])
def test_other_means_than_those_of_the_config_are_a_warning_with_both(
    detector, file, caplog, prefix
):
    content = {
        **prefixed(prefix, changed(detector)),
        'data_preprocessor.mean': torch.tensor([103.53, 116.28, 123.675])[:, None, None],
    }
    with logged(caplog):
        load_strictly(deepcopy(detector), save(file, content), 'teacher')
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == 'WARNING']
    assert 'mean=[103.53, 116.28, 123.675]' in warning and 'mean=[1.0, 2.0, 3.0]' in warning


@pytest.mark.parametrize('prefix', ['teacher.', 'teacher', 'state_dict.teacher.'])
def test_a_prefix_chooses_one_of_two_detectors(detector, file, prefix):
    weights, others = changed(detector), detector.state_dict()
    content = dict(state_dict={**prefixed('teacher.', weights), **prefixed('student.', others)})
    assert loads(detector, file, content, weights, prefix=prefix)


def test_a_prefix_may_name_another_part_of_the_file(detector, file):
    weights, others = changed(detector), detector.state_dict()
    content = dict(state_dict=others, ema_state_dict=prefixed('module.', weights))
    assert loads(detector, file, content, weights, prefix='ema_state_dict.module.')
    assert loads(detector, file, content, others)


def test_a_prefix_that_no_name_has_is_one_line_with_those_there_are(detector, file):
    torch.save(prefixed('student.', detector.state_dict()), file)
    with pytest.raises(UserError, match=r"prefix 'teacher\.': its keys begin with student\.$"):
        load_strictly(detector, file, 'teacher', prefix='teacher.')


def test_a_file_that_holds_itself_is_read_or_refused(detector, file):
    content = dict(detector.state_dict())
    content['model'] = content
    with pytest.raises(UserError, match="among its weights 'model' is dict"):
        load_strictly(detector, save(file, content), 'teacher')
    with pytest.raises(UserError, match='no weight .* begins with the prefix'):
        load_strictly(detector, file, 'teacher', prefix='model.model.a.')


def test_a_larger_detector_is_refused_as_such(detector, file):
    content = {**detector.state_dict(), 'backbone.layer3.9.conv1.weight': torch.ones(1)}
    with pytest.raises(UserError) as caught:
        load_strictly(detector, save(file, content), 'teacher')
    line = str(caught.value)
    assert '1 more, such as backbone.layer3.9.conv1.weight' in line
    assert 'another architecture' not in line


@pytest.mark.parametrize('prefix', ['', 'student.'])
def test_a_larger_detector_is_refused_under_a_prefix_as_well(detector, file, prefix):
    content = {**detector.state_dict(), 'backbone.layer3.9.conv1.weight': torch.ones(1)}
    with pytest.raises(UserError, match='1 more, such as'):
        load_strictly(detector, save(file, prefixed(prefix, content)), 'teacher')


def test_the_weights_of_a_backbone_alone_are_called_so(detector, file):
    torch.save(detector.backbone.state_dict(), file)
    with pytest.raises(UserError, match='holds only the weights of a backbone.*init_cfg'):
        load_strictly(detector, file, 'teacher')


def test_another_shape_is_named_with_both_sides(detector, file):
    content = {**detector.state_dict(), 'bbox_head.conv_cls.bias': torch.ones(80)}
    with pytest.raises(UserError, match=r'such as bbox_head\.conv_cls\.bias, 80 in place of 2'):
        load_strictly(detector, save(file, content), 'teacher')


def test_a_name_that_the_model_has_is_no_rules_business(file):
    source = nn.ModuleDict(dict(teacher=nn.Linear(1, 1), optimizer=nn.Linear(1, 1)))
    target = deepcopy(source)
    weights = {key: value + 1 for key, value in source.state_dict().items()}
    load_strictly(target, save(file, weights), 'teacher')
    assert all(torch.equal(target.state_dict()[key], weights[key]) for key in weights)


def test_a_semi_supervised_detector_takes_a_plain_one_for_both(detector, file):
    semi = MODELS.build(
        dict(type='SemiBaseDetector', detector=fcos(), semi_train_cfg=dict(), semi_test_cfg=dict())
    )
    weights = changed(detector)
    load_strictly(semi, save(file, weights), 'teacher')
    for half in (semi.student, semi.teacher):
        assert torch.equal(half.backbone.conv1.weight, weights['backbone.conv1.weight'])


# A start for a training: what fits.


def selected(detector, content):
    return select_fitting(detector, find_state_dict(content, 'a.pth'), 'a.pth', 'detector')


def test_of_a_detector_for_other_classes_the_rest_fits(detector, caplog):
    weights = {**changed(detector), 'bbox_head.conv_cls.bias': torch.ones(80)}
    with logged(caplog):
        found = selected(detector, dict(state_dict=weights))
    assert found.keys() == weights.keys() - {'bbox_head.conv_cls.bias'}
    assert '80 in place of 2' in caplog.text


def test_the_prefix_under_which_most_fits_is_taken(detector):
    weights, other = changed(detector), nn.Linear(2, 2).state_dict()
    del weights['neck.fpn_convs.0.conv.bias']
    found = selected(
        detector, dict(model={**prefixed('architecture.', weights), **prefixed('teacher.', other)})
    )
    assert found.keys() == weights.keys()


def test_two_prefixes_that_fit_as_well_are_an_error_that_names_the_option(detector):
    weights = detector.state_dict()
    content = {**prefixed('student.', weights), **prefixed('teacher.', weights)}
    with pytest.raises(UserError, match=r"'student\.' and 'teacher\.'.*load_from_prefix='student"):
        selected(detector, content)


def test_hardly_any_fitting_weights_are_no_start(detector):
    with pytest.raises(UserError, match='another architecture'):
        selected(detector, nn.Linear(2, 2).state_dict())
