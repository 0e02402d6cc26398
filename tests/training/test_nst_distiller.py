"""What holds of the distiller, through mmengine's real Runner on real (small) data."""

import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_state_dict

from nst_det.errors import UserError


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def saved(cfg, epoch=2):
    return torch.load(f'{cfg.work_dir}/epoch_{epoch}.pth', weights_only=True)


def batch(runner):
    loader = runner.build_dataloader(runner.cfg.val_dataloader)
    return runner.model.data_preprocessor(next(iter(loader)), True)


@pytest.fixture
def runner(tiny_distiller):
    runner = Runner.from_cfg(tiny_distiller())
    runner.model.init_weights()
    return runner


@pytest.fixture
def distiller(runner):
    return runner.model


def names(model):
    return [name for name, _ in model.named_parameters()]


# To whatever walks a model it is the student.


def test_its_parameters_and_state_are_the_plain_students(tiny_config, distiller):
    plain = MODELS.build(tiny_config('student').model)
    assert names(distiller) == names(plain)
    assert list(distiller.state_dict()) == list(plain.state_dict())
    assert list(get_state_dict(distiller)) == list(plain.state_dict())
    assert [name for name, _ in distiller.named_buffers()] == [n for n, _ in plain.named_buffers()]


def test_a_checkpoint_of_the_runner_is_the_plain_students(tiny_config, tiny_distiller):
    cfg = tiny_distiller()
    train(cfg)
    plain = MODELS.build(tiny_config('student').model)
    result = plain.load_state_dict(saved(cfg)['state_dict'], strict=True)
    assert not result.missing_keys
    assert not result.unexpected_keys
    assert 'teacher' not in ' '.join(saved(cfg))


def test_weight_zero_is_the_plain_students_training_bit_for_bit(tiny_config, tiny_distiller):
    plain = tiny_config('student')
    taught = tiny_distiller()
    taught.work_dir += '_nst'
    taught.model.transfers[0].loss.loss_weight = 0.0
    train(plain)
    train(taught)
    ours, theirs = saved(taught)['state_dict'], saved(plain)['state_dict']
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_no_transfers_is_the_plain_students_training_bit_for_bit(tiny_config, tiny_distiller):
    plain = tiny_config('student')
    taught = tiny_distiller(**{'model.transfers': []})
    taught.work_dir += '_nst'
    train(plain)
    train(taught)
    ours, theirs = saved(taught)['state_dict'], saved(plain)['state_dict']
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_the_student_starts_as_it_would_without_a_teacher(tiny_config, tiny_distiller):
    states = []
    for cfg in (tiny_config('student'), tiny_distiller()):
        model = Runner.from_cfg(cfg).model
        model.init_weights()
        states.append({**model.state_dict(), 'next random number': torch.rand(1)})
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def resume(cfg, checkpoint):
    """A runner that resumed at the end of its only epoch."""
    cfg.update(load_from=checkpoint, resume=True, work_dir=f'{cfg.work_dir}_resumed')
    cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = 1
    return train(cfg)


def test_resuming_restores_the_student_and_the_optimizer(tiny_distiller):
    whole = tiny_distiller()
    train(whole)
    checkpoint = saved(whole, epoch=1)
    runner = resume(tiny_distiller(), f'{whole.work_dir}/epoch_1.pth')
    state = runner.model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in checkpoint['state_dict'].items())
    steps = runner.optim_wrapper.state_dict()['state']
    for key, value in checkpoint['optimizer']['state'].items():
        assert torch.equal(steps[key]['exp_avg'], value['exp_avg'])
    assert runner.iter == checkpoint['meta']['iter']


def test_a_resumed_training_goes_on(tiny_distiller):
    first = tiny_distiller()
    train(first)
    second = tiny_distiller(load_from=f'{first.work_dir}/epoch_1.pth', resume=True)
    second.work_dir += '_resumed'
    assert train(second).epoch == 2
    assert set(saved(second)['state_dict']) == set(saved(first)['state_dict'])


