"""A compiled pass of a teacher replaces its own pass only where it gives the same."""

import shutil

import pytest
import torch
from mmdet.structures import DetDataSample
from torch import nn

from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher import compiled_passes
from nst_det.models.distillers.teacher.compiled_passes import CompiledPasses
from nst_det.models.distillers.teacher.teacher import Teacher

needs_compiler = pytest.mark.skipif(
    shutil.which('g++') is None, reason='torch.compile needs a C++ compiler, and there is no g++'
)
PREPROCESSOR = dict(type='DetDataPreprocessor', mean=[0.0] * 3, std=[1.0] * 3)
RETINANET = dict(
    type='RetinaNet',
    data_preprocessor=PREPROCESSOR,
    backbone=dict(type='ResNet', depth=18, base_channels=8, num_stages=2, out_indices=(0, 1))
    | dict(strides=(1, 2), dilations=(1, 1), frozen_stages=-1),
    neck=dict(type='FPN', in_channels=[8, 16], out_channels=16, num_outs=2),
    bbox_head=dict(
        type='RetinaHead',
        num_classes=3,
        in_channels=16,
        feat_channels=16,
        stacked_convs=1,
        anchor_generator=dict(type='AnchorGenerator', ratios=[1.0], scales=[4], strides=[4, 8]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    ),
)
# The tapped layers of the families that the measurements are of.
FAMILIES = {
    'Inception-BN': (dict(type='InceptionBN', width=0.125), ['backbone.inception_4b']),
    'R50-FPN': (
        dict(RETINANET, backbone=dict(type='ResNet', depth=50, base_channels=8))
        | dict(neck=dict(type='FPN', in_channels=[32, 64, 128, 256], out_channels=16, num_outs=5)),
        ['neck[0]', 'neck[4]', 'backbone.layer3'],
    ),
    'EfficientNet-Lite': (
        dict(type='TIMMBackbone', model_name='tf_efficientnet_lite0', out_indices=(1, 2, 3)),
        ['backbone[1]'],
    ),
}


def make(model, **options):
    """A teacher whose batch norms have statistics as after a training."""
    torch.manual_seed(0)
    if 'bbox_head' not in model:
        model = dict(type='BareBackbone', backbone=model, data_preprocessor=PREPROCESSOR)
    teacher = Teacher(model, 'random', **options)
    for module in teacher.detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return teacher


def images(seed=0, shape=(2, 3, 64, 64)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def teach(teacher, layers, inputs, with_logits=False):
    samples = [DetDataSample(metainfo=dict(img_shape=inputs.shape[2:])) for _ in inputs]
    preprocessor = teacher.detector.data_preprocessor
    return teacher(inputs, samples, preprocessor, [Tap(layer) for layer in layers], with_logits)


def assert_equal_to_rounding(outputs, expected):
    for output, wanted in zip(outputs, expected, strict=True):
        assert (output - wanted).norm() < 1e-5 * wanted.norm()


@pytest.fixture
def logged(monkeypatch):
    """What the compiled passes log."""
    lines = []
    monkeypatch.setattr(compiled_passes, 'print_log', lambda text, *_: lines.append(text))
    return lines


def compiled_and_plain(model, layers, with_logits=False):
    """Teach a batch twice, so that the pass is compiled, then another one of the same shape."""
    compiled = make(model, compile=True)
    for _ in range(2):
        teach(compiled, layers, images(), with_logits)
    ran = []
    for module in compiled.detector.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda *_: ran.append(1))
    fast = teach(compiled, layers, images(seed=1), with_logits)
    assert not ran, 'it is not the compiled pass that ran'
    return fast, teach(make(model), layers, images(seed=1), with_logits)


@needs_compiler
def test_a_compiled_pass_gives_taps_anywhere_and_the_logits_to_float32_rounding():
    layers = ['neck[1]', 'backbone.layer1.1.conv1', 'input:backbone.layer2.0.bn1']
    fast, plain = compiled_and_plain(RETINANET, layers, with_logits=True)
    assert_equal_to_rounding(fast.feature_maps.values(), plain.feature_maps.values())
    assert_equal_to_rounding(fast.compute_logits(), plain.compute_logits())


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize('family', FAMILIES)
def test_a_compiled_pass_of_each_family_gives_the_feature_maps_to_float32_rounding(family):
    model, layers = FAMILIES[family]
    fast, plain = compiled_and_plain(model, layers)
    assert_equal_to_rounding(fast.feature_maps.values(), plain.feature_maps.values())


def double(inputs):
    return [2 * inputs]


@needs_compiler
def test_a_compiled_pass_that_gives_something_else_is_not_used(logged):
    passes = CompiledPasses(limit=4)
    for _ in range(2):
        (output,) = passes('taps', images(), lambda: [images()], double)
        assert torch.equal(output, images())
    assert not passes.passes
    assert 'runs without torch.compile: its outputs change by 1.0e+00' in logged[-1]
    assert len(logged) == 2  # it is tried once


@needs_compiler
def test_a_missing_compiler_is_one_line_in_the_log(logged, monkeypatch, tmp_path):
    from torch._inductor import config

    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path))
    monkeypatch.setattr(config.cpp, 'cxx', ('no-such-compiler',))
    passes = CompiledPasses(limit=4)
    (output,) = passes('taps', images(), lambda: [3 * images()], lambda inputs: [3 * inputs])
    assert torch.equal(output, 3 * images())
    assert 'without torch.compile: there is no C++ compiler: install g++' in logged[-1]
    assert '\n' not in logged[-1]


