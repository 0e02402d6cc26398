"""The speed-ups, the precision and the cache of a teacher, and what its outputs keep."""

import pytest
import torch
from mmdet.structures import DetDataSample
from torch import nn

from nst_det.errors import UserError
from nst_det.models.distillers.taps.tap import Tap
from nst_det.models.distillers.teacher.options import check_teacher
from nst_det.models.distillers.teacher.teacher import Teacher

CONFIG = dict(
    type='RetinaNet',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[0.0] * 3, std=[1.0] * 3),
    backbone=dict(type='ResNet', depth=18, base_channels=8, frozen_stages=-1),
    neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, start_level=1, num_outs=3),
    bbox_head=dict(
        type='RetinaSepBNHead',
        num_classes=3,
        num_ins=3,
        in_channels=16,
        feat_channels=16,
        stacked_convs=1,
        norm_cfg=dict(type='BN'),
        anchor_generator=dict(
            type='AnchorGenerator', ratios=[1.0], scales=[4], strides=[8, 16, 32]
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
    ),
    test_cfg=dict(nms_pre=20, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5)),
)
PLAIN = dict(fuse=False, channels_last=False)
NECK = ['neck[1]']


def make(seed=0, **options) -> Teacher:
    torch.manual_seed(seed)
    teacher = Teacher(CONFIG, 'random', **options)
    for module in teacher.detector.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after a training
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return teacher


def images(count=2, seed=0):
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def teach(teacher, inputs, layers=NECK, with_logits=False, **metainfo):
    info = dict(dict(img_shape=(64, 64)), **metainfo)
    samples = [DetDataSample(metainfo=info) for _ in inputs]
    taps = [Tap(layer) for layer in layers]
    return teacher(inputs, samples, teacher.detector.data_preprocessor, taps, with_logits)


def feature_maps(*args, **options):
    return list(teach(*args, **options).feature_maps.values())


def runs_of(teacher):
    """A list to which every run of a module without children adds its name."""
    ran = []
    for name, module in teacher.detector.named_modules():
        if not list(module.children()):
            module.register_forward_pre_hook(lambda m, args, name=name: ran.append(name))
    return ran


@pytest.mark.parametrize(
    'layer',
    [
        'neck[1]',
        'backbone.layer2.0.conv1',
        'backbone.layer2.0.downsample.1',
        'input:backbone.layer2.0.bn1',
        'input:bbox_head[1]',
        'backbone.layer2',
        'bbox_head.cls_convs.0.0.conv@1',
    ],
)
def test_speedups_keep_the_feature_map_to_float32_rounding(layer):
    plain, fast = make(**PLAIN), make()
    for seed in range(2):  # another batch than the one on which the speed-ups were checked
        want, got = (feature_maps(one, images(seed=seed), [layer])[0] for one in (plain, fast))
        assert (got - want).norm() < 1e-5 * want.norm()
        assert got.is_contiguous()
    assert len(fast.speedups) == 2 and not plain.speedups


def test_speedups_keep_the_logits_to_float32_rounding():
    want, got = (
        torch.cat([one.flatten() for one in teach(t, images(), [], True).compute_logits()])
        for t in (make(**PLAIN), make())
    )
    assert (got - want).norm() < 1e-5 * want.norm()


def test_speedups_are_undone_for_a_layer_that_is_tapped_later():
    layer = ['backbone.layer2.0.conv1']
    late, plain = make(channels_last=False), make(**PLAIN)
    feature_maps(late, images())
    torch.testing.assert_close(
        feature_maps(late, images(), layer), feature_maps(plain, images(), layer)
    )


@pytest.mark.parametrize(
    ('layer', 'last'),
    [('backbone.layer2', 'backbone.layer2.1.relu'), ('neck[0]', 'neck.fpn_convs.2.conv')],
)
def test_the_teacher_stops_after_the_last_tap(layer, last):
    teacher = make()
    feature_maps(teacher, images(), [layer])
    ran = runs_of(teacher)
    feature_maps(teacher, images(), [layer])
    assert ran[-1] == last