@pytest.mark.parametrize('update_buffers', [False, True])
def test_ema_saves_the_averaged_plain_student(tiny_config, tiny_distiller, update_buffers):
    hook = dict(type='EMAHook', momentum=0.5, update_buffers=update_buffers, strict_load=True)
    cfg = tiny_distiller(custom_hooks=[hook])
    train(cfg)
    checkpoint = saved(cfg)
    plain = MODELS.build(tiny_config('student').model)
    plain.load_state_dict(checkpoint['state_dict'], strict=True)
    source = {k[7:]: v for k, v in checkpoint['ema_state_dict'].items() if k != 'steps'}
    plain.load_state_dict(source, strict=True)
    key = 'backbone.conv1.conv7x7.conv.weight'
    assert not torch.equal(source[key], checkpoint['state_dict'][key])
    runner = resume(tiny_distiller(custom_hooks=[hook]), f'{cfg.work_dir}/epoch_1.pth')
    resumed = next(h for h in runner.hooks if type(h).__name__ == 'EMAHook').ema_model.module
    for key, value in saved(cfg, epoch=1)['state_dict'].items():
        assert torch.equal(resumed.state_dict()[key], value)


def test_the_student_starts_from_its_own_checkpoint_by_load_from(tiny_config, tiny_distiller):
    plain = tiny_config('student')
    train(plain)
    cfg = tiny_distiller(load_from=f'{plain.work_dir}/epoch_2.pth')
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    for key, value in saved(plain)['state_dict'].items():
        assert torch.equal(runner.model.state_dict()[key], value)


def test_the_student_starts_from_its_own_checkpoint_by_init_cfg(tiny_config, tiny_distiller):
    plain = tiny_config('student')
    train(plain)
    start = dict(type='Pretrained', checkpoint=f'{plain.work_dir}/epoch_2.pth')
    cfg = tiny_distiller(**{'model.student.init_cfg': start})
    model = Runner.from_cfg(cfg).model
    model.init_weights()
    for key, value in saved(plain)['state_dict'].items():
        assert torch.equal(model.state_dict()[key], value)


def test_hooks_find_what_the_student_has(distiller):
    assert distiller.roi_head is distiller.student.roi_head
    assert distiller.test_cfg is distiller.student.test_cfg
    with pytest.raises(AttributeError, match='no_such_thing'):
        distiller.no_such_thing  # noqa: B018


# What it computes.


def test_its_losses_are_the_students_and_one_per_transfer(tiny_config, runner):
    losses = runner.model(**batch(runner), mode='loss')
    plain = MODELS.build(tiny_config('student').model)
    plain.load_state_dict(runner.model.state_dict())
    assert set(losses) - set(plain(**batch(runner), mode='loss')) == {
        'loss_nst_backbone_inception_4b',
        'mmd2_backbone_inception_4b',
        'grad_ratio_backbone_inception_4b',
    }
    assert losses['loss_nst_backbone_inception_4b'] > 0
    total, _ = runner.model.parse_losses(losses)
    others = {k: v for k, v in losses.items() if 'nst' not in k}
    expected = runner.model.parse_losses(others)[0] + losses['loss_nst_backbone_inception_4b']
    torch.testing.assert_close(total, expected)


def test_predictions_are_the_students_alone(tiny_config, runner):
    plain = MODELS.build(tiny_config('student').model).eval()
    plain.load_state_dict(runner.model.state_dict())
    runner.model.eval()
    data = batch(runner)
    ours = runner.model(**copy.deepcopy(data), mode='predict')
    theirs = plain(**data, mode='predict')
    for a, b in zip(ours, theirs):
        assert torch.equal(a.pred_instances.bboxes, b.pred_instances.bboxes)
        assert torch.equal(a.pred_instances.scores, b.pred_instances.scores)


