"""The stand-in for mmcv's compiled ops.

``fixtures/mmcv_ops.npz`` is a part of ``shared/reference/mmcv_ops_golden.npz``: inputs, and what
the compiled CPU ops of mmcv 2.1.0 made of them.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
import torchvision
from locations import FIXTURES
from mmcv.ops import deform_conv2d, modulated_deform_conv2d, nms, roi_align, sigmoid_focal_loss
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

import nst_det
from nst_det import compat

compiled = not mmcv._ext.__spec__.origin.endswith('mmcv_ops.py')
stand_in_only = pytest.mark.skipif(compiled, reason='compiled mmcv ops are installed')


@pytest.fixture(scope='module', params=['part', 'whole'])
def golden(request):
    if request.param == 'part':
        path = FIXTURES / 'mmcv_ops.npz'
    else:
        path = request.getfixturevalue('shared') / 'reference' / 'mmcv_ops_golden.npz'
    with np.load(path) as archive:
        return dict(archive)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_nms_keeps_the_boxes_that_the_compiled_op_keeps(golden):
    cases = [name.split('/') for name in golden if name.endswith('/keep')]
    assert len(cases) >= 30
    for _, boxes, threshold, offset, _ in cases:
        _, keep = nms(
            torch.from_numpy(golden[f'nms/{boxes}/boxes']),
            torch.from_numpy(golden[f'nms/{boxes}/scores']),
            float(threshold),
            offset=int(offset),
        )
        expected = golden[f'nms/{boxes}/{threshold}/{offset}/keep']
        assert keep.tolist() == expected.tolist(), (boxes, threshold, offset)


@pytest.mark.parametrize('sampling', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
def test_roi_align_and_its_gradient_are_bit_identical_to_the_compiled_op(golden, aligned, sampling):
    for maps in {name.split('/')[1] for name in golden if name.startswith('roi/')}:
        features = torch.from_numpy(golden[f'roi/{maps}/input']).requires_grad_()
        rois = torch.from_numpy(golden[f'roi/{maps}/rois' + ('' if aligned else '_not_aligned')])
        scale = float(golden[f'roi/{maps}/spatial_scale'])
        output = roi_align(features, rois, (7, 7), scale, sampling, 'avg', aligned)
        # the reference's gradient of the output was drawn with this seed
        grad_output = golden.get(f'roi/{maps}/grad_output', random(*output.shape, seed=5))
        output.backward(torch.as_tensor(grad_output))

        case = f'roi/{maps}/al{aligned}/sr{sampling}/avg/7x7'
        expected = torch.from_numpy(golden[f'{case}/output'])
        assert torch.equal(output[: len(expected)], expected)  # the part has the first few RoIs'
        assert torch.equal(features.grad, torch.from_numpy(golden[f'{case}/grad_input']))


@stand_in_only
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align_of_half_types_is_the_float32_result_rounded_once(dtype):
    features = random(1, 2, 9, 9).to(dtype).requires_grad_()
    rois = torch.tensor([[0.0, 1.0, 2.0, 60.0, 50.0]])
    output = roi_align(features, rois.to(dtype), 3, 0.125, 0, 'avg', True)
    output.sum().backward()

    exact = features.detach().float().requires_grad_()
    expected = roi_align(exact, rois, 3, 0.125, 0, 'avg', True)
    expected.sum().backward()
    assert torch.equal(output, expected.to(dtype))
    assert torch.equal(features.grad, exact.grad.to(dtype))


@stand_in_only
def test_max_pooling_roi_align_is_refused():
    with pytest.raises(NotImplementedError, match="roi_align_forward with pool_mode='max'"):
        roi_align(random(1, 2, 5, 5), torch.tensor([[0.0, 1, 1, 3, 3]]), 2, 1.0, 0, 'max', True)


def gradients(output, inputs):
    return torch.autograd.grad(output, inputs, random(*output.shape, seed=9))


@pytest.mark.parametrize('groups, deform_groups', [(1, 1), (2, 1), (1, 2)])
def test_deform_conv_and_its_gradients_are_those_of_torchvision(groups, deform_groups):
    features = random(2, 4, 7, 6, seed=0).requires_grad_()
    offset = random(2, deform_groups * 18, 4, 6, seed=1).requires_grad_()
    weight = random(8, 4 // groups, 3, 3, seed=2).requires_grad_()
    geometry = dict(stride=(2, 1), padding=(1, 2), dilation=(1, 2))

    output = deform_conv2d(features, offset, weight, *geometry.values(), groups, deform_groups)
    expected = torchvision.ops.deform_conv2d(features, offset, weight, **geometry)
    inputs = features, offset, weight
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(gradients(output, inputs), gradients(expected, inputs))


@pytest.mark.parametrize('with_bias', [True, False])
def test_modulated_deform_conv_and_its_gradients_are_those_of_torchvision(with_bias):
    features = random(2, 4, 7, 6, seed=0).requires_grad_()
    offset = random(2, 18, 4, 6, seed=1).requires_grad_()
    mask = random(2, 9, 4, 6, seed=2).sigmoid().requires_grad_()
    weight = random(8, 4, 3, 3, seed=3).requires_grad_()
    bias = random(8, seed=4).requires_grad_() if with_bias else None
    geometry = dict(stride=(2, 1), padding=(1, 2), dilation=(1, 2))

    output = modulated_deform_conv2d(features, offset, mask, weight, bias, *geometry.values())
    expected = torchvision.ops.deform_conv2d(features, offset, weight, bias, mask=mask, **geometry)
    inputs = (features, offset, mask, weight) + ((bias,) if with_bias else ())
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(gradients(output, inputs), gradients(expected, inputs))


@stand_in_only
def test_sigmoid_focal_loss_is_that_of_mmdet_also_for_the_background():
    logits = random(6, 3).mul(4).requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 3, 1])  # 3 is the background
    one_hot = torch.nn.functional.one_hot(labels, 4)[:, :3]

    loss = sigmoid_focal_loss(logits, labels, 2.0, 0.25, None, 'none')
    expected = py_sigmoid_focal_loss(logits, one_hot, gamma=2.0, alpha=0.25, reduction='none')
    torch.testing.assert_close(loss, expected)
    mean = sigmoid_focal_loss(logits, labels, 2.0, 0.25, None, 'mean')
    torch.testing.assert_close(gradients(mean, logits), gradients(expected.sum() / 6, logits))


@stand_in_only
def test_class_weights_of_the_focal_loss_are_refused():
    with pytest.raises(NotImplementedError, match='sigmoid_focal_loss with class weights'):
        sigmoid_focal_loss(random(2, 3), torch.tensor([0, 1]), 2.0, 0.25, torch.ones(3), 'none')


@stand_in_only
def test_deformable_attention_has_the_gradients_of_the_pure_torch_version():
    shapes = torch.tensor([[4, 5], [2, 3]])
    value = random(2, 26, 2, 4, seed=0).requires_grad_()
    locations = random(2, 7, 2, 2, 3, 2, seed=1).sigmoid().requires_grad_()
    weights = random(2, 7, 2, 2, 3, seed=2).softmax(-1).requires_grad_()

    starts = torch.tensor([0, 20])
    output = MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)
    expected = multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
    inputs = value, locations, weights
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(gradients(output, inputs), gradients(expected, inputs))


@stand_in_only
def test_an_op_that_is_not_supplied_names_itself_and_what_to_install():
    ext = importlib.import_module('mmcv._ext')
    with pytest.raises(
        NotImplementedError, match=r'carafe_forward.*install the full mmcv'
    ) as error:
        ext.carafe_forward(torch.zeros(1), group_size=1)
    assert '\n' not in str(error.value)


@stand_in_only
def test_the_stand_in_invents_no_dunder_attributes():
    ext = importlib.import_module('mmcv._ext')
    for name in ('__wrapped__', '__path__', '__all__'):
        with pytest.raises(AttributeError, match=name):
            getattr(ext, name)


def test_applying_the_shims_again_adds_no_second_finder():
    before = list(sys.meta_path)
    compat.apply()
    assert sys.meta_path == before


def test_a_compiled_module_is_preferred_to_the_stand_in(tmp_path):
    package = tmp_path / 'mmcv'  # an mmcv elsewhere on the path, complete with its own _ext
    package.mkdir()
    for entry in Path(mmcv.__file__).parent.iterdir():
        if not entry.name.startswith('_ext'):
            (package / entry.name).symlink_to(entry)
    (package / '_ext.py').write_text(
        'def __getattr__(name):\n'
        '    if name.startswith("__"):\n'
        '        raise AttributeError(name)\n'
        '    return len\n'
    )
    paths = [str(tmp_path), str(Path(nst_det.__file__).parents[1])]
    run = subprocess.run(
        [sys.executable, '-c', 'import nst_det, mmcv._ext; print(mmcv._ext.__file__)'],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == str(package / '_ext.py'), run.stderr


BACKBONE = dict(type='ResNet', depth=18, base_channels=8, norm_cfg=dict(type='BN'))
PREPROCESSOR = dict(type='DetDataPreprocessor', pad_size_divisor=32)


def reppoints():
    return dict(
        type='RepPointsDetector',
        data_preprocessor=PREPROCESSOR,
        backbone=BACKBONE,
        neck=dict(
            type='FPN',
            in_channels=[8, 16, 32, 64],
            out_channels=16,
            start_level=1,
            add_extra_convs='on_input',
            num_outs=5,
        ),
        bbox_head=dict(
            type='RepPointsHead',
            num_classes=3,
            in_channels=16,
            feat_channels=16,
            point_feat_channels=16,
            stacked_convs=1,
        ),
        train_cfg=dict(
            init=dict(
                assigner=dict(type='PointAssigner', scale=4, pos_num=1),
                allowed_border=-1,
                pos_weight=-1,
                debug=False,
            ),
            refine=dict(
                assigner=dict(
                    type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0
                ),
                allowed_border=-1,
                pos_weight=-1,
                debug=False,
            ),
        ),
        test_cfg=dict(
            nms_pre=100, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10
        ),
    )


def deformable_detr():
    layer = dict(
        self_attn_cfg=dict(embed_dims=16, num_heads=2, num_levels=2, batch_first=True),
        ffn_cfg=dict(embed_dims=16, feedforward_channels=32),
    )
    decoder_layer = dict(
        self_attn_cfg=dict(embed_dims=16, num_heads=2, batch_first=True),
        cross_attn_cfg=layer['self_attn_cfg'],
        ffn_cfg=layer['ffn_cfg'],
    )
    return dict(
        type='DeformableDETR',
        num_queries=10,
        num_feature_levels=2,
        data_preprocessor=PREPROCESSOR,
        backbone={**BACKBONE, 'out_indices': (2, 3)},
        neck=dict(
            type='ChannelMapper',
            in_channels=[32, 64],
            kernel_size=1,
            out_channels=16,
            norm_cfg=dict(type='GN', num_groups=4),
            num_outs=2,
        ),
        encoder=dict(num_layers=1, layer_cfg=layer),
        decoder=dict(
            num_layers=1, return_intermediate=True, layer_cfg=decoder_layer, post_norm_cfg=None
        ),
        positional_encoding=dict(num_feats=8, normalize=True, offset=-0.5),
        bbox_head=dict(
            type='DeformableDETRHead',
            num_classes=3,
            embed_dims=16,
            loss_cls=dict(type='FocalLoss', use_sigmoid=True),
        ),
        train_cfg=dict(
            assigner=dict(
                type='HungarianAssigner',
                match_costs=[dict(type='FocalLossCost'), dict(type='IoUCost')],
            )
        ),
        test_cfg=dict(max_per_img=10),
    )


@pytest.mark.parametrize('config', [reppoints, deformable_detr])
def test_a_detector_on_the_stand_in_trains_and_predicts(config):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(ConfigDict(config()))
        detector.init_weights()  # a part of Deformable DETR is whatever memory held until then
    images = demo_mm_inputs(2, [[3, 64, 64], [3, 64, 48]], num_classes=3)

    batch = detector.data_preprocessor(images, training=True)
    loss, _ = detector.parse_losses(detector(**batch, mode='loss'))
    loss.backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name

    detector.eval()
    with torch.no_grad():
        predictions = detector(**detector.data_preprocessor(images, training=False), mode='predict')
    assert [len(sample.pred_instances) for sample in predictions] == [10, 10]