@pytest.mark.parametrize('precision', ['bfloat16', 'float16'])
def test_half_precision_gives_nearly_the_same_feature_maps_in_float32(precision):
    (want,), (got,) = (
        feature_maps(make(**PLAIN), images()),
        feature_maps(make(precision=precision), images()),
    )
    assert got.dtype == torch.float32
    assert 1e-5 < (got - want).norm() / want.norm() < 0.05


def test_a_float32_teacher_computes_in_float32_under_autocast():
    want = feature_maps(make(), images())
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(feature_maps(make(precision='float32'), images())[0], want[0])
        assert feature_maps(make(), images())[0].dtype == torch.bfloat16


# The cache.


@pytest.fixture
def cached(tmp_path):
    return lambda **options: make(cache=tmp_path / 'cache', **options)


def test_the_cache_gives_known_images_bit_for_bit_without_a_run(cached):
    teacher = cached()
    teacher_output = teach(teacher, images(4))
    assert teacher_output.cached_share == 0
    for again in (teacher, cached()):
        ran = runs_of(again)
        second = teach(again, images(4))
        assert second.cached_share == 1
        assert set(ran) <= {'data_preprocessor'}  # called once to measure its colours
        for one, other in zip(teacher_output.feature_maps.values(), second.feature_maps.values()):
            assert torch.equal(one, other)


def test_the_cache_gives_the_same_logits_bit_for_bit(cached):
    teacher = cached()
    outputs = [teach(one, images(), with_logits=True) for one in (teacher, teacher, cached())]
    assert [teacher_output.cached_share for teacher_output in outputs] == [0, 1, 1]
    first, *others = [torch.cat([s.flatten() for s in one.compute_logits()]) for one in outputs]
    assert all(torch.equal(first, other) for other in others)


def test_the_cache_changes_no_feature_map(cached):
    assert torch.equal(feature_maps(cached(), images())[0], feature_maps(make(), images())[0])


def test_the_cache_finds_an_image_in_another_batch(cached):
    teacher = cached()
    (first,) = feature_maps(teacher, images(4))
    teacher_output = teach(teacher, torch.cat([images(1, seed=9), images(4)[[2]]]))
    assert teacher_output.cached_share == 0.5
    assert torch.equal(next(iter(teacher_output.feature_maps.values()))[1], first[2])


@pytest.mark.parametrize(
    ('options', 'inputs', 'requested'),
    [
        (dict(seed=1), images(), {}),
        (dict(fuse=False), images(), {}),
        (dict(precision='bfloat16'), images(), {}),
        ({}, images() + 1e-6, {}),
        ({}, images().flip(3), {}),
        ({}, nn.functional.pad(images(), (0, 32)), dict(img_shape=(64, 96))),
        ({}, images(), dict(layers=['neck[0]'])),
        ({}, images(), dict(layers=['neck[1]', 'neck[0]'])),
        ({}, images(), dict(with_logits=True)),
        ({}, images(), dict(scale_factor=(2.0, 2.0))),
    ],
)
def test_the_cache_misses_if_anything_changes(cached, options, inputs, requested):
    teach(cached(), images())
    assert teach(cached(), images()).cached_share == 1
    assert teach(cached(**options), inputs, **requested).cached_share == 0


def test_the_cache_finds_an_image_whatever_the_batch_pads_it_to(cached):
    (first,) = feature_maps(cached(), images())
    output = teach(cached(), nn.functional.pad(images(), (0, 32, 0, 64)))
    assert output.cached_share == 1
    assert output.batch_input_shape == (64, 64)
    assert torch.equal(next(iter(output.feature_maps.values())), first)


SIZES = [(64, 96), (33, 56), (64, 96)]


def of_several_sizes(teacher):
    """A batch of images of several sizes, padded with zeros, and the images without padding."""
    singles = [images(1, seed=i)[0].repeat(1, 1, 2)[:, :h, :w] for i, (h, w) in enumerate(SIZES)]
    batch = torch.zeros(len(SIZES), 3, 64, 96)
    for target, image in zip(batch, singles):
        target[:, : image.shape[1], : image.shape[2]] = image
    return batch, singles


def samples_of(sizes):
    return [DetDataSample(metainfo=dict(img_shape=size)) for size in sizes]