def test_predicting_needs_no_teacher(tiny_distiller):
    runner = Runner.from_cfg(tiny_distiller(**{'model.teacher.checkpoint': 'gone.pth'}))
    runner.model.eval()
    assert len(runner.model(**batch(runner), mode='predict')) == 2
    assert runner.model.teacher is None


def test_the_gradient_reaches_the_students_tap_and_nothing_deeper(runner):
    model = runner.model
    losses = model(**batch(runner), mode='loss')
    losses['loss_nst_backbone_inception_4b'].backward()
    with_gradient = {n.split('.')[1] for n, p in model.named_parameters() if p.grad is not None}
    assert 'inception_4b' in with_gradient
    assert 'conv1' in with_gradient
    assert not any(p.grad is not None for p in model.roi_head.parameters())


def test_losses_can_be_had_without_gradients(runner):
    with torch.no_grad():
        losses = runner.model(**batch(runner), mode='loss')
    assert losses['loss_nst_backbone_inception_4b'] > 0


def test_replacing_a_module_replaces_the_students(distiller):
    new = torch.nn.Identity()
    distiller.neck = new
    assert distiller.student.neck is new


def test_several_transfers_between_different_layers(tiny_distiller):
    loss = dict(type='NSTLoss', loss_weight=1.0, kernel=dict(type='LinearKernel'))
    cfg = tiny_distiller(
        **{
            'model.transfers': [
                dict(layer='backbone.inception_3b', loss=loss),
                dict(student_layer='backbone[0]', teacher_layer='backbone.inception_4a', loss=loss),
                dict(layer='backbone.inception_3b', loss=dict(loss, loss_weight=3.0)),
            ]
        }
    )
    runner = Runner.from_cfg(cfg)
    losses = runner.model(**batch(runner), mode='loss')
    assert [name for name in losses if 'nst' in name] == [
        'loss_nst_backbone_inception_3b',
        'loss_nst_backbone_0',
        'loss_nst_backbone_inception_3b_2',
    ]
    torch.testing.assert_close(
        losses['loss_nst_backbone_inception_3b_2'], 3 * losses['loss_nst_backbone_inception_3b']
    )


def test_a_student_equal_to_its_teacher_has_nothing_to_learn(tiny_config, tiny_distiller, tmp_path):
    model = tiny_config('student').model
    checkpoint = tmp_path / 'same.pth'
    torch.save(MODELS.build(model).state_dict(), checkpoint)
    cfg = tiny_distiller(**{'model.teacher': dict(config=model, checkpoint=str(checkpoint))})
    runner = Runner.from_cfg(cfg)
    runner.model.load_state_dict(torch.load(checkpoint))
    runner.model.eval()  # as the teacher is
    assert runner.model(**batch(runner), mode='loss')['loss_nst_backbone_inception_4b'].abs() < 1e-4


def test_nothing_is_left_in_the_student_after_a_step(runner):
    runner.model(**batch(runner), mode='loss')
    for module in runner.model.student.modules():
        assert not module._forward_hooks
    for module in runner.model.teacher.detector.modules():
        assert not module._forward_hooks


# The teacher.


def test_the_teacher_is_frozen_whatever_train_says(runner):
    runner.model.train()
    teacher = runner.model.teacher.detector
    runner.model(**batch(runner), mode='loss')  # the first batch rewrites it
    before = copy.deepcopy(teacher.state_dict())
    loss, _ = runner.model.parse_losses(runner.model(**batch(runner), mode='loss'))
    loss.backward()
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad or p.grad is not None for p in teacher.parameters())
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())


def test_the_teacher_moves_and_casts_with_the_student(distiller):
    def dtypes():
        return {p.dtype for p in distiller.teacher.detector.parameters()}

    assert dtypes() == {torch.float32}
    distiller.half()
    assert dtypes() == {torch.float16}
    distiller.float()
    assert dtypes() == {torch.float32}
    distiller.to('meta')
    assert {p.device.type for p in distiller.teacher.detector.parameters()} == {'meta'}