def test_a_layer_of_the_heads_is_not_compiled(logged):
    layers = ['bbox_head.cls_convs.0.conv@1']
    compiled, plain = make(RETINANET, compile=True), make(RETINANET)
    for _ in range(3):
        outputs = [teach(teacher, layers, images()) for teacher in (compiled, plain)]
        assert_equal_to_rounding(*(output.feature_maps.values() for output in outputs))
    assert 'only backbone and neck are compiled' in logged[-1]


def test_no_more_shapes_are_compiled_than_asked_for(logged, monkeypatch):
    # What is compiled does not matter here, and compiling takes seconds.
    monkeypatch.setattr(compiled_passes, 'compile_pass', lambda operations, images: operations)
    passes = CompiledPasses(limit=2)
    shapes = [(1, 3, 8, 8), (2, 3, 8, 8), (1, 3, 8, 16), (1, 3, 16, 8), (1, 3, 8, 8)]
    ran = []
    for shape in shapes:
        batch = images(shape=shape)
        passes('taps', batch, lambda batch=batch: ran.append(batch.shape) or double(batch), double)
    assert ran == shapes[:4]  # the last one is compiled
    assert [key[1] for key in passes.passes] == shapes[:2]
    assert sum('2 shapes are compiled, others are not' in line for line in logged) == 1


def test_a_request_a_type_and_autocast_have_a_pass_of_their_own(logged, monkeypatch):
    monkeypatch.setattr(compiled_passes, 'compile_pass', lambda operations, images: operations)
    passes = CompiledPasses(limit=9)

    def run(request='taps', dtype=torch.float32):
        batch = images().to(dtype)
        passes(request, batch, lambda: double(batch), double)

    run()
    run()
    assert len(passes.passes) == 1
    run(request='other taps')
    run(dtype=torch.float64)
    with torch.autocast('cpu', torch.bfloat16):
        run()
    assert len(passes.passes) == 4


def test_a_teacher_that_is_cast_forgets_what_was_compiled(logged, monkeypatch):
    monkeypatch.setattr(compiled_passes, 'compile_pass', lambda operations, images: operations)
    teacher = make(RETINANET, compile=True)
    for _ in range(2):
        teach(teacher, ['neck[1]'], images())
    assert len(teacher.compiled.passes) == 1
    teacher.apply(lambda tensor: tensor.double())
    assert not teacher.compiled.passes