@pytest.mark.parametrize('layer', ['backbone.layer2', 'neck[1]'])
def test_with_a_cache_the_teacher_sees_each_image_as_in_a_batch_of_its_own(cached, layer):
    batch, singles = of_several_sizes(make())
    plain, taps = make(), [Tap(layer)]
    for teacher in (cached(), cached()):  # the second one reads
        preprocessor = teacher.detector.data_preprocessor
        output = teacher(batch, samples_of(SIZES), preprocessor, taps)
        (found,) = output.feature_maps.values()
        assert output.batch_input_shape == (64, 96)
        for row, image, size in zip(found, singles, SIZES):
            alone = plain(image[None], samples_of([size]), plain.detector.data_preprocessor, taps)
            (expected,) = next(iter(alone.feature_maps.values()))
            height, width = expected.shape[1:]
            torch.testing.assert_close(row[:, :height, :width], expected, rtol=1e-4, atol=1e-4)
            assert not row[:, height:].any() and not row[:, :, width:].any()


def test_the_padding_changes_a_feature_map_near_the_border_alone(cached):
    outputs = []
    for teacher in (make(), cached()):
        batch, _ = of_several_sizes(teacher)
        taps = [Tap('backbone.layer1')]
        output = teacher(batch, samples_of(SIZES), teacher.detector.data_preprocessor, taps)
        outputs += output.feature_maps.values()
    with_padding, alone = (output[1] for output in outputs)  # of the image of 33 × 56 pixels
    far, near = (slice(None), slice(2), slice(8)), (slice(None), slice(9), slice(14))
    torch.testing.assert_close(with_padding[far], alone[far], rtol=1e-4, atol=1e-4)
    assert (with_padding[near] - alone[near]).abs().max() > 0.01
    torch.testing.assert_close(outputs[0][0], outputs[1][0], rtol=1e-4, atol=1e-4)  # no padding


@pytest.mark.parametrize(('precision', 'error'), [('bfloat16', 2**-8), ('float16', 2**-11)])
def test_the_cache_stores_rounded_feature_maps_on_request(cached, precision, error):
    (exact,) = feature_maps(make(), images())
    outputs = [teach(cached(cache_precision=precision), images()) for _ in range(2)]
    assert [output.cached_share for output in outputs] == [0, 1]
    computed, read = (next(iter(output.feature_maps.values())) for output in outputs)
    assert computed.dtype == torch.float32 and torch.equal(computed, read)
    assert 0 < ((read - exact).abs() / exact.abs().clamp(min=1e-4)).max() <= error


def test_the_hash_of_a_picture_stands_for_its_pixels_only_if_they_follow_from_it(cached):
    known = dict(picture_hash='a')
    teach(cached(), images(1), **known)
    assert teach(cached(), images(1, seed=1), **known).cached_share == 1
    assert teach(cached(), images(1), picture_hash='b').cached_share == 0
    teacher = cached()
    teacher.detector.data_preprocessor.batch_augments = [nn.Identity()]
    assert teach(teacher, images(1, seed=1), **known).cached_share == 0


def test_the_cache_misses_for_other_weights_of_the_same_config(cached, tmp_path):
    teach(cached(), images())
    weights = make().detector.state_dict()
    weights['neck.fpn_convs.0.conv.bias'][3] += 1
    torch.save(weights, tmp_path / 'other.pth')
    other = Teacher(CONFIG, str(tmp_path / 'other.pth'), cache=tmp_path / 'cache')
    assert teach(other, images()).cached_share == 0


@pytest.mark.parametrize(
    ('changed', 'option'),
    [
        (dict(fuse=1), 'teacher.fuse'),
        (dict(channels_last='yes'), 'teacher.channels_last'),
        (dict(precision='bf16'), 'teacher.precision'),
        (dict(cache=5), 'teacher.cache'),
        (dict(cache=''), 'teacher.cache'),
        (dict(cache_precision='int8'), 'teacher.cache_precision'),
        (dict(cache_gib=0), 'teacher.cache_gib'),
        (dict(cache_gib=float('nan')), 'teacher.cache_gib'),
        (dict(cach='a'), 'teacher.cach'),
    ],
)
def test_a_wrong_option_of_the_teacher_is_named_in_the_error(changed, option):
    with pytest.raises(UserError) as caught:
        check_teacher(dict(config=CONFIG, checkpoint='random', **changed))
    assert caught.value.option == option
    assert str(caught.value).count('\n') == 0