def test_a_copy_shares_the_teacher_and_not_the_student(distiller):
    other = copy.deepcopy(distiller)
    assert other.teacher is distiller.teacher
    assert other.student is not distiller.student
    assert next(other.parameters()) is next(other.student.parameters())
    assert next(other.parameters()) is not next(distiller.parameters())


def runs_of(detector):
    """A list to which every run of a module without children adds its name."""
    ran = []
    for name, module in detector.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, i, o, name=name: ran.append(name))
    return ran


def test_nothing_of_the_teacher_runs_after_its_last_tap(runner):
    data = batch(runner)
    runner.model(**copy.deepcopy(data), mode='loss')  # the first batch goes through all of it
    ran = runs_of(runner.model.teacher.detector)
    runner.model(**data, mode='loss')
    assert any('inception_4b' in name for name in ran)
    assert not any(name.startswith(('rpn_head', 'roi_head')) for name in ran)
    ran = [name for name in ran if name.startswith('backbone')]
    assert len(ran) == len(set(ran))


def test_several_transfers_take_one_pass_of_the_teacher(tiny_distiller):
    layers = ['backbone.inception_3b', 'backbone.inception_4a', 'backbone.inception_4b']
    transfers = [dict(layer=layer, loss=dict(type='NSTLoss')) for layer in layers]
    runner = Runner.from_cfg(tiny_distiller(**{'model.transfers': transfers}))
    data = batch(runner)
    runner.model(**copy.deepcopy(data), mode='loss')
    ran = runs_of(runner.model.teacher.detector)
    runner.model(**data, mode='loss')
    assert ran.count('backbone.conv1.conv7x7.conv') == 1
    assert len(ran) == len(set(ran))


def retinanet(strides=(8, 16, 32)):
    """A small RetinaNet, whose head runs once per level."""
    return dict(
        type='RetinaNet',
        data_preprocessor=dict(
            type='DetDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            pad_size_divisor=32,
        ),
        backbone=dict(type='ResNet', depth=18, base_channels=8, frozen_stages=-1),
        neck=dict(
            type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, start_level=1, num_outs=3
        ),
        bbox_head=dict(
            type='RetinaHead',
            num_classes=7,
            in_channels=16,
            feat_channels=16,
            stacked_convs=1,
            anchor_generator=dict(
                type='AnchorGenerator', ratios=[1.0], scales=[4], strides=list(strides)
            ),
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        ),
        test_cfg=dict(nms_pre=20, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5)),
    )


def two_kinds(tiny_distiller, student_layer, teacher_layer):
    """A two-stage student and a one-stage teacher with other colours, padding and classes."""
    cfg = tiny_distiller()
    cfg.model.teacher = dict(config=retinanet(), checkpoint='random')
    transfer = dict(student_layer=student_layer, teacher_layer=teacher_layer)
    cfg.model.transfers = [dict(transfer, loss=dict(type='NSTLoss'))]
    return cfg


@pytest.mark.parametrize('layer', ['neck[1]', 'backbone[0]', 'bbox_head.cls_convs.0.conv@1'])
def test_a_detector_of_another_kind_teaches(tiny_distiller, layer):
    cfg = two_kinds(tiny_distiller, 'backbone.inception_4b', layer)
    train(cfg)
    assert saved(cfg)


def test_a_layer_of_the_teacher_that_runs_several_times_is_not_guessed(tiny_distiller):
    cfg = two_kinds(tiny_distiller, 'backbone.inception_4b', 'bbox_head.cls_convs.0.conv')
    with pytest.raises(UserError, match="teacher's layer 'bbox_head.*' runs 3 times .*conv@2'$"):
        train(cfg)


def test_a_chosen_run_is_the_last_thing_the_teacher_does(tiny_distiller):
    cfg = two_kinds(tiny_distiller, 'backbone.inception_4b', 'bbox_head.cls_convs.0.conv@1')
    cfg.model.teacher.update(fuse=False, channels_last=False)  # which its first batch is tried on
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    ran = runs_of(runner.model.teacher.detector)
    runner.model(**batch(runner), mode='loss')
    assert ran.count('bbox_head.cls_convs.0.conv') == 2
    assert ran[-1] == 'bbox_head.cls_convs.0.conv'


def test_a_teacher_that_fails_after_its_taps_still_teaches(runner):
    data = batch(runner)

    def fail(*_):
        raise RuntimeError('this head needs annotations')

    runner.model.teacher.detector.roi_head.register_forward_pre_hook(fail)
    losses = runner.model(**data, mode='loss')
    assert losses['loss_nst_backbone_inception_4b'] > 0


def test_a_teacher_that_fails_before_its_taps_is_an_error(runner):
    def fail(*_):
        raise RuntimeError('out of order')

    runner.model.teacher.detector.backbone.inception_4a.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match='out of order'):
        runner.model(**batch(runner), mode='loss')


def test_a_distillers_config_as_teacher_means_its_student(tiny_distiller, tiny_config):
    cfg = tiny_distiller()
    teacher = tiny_config('teacher').model
    cfg.model.teacher.config = dict(type='NSTDistiller', student=teacher, teacher={}, transfers=[])
    assert type(MODELS.build(cfg.model).open_teacher().detector).__name__ == 'FasterRCNN'


def test_a_random_teacher_is_had_by_asking_for_it(tiny_distiller):
    cfg = tiny_distiller(**{'model.teacher.checkpoint': 'random'})
    assert MODELS.build(cfg.model).open_teacher().detector is not None


# The user's mistakes.


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'teacher': dict(config='x.py')}, 'teacher has no checkpoint, and an untrained teacher'),
        ({'teacher': dict(checkpoint='x.pth')}, 'teacher has no config'),
        (
            {'teacher': dict(config='x.py', checkpiont='x.pth')},
            "teacher has no option 'checkpiont': did you mean 'checkpoint'",
        ),
        ({'transfers': dict(layer='x')}, 'transfers is a ConfigDict, expected a list'),
        (
            {'transfers': [dict(layer='backbone.inception_4q', loss=dict(type='NSTLoss'))]},
            "the student (FasterRCNN) has no layer 'backbone.inception_4q': did you mean "
            "'backbone.inception_4",
        ),
        (
            {'transfers': [dict(layer='backbone', loss=dict(type='NTSLoss'))]},
            "unknown loss 'NTSLoss': did you mean 'NSTLoss'",
        ),
        ({'transfers': [dict(layer='backbone')]}, 'transfers[0] has no loss'),
        (
            {'transfers': [dict(teacher_layer='backbone', loss=dict(type='NSTLoss'))]},
            'transfers[0] has neither layer nor student_layer',
        ),
        (
            {'transfers': [dict(layer='backbone', lose=dict(type='NSTLoss'))]},
            "transfers[0] has no option 'lose': did you mean 'loss'",
        ),
        ({'transfers': [dict(layer='neck[', loss=dict(type='NSTLoss'))]}, "layer is 'neck['"),
        ({'init_cfg': dict(type='Normal')}, 'give it to the student'),
    ],
)
def test_a_mistake_in_the_config_is_one_clear_line(tiny_distiller, changes, message):
    model = tiny_distiller().model
    for key, value in changes.items():
        model[key] = value
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        MODELS.build(model)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ('teacher', 'message'),
    [
        (dict(checkpoint='/nowhere/t.pth'), 'checkpoint /nowhere/t.pth does not exist'),
        (dict(config='/nowhere/t.py'), 'there is no config file /nowhere/t.py'),
        (dict(config=dict(depth=50)), 'expected the path of a config'),
    ],
)
def test_a_teacher_that_is_not_there_is_one_clear_line(tiny_distiller, teacher, message):
    cfg = tiny_distiller()
    for key, value in teacher.items():
        cfg.model.teacher[key] = value
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        MODELS.build(cfg.model).init_weights()
    assert message in str(error.value)


def test_a_teachers_checkpoint_of_another_architecture_says_how_many_keys_fit(
    tiny_config, tiny_distiller, tmp_path
):
    weights = MODELS.build(tiny_config('teacher').model).state_dict()
    total = len(weights)
    weights.pop('backbone.conv1.conv7x7.conv.weight')
    weights['backbone.conv1.conv7x7.conv.bias'] = torch.zeros(3)
    weights['neck.weight'] = torch.zeros(1)
    torch.save(weights, tmp_path / 'other.pth')
    cfg = tiny_distiller(**{'model.teacher.checkpoint': str(tmp_path / 'other.pth')})
    with pytest.raises(UserError, match='^[^\n]*$') as error:
        MODELS.build(cfg.model).init_weights()
    assert f'{total - 2} of its {total} keys fit' in str(error.value)
    assert '1 unexpected, such as neck.weight' in str(error.value)


def test_a_teachers_file_that_is_no_checkpoint_is_one_clear_line(tiny_distiller, tmp_path):
    file = tmp_path / 'notes.pth'
    for content, fault in [
        (b'', 'is empty, 0 bytes'),
        (b'hello', 'cannot be read as a checkpoint'),
        (b'PK\x03\x04 truncated', 'cannot be read as a checkpoint'),
    ]:
        file.write_bytes(content)
        cfg = tiny_distiller(**{'model.teacher.checkpoint': str(file)})
        with pytest.raises(UserError, match=rf'^.*notes\.pth {fault}[^\n]*$'):
            MODELS.build(cfg.model).init_weights()


def test_an_unknown_layer_of_the_teacher_lists_the_nearest(tiny_distiller):
    cfg = tiny_distiller()
    transfer = cfg.model.transfers[0]
    transfer.student_layer = transfer.pop('layer')
    transfer.teacher_layer = 'inception_4b'
    with pytest.raises(UserError, match="the teacher .* has no layer 'inception_4b': did you mean"):
        MODELS.build(cfg.model).init_weights()


def test_a_frozen_tap_is_an_error_and_not_a_waste(tiny_distiller):
    cfg = tiny_distiller(**{'model.student.backbone.frozen_stages': 5})
    with pytest.raises(UserError, match='loss_nst_backbone_inception_4b has no effect'):
        train(cfg)


def test_a_loss_that_is_no_number_names_its_term_and_iteration(tiny_distiller):
    cfg = tiny_distiller(
        **{
            'optim_wrapper.optimizer.lr': 1e30,
            'optim_wrapper.clip_grad': None,
            'param_scheduler': [],
        }
    )
    with pytest.raises(UserError, match=r'loss not finite at iteration \d+: .*loss_\w+=(nan|inf)'):
        train(cfg)


def test_with_a_cache_the_second_epoch_has_the_same_losses_and_runs_no_teacher(
    tiny_distiller, tmp_path
):
    plain = Runner.from_cfg(tiny_distiller())
    cached = Runner.from_cfg(tiny_distiller(**{'model.teacher.cache': str(tmp_path / 'cache')}))
    losses = []
    for runner in (plain, cached, cached):
        runner.model.load_state_dict(plain.model.state_dict())
        ran = runs_of(runner.model.open_teacher().detector)
        losses.append(runner.model(**batch(runner), mode='loss'))
    assert not ran
    assert [one.pop('teacher_cached', None) for one in losses] == [None, 0, 1]
    name = 'loss_nst_backbone_inception_4b'
    assert losses[0][name] == losses[1][name] == losses[2][name] > 0
