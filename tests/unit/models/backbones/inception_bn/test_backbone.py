"""The backbone against a plain formulation of the two published networks, and its contract."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from locations import FIXTURES
from mmdet.registry import MODELS
from mmengine.logging import MMLogger
from torch import nn

from nst_det.errors import UserError
from nst_det.models.backbones import InceptionBN
from nst_det.models.backbones.inception_bn.blocks import MaxPool

GOLDEN = FIXTURES / 'inception_bn_golden.npz'
TAPS = ('conv1', 'conv2', '3a', '3b', '3c', '4a', '4b', '4c', '4d', '4e', '5a', '5b')

# The blocks as the published layer definitions list them: name, pool, then the convolutions.
PLAIN_BLOCKS = """
3a avg 1x1=64  3x3_reduce=64  3x3=64  double_3x3_reduce=64  double_3x3=96  pool_proj=32
3b avg 1x1=64  3x3_reduce=64  3x3=96  double_3x3_reduce=64  double_3x3=96  pool_proj=64
3c max         3x3_reduce=128 3x3=160 double_3x3_reduce=64  double_3x3=96
4a avg 1x1=224 3x3_reduce=64  3x3=96  double_3x3_reduce=96  double_3x3=128 pool_proj=128
4b avg 1x1=192 3x3_reduce=96  3x3=128 double_3x3_reduce=96  double_3x3=128 pool_proj=128
4c avg 1x1=160 3x3_reduce=128 3x3=160 double_3x3_reduce=128 double_3x3=160 pool_proj=128
4d avg 1x1=96  3x3_reduce=128 3x3=192 double_3x3_reduce=160 double_3x3=192 pool_proj=128
4e max         3x3_reduce=128 3x3=192 double_3x3_reduce=192 double_3x3=256
5a avg 1x1=352 3x3_reduce=192 3x3=320 double_3x3_reduce=160 double_3x3=224 pool_proj=128
5b max 1x1=352 3x3_reduce=192 3x3=320 double_3x3_reduce=192 double_3x3=224 pool_proj=128
"""


class PlainInceptionBN:
    """The published network, layer by layer, under the keys of the caffe family's files.

    Weights are drawn from numpy's frozen generator when a layer first runs.
    """

    def __init__(self, variant, width=1.0, seed=0):
        self.caffe = variant == 'caffe'
        self.eps = 1e-5 if self.caffe else 2e-5
        self.width = width
        self.random = np.random.RandomState(seed)
        self.weights = {}

    def draw(self, key, shape, mean, deviation, lowest=-np.inf):
        if key not in self.weights:
            values = np.maximum(mean + deviation * self.random.randn(*shape), lowest)
            self.weights[key] = torch.from_numpy(values.astype(np.float32))
        return self.weights[key]

    def norm(self, x, name):
        shape = (x.shape[1],)
        mean = self.draw(f'{name}.running_mean', shape, 0.0, 0.1)
        variance = self.draw(f'{name}.running_var', shape, 1.0, 0.2, lowest=0.3)
        fixed_gamma = name == 'bn_data'
        weight = self.draw(f'{name}.weight', shape, 1.0, 0.0 if fixed_gamma else 0.2)
        bias = self.draw(f'{name}.bias', shape, 0.0, 0.1)
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=self.eps)

    def conv(self, x, name, out, kernel, stride=1):
        fan_in = x.shape[1] * kernel * kernel
        out = max(8, 8 * round(out * self.width / 8 + 1e-9))
        shape = (out, x.shape[1], kernel, kernel)
        weight = self.draw(f'{name}.weight', shape, 0.0, (2 / fan_in) ** 0.5)
        bias = self.draw(f'{name}.bias', (out,), 0.0, 0.1)
        return F.relu(self.norm(F.conv2d(x, weight, bias, stride, kernel // 2), f'{name}_bn'))

    def stem_pool(self, x):
        return F.max_pool2d(x, 3, 2, ceil_mode=self.caffe)

    def block(self, x, name, pool, widths):
        name = f'inception_{name}'
        stride = 1 if 'pool_proj' in widths else 2
        branches = []
        if '1x1' in widths:
            branches.append(self.conv(x, f'{name}_1x1', widths['1x1'], 1))
        y = self.conv(x, f'{name}_3x3_reduce', widths['3x3_reduce'], 1)
        branches.append(self.conv(y, f'{name}_3x3', widths['3x3'], 3, stride))
        y = self.conv(x, f'{name}_double_3x3_reduce', widths['double_3x3_reduce'], 1)
        y = self.conv(y, f'{name}_double_3x3_1', widths['double_3x3'], 3)
        branches.append(self.conv(y, f'{name}_double_3x3_2', widths['double_3x3'], 3, stride))
        if stride == 2 and self.caffe:
            branches.append(F.max_pool2d(x, 3, 2, ceil_mode=True))
        elif stride == 2:
            branches.append(F.max_pool2d(x, 3, 2, padding=1))
        else:
            y = F.max_pool2d(x, 3, 1, 1) if pool == 'max' else F.avg_pool2d(x, 3, 1, 1)
            branches.append(self.conv(y, f'{name}_pool_proj', widths['pool_proj'], 1))
        return torch.cat(branches, dim=1)

    @torch.no_grad()
    def __call__(self, x):
        maps = {}
        if not self.caffe:
            x = self.norm(x, 'bn_data')
        x = maps['conv1'] = self.stem_pool(self.conv(x, 'conv1_7x7_s2', 64, 7, 2))
        x = self.conv(x, 'conv2_3x3_reduce', 64, 1)
        x = maps['conv2'] = self.stem_pool(self.conv(x, 'conv2_3x3', 192, 3))
        for line in PLAIN_BLOCKS.strip().splitlines():
            name, pool, *convs = line.split()
            widths = {key: int(value) for key, value in (conv.split('=') for conv in convs)}
            x = maps[name] = self.block(x, name, pool, widths)
        return maps


def own_key(key):
    """Where the backbone keeps a weight of the plain network."""
    layer, parameter = key.rsplit('.', 1)
    if layer == 'bn_data':
        return key
    kind = 'bn' if layer.endswith('_bn') else 'conv'
    layer = layer.removesuffix('_bn')
    stem = {
        'conv1_7x7_s2': 'conv1.conv7x7',
        'conv2_3x3_reduce': 'conv2.reduce',
        'conv2_3x3': 'conv2.conv3x3',
    }
    if layer in stem:
        return f'{stem[layer]}.{kind}.{parameter}'
    block, conv = re.fullmatch(r'(inception_\d.)_(.+)', layer).groups()
    place = {
        '1x1': 'branch_1x1',
        '3x3_reduce': 'branch_3x3.reduce',
        '3x3': 'branch_3x3.conv3x3',
        'double_3x3_reduce': 'branch_d3x3.reduce',
        'double_3x3_1': 'branch_d3x3.conv3x3_1',
        'double_3x3_2': 'branch_d3x3.conv3x3_2',
        'pool_proj': 'branch_pool.proj',
    }[conv]
    return f'{block}.{place}.{kind}.{parameter}'


def random_image(height, width, seed=1):
    image = np.random.RandomState(seed).randn(1, 3, height, width)
    return torch.from_numpy(image.astype(np.float32))


def backbone_like(plain, variant, width=1.0):
    """A backbone that returns every tap, with the weights of a plain network that ran."""
    backbone = InceptionBN(variant=variant, width=width, out_layers=TAPS).eval()
    weights = {own_key(key): value for key, value in plain.weights.items()}
    assert weights.keys() == {
        key for key in backbone.state_dict() if not key.endswith('num_batches_tracked')
    }
    backbone.load_state_dict(weights)
    return backbone


@pytest.fixture(scope='module', params=['caffe', 'mxnet'])
def variant(request):
    return request.param


@pytest.mark.parametrize(
    ('variant', 'height', 'width'),
    [
        ('caffe', 224, 224),
        ('caffe', 256, 320),
        ('caffe', 225, 227),
        ('mxnet', 224, 224),
        ('mxnet', 225, 131),
        ('mxnet', 600, 75),
    ],
)
def test_every_map_is_bit_for_bit_that_of_the_plain_network(variant, height, width):
    plain = PlainInceptionBN(variant, width=0.25)
    image = random_image(height, width)
    expected = plain(image)
    with torch.no_grad():
        maps = backbone_like(plain, variant, width=0.25)(image)
    for name, feature_map in zip(TAPS, maps):
        assert torch.equal(feature_map, expected[name]), name


def test_activations_are_those_of_the_published_networks(variant):
    """The file holds what the two families' own implementations gave for these weights.

    They are the PyTorch ``bninception`` model (on 96x128) and the NST authors' symbol under MXNet
    1.9.1 (on 97x131), both at full width. By tap: the mean, the standard deviation, and 16 values
    spread evenly over the map.
    """
    image = random_image(*{'caffe': (96, 128), 'mxnet': (97, 131)}[variant])
    plain = PlainInceptionBN(variant)
    plain(image)
    with torch.no_grad():
        maps = backbone_like(plain, variant)(image)
    found = []
    for feature_map in maps:
        values = feature_map.numpy().ravel()
        spread = np.linspace(0, values.size - 1, 16).astype(int)
        found.append([values.mean(), values.std(), *values[spread]])
    np.testing.assert_allclose(found, np.load(GOLDEN)[variant], rtol=1e-4, atol=2e-4)


def test_taps_are_the_published_table():
    assert {name: (tap.channels, tap.stride) for name, tap in InceptionBN.taps().items()} == {
        'conv1': (64, 4),
        'conv2': (192, 8),
        '3a': (256, 8),
        '3b': (320, 8),
        '3c': (576, 16),
        '4a': (576, 16),
        '4b': (576, 16),
        '4c': (608, 16),
        '4d': (608, 16),
        '4e': (1056, 32),
        '5a': (1024, 32),
        '5b': (1024, 32),
    }


@pytest.mark.parametrize('width', [0.1, 0.33, 1.0, 1.5])
def test_taps_tell_module_channels_and_stride_of_the_real_maps(variant, width):
    backbone = InceptionBN(variant=variant, width=width, out_layers=TAPS).eval()
    hooked = {}
    for name, tap in InceptionBN.taps(width).items():
        module = backbone.get_submodule(tap.module)
        module.register_forward_hook(lambda module, x, out, name=name: hooked.update({name: out}))
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, 64, 128))
    for (name, tap), feature_map in zip(InceptionBN.taps(width).items(), maps):
        assert hooked[name] is feature_map
        # The stem of the mxnet variant rounds down: its maps are one cell short, no more.
        height, breadth = 64 // tap.stride, 128 // tap.stride
        assert feature_map.shape[1] == tap.channels, name
        assert feature_map.shape[2] in (height, height - 1), name
        assert feature_map.shape[3] in (breadth, breadth - 1), name


def test_channels_are_rounded_to_multiples_of_8():
    taps = InceptionBN.taps(width=0.3)  # 64 -> 19.2, 96 -> 28.8, 32 -> 9.6
    assert taps['conv1'].channels == 16
    assert taps['3a'].channels == 16 + 16 + 32 + 8
    assert InceptionBN.taps(width=1e-6)['3a'].channels == 4 * 8


def test_complete_network_has_as_many_parameters_as_the_published_one():
    backbone = InceptionBN(out_layers=('5b',))
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 10_270_240


@pytest.mark.parametrize('padding', [0, 1])
@pytest.mark.parametrize('ceil_mode', [False, True])
@pytest.mark.parametrize('size', range(3, 12))
def test_max_pool_is_the_plain_one_wherever_that_runs(size, ceil_mode, padding):
    x = torch.randn(2, 3, size, size + 1)
    pooled = MaxPool(padding=padding, ceil_mode=ceil_mode)(x)
    assert torch.equal(pooled, F.max_pool2d(x, 3, 2, padding, ceil_mode=ceil_mode))


@pytest.mark.parametrize('size', range(1, 12))
def test_max_pool_covers_odd_maps_on_the_same_grid(size):
    x = torch.randn(1, 1, size, size)
    out = (size + 1) // 2  # as the 3x3 convolution beside it
    expected = torch.tensor(
        [
            [x[0, 0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max() for j in range(out)]
            for i in range(out)
        ]
    )
    assert torch.equal(MaxPool(ceil_mode=True, pad_odd=True)(x)[0, 0], expected)


def stem_size(size, variant):
    """Rows behind conv1 and conv2."""
    size = (size + 1) // 2
    for _ in range(2):
        size = size // 2 if variant == 'caffe' else (size - 1) // 2
        size = max(size, 1)
    return size


slim = {
    variant: InceptionBN(variant=variant, width=0.01, out_layers=TAPS).eval()
    for variant in ('caffe', 'mxnet')
}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(['caffe', 'mxnet']), st.integers(1, 90), st.integers(1, 90))
def test_any_image_size_works_and_nothing_of_the_padding_is_seen(variant, height, width):
    with torch.no_grad():
        maps = dict(zip(TAPS, slim[variant](random_image(height, width))))
    rows, columns = stem_size(height, variant), stem_size(width, variant)
    for block in ('conv2', '3b', '3c', '4b', '4e', '5b'):
        if block in ('3c', '4e'):
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
        assert maps[block].shape[2:] == (rows, columns)
    assert all(feature_map.isfinite().all() for feature_map in maps.values())


def test_maps_come_in_the_order_asked_for():
    backbone = InceptionBN(width=0.25, out_layers=('4b', '3a')).eval()
    maps = backbone(torch.zeros(1, 3, 64, 64))
    taps = InceptionBN.taps(width=0.25)
    assert [m.shape[1] for m in maps] == [taps['4b'].channels, taps['3a'].channels]


def test_nothing_deeper_than_the_deepest_map_is_built():
    backbone = InceptionBN(width=0.25, out_layers=('3b', '4a'))
    assert [name for name, _ in backbone.named_children()] == [
        'conv1',
        'conv2',
        'inception_3a',
        'inception_3b',
        'inception_3c',
        'inception_4a',
    ]


def norms(module):
    return [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize(
    ('stages', 'first_free'),
    [(-1, 'conv1'), (0, 'conv1'), (1, 'conv2'), (2, 'inception_3a'), (3, 'inception_4a'), (4, '')],
)
def test_frozen_stages_stay_in_eval_mode_and_get_no_gradient(variant, stages, first_free):
    backbone = InceptionBN(variant=variant, width=0.1, frozen_stages=stages).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    out = backbone(torch.rand(2, 3, 64, 64))[0].sum()
    if stages < 4:
        out.backward()
    names = [name for name, _ in backbone.named_children() if name != 'bn_data']
    free = names[names.index(first_free) :] if first_free else []
    for name, child in backbone.named_children():
        if name == 'bn_data':
            name = 'conv1'
        assert all(norm.training == (name in free) for norm in norms(child)), name
        for key, parameter in child.named_parameters():
            if (name, key) != ('conv1', 'weight'):  # the fixed gamma of bn_data
                assert (parameter.grad is not None) == (name in free), f'{name}.{key}'
    for key, value in backbone.state_dict().items():
        name = key.split('.')[0].replace('bn_data', 'conv1')
        if 'running_mean' in key:
            assert torch.equal(value, before[key]) == (name not in free), key


def test_norm_eval_keeps_the_running_statistics_but_trains_the_weights():
    backbone = InceptionBN(width=0.1, norm_eval=True).train()
    assert backbone.training and not any(norm.training for norm in norms(backbone))
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_eval_and_train_return_the_module():
    backbone = InceptionBN(width=0.1)
    assert backbone.train() is backbone and backbone.eval() is backbone


def test_gamma_of_the_input_norm_is_1_and_is_not_trained():
    backbone = InceptionBN(variant='mxnet', width=0.1).train()
    backbone.init_weights()
    norm = backbone.bn_data
    assert torch.equal(norm.weight, torch.ones(3)) and not norm.weight.requires_grad
    assert norm.bias.requires_grad and norm.eps == 2e-5
    assert not hasattr(InceptionBN(variant='caffe', width=0.1), 'bn_data')


def test_eps_is_the_variants_unless_given(variant):
    own = {'caffe': 1e-5, 'mxnet': 2e-5}[variant]
    assert {norm.eps for norm in norms(InceptionBN(variant, width=0.1))} == {own}
    given_eps = InceptionBN(variant, width=0.1, norm_cfg=dict(type='BN', eps=1e-3))
    assert {norm.eps for norm in norms(given_eps.conv1)} == {1e-3}


def test_other_norms_can_take_the_place_of_batch_norm():
    backbone = InceptionBN(width=0.1, norm_cfg=dict(type='GN', num_groups=8)).train()
    assert not norms(backbone)
    assert backbone(torch.rand(1, 3, 40, 40))[0].isfinite().all()
    synced = InceptionBN(width=0.1, norm_cfg=dict(type='SyncBN'))
    assert synced.state_dict().keys() == InceptionBN(width=0.1).state_dict().keys()


def test_norm_output_can_be_tapped_before_relu():
    backbone = InceptionBN(width=0.1).eval()
    tapped = []
    norm = backbone.inception_4b.branch_3x3.conv3x3.bn
    norm.register_forward_hook(lambda module, x, out: tapped.append(out))
    with torch.no_grad():
        backbone(torch.randn(1, 3, 64, 64))
    assert (tapped[0] < 0).any()


def test_default_initialization_is_kaiming_with_unit_norms():
    backbone = InceptionBN(width=0.5)
    for parameter in backbone.parameters():
        nn.init.constant_(parameter, 5.0)
    backbone.init_weights()
    conv, norm = backbone.conv2.conv3x3.conv, backbone.conv2.conv3x3.bn
    assert conv.weight.std().item() == pytest.approx((2 / (9 * conv.out_channels)) ** 0.5, rel=0.05)
    assert not conv.bias.any() and not norm.bias.any() and (norm.weight == 1).all()


def test_it_is_built_from_a_config():
    backbone = MODELS.build(dict(type='InceptionBN', width=0.1, out_layers=['3c', '4b']))
    assert len(backbone(torch.rand(2, 3, 32, 32))) == 2


@pytest.mark.parametrize(
    'arguments',
    [
        dict(variant='cafe'),
        dict(variant=None),
        dict(width=0),
        dict(width=-0.5),
        dict(width=float('nan')),
        dict(width='1'),
        dict(out_layers=()),
        dict(out_layers='4b'),
        dict(out_layers=('4b', '4f')),
        dict(out_layers=(4,)),
        dict(frozen_stages=6),
        dict(frozen_stages=-2),
        dict(frozen_stages=True),
        dict(norm_cfg=None),
    ],
    ids=str,
)
def test_a_wrong_argument_is_one_clear_line_that_names_it(arguments):
    ((name, _),) = arguments.items()
    with pytest.raises(UserError, match='^[^\n]*, expected [^\n]*$') as caught:
        InceptionBN(**arguments)
    assert caught.value.option == f'InceptionBN.{name}'


@pytest.mark.parametrize(
    ('norm_cfg', 'message'),
    [
        (dict(type='BatchNrm'), 'BatchNrm'),
        (dict(type='GN'), 'num_groups'),
        (dict(type='GN', num_groups=7), 'num_groups'),
        (dict(type='BN', epsilon=1), 'epsilon'),
    ],
)
def test_a_norm_that_cannot_be_built_is_one_clear_line(norm_cfg, message):
    with pytest.raises(UserError, match=f'^[^\n]*{message}[^\n]*$'):
        InceptionBN(norm_cfg=norm_cfg)


@pytest.fixture(scope='module')
def complete_network(tmp_path_factory):
    """A checkpoint of the complete network, and its weights."""
    weights = InceptionBN(width=0.1, out_layers=('5b',)).state_dict()
    path = tmp_path_factory.mktemp('weights') / 'inception_bn.pth'
    torch.save(weights, path)
    return path, weights


def pretrained(path, **options):
    return dict(type='Pretrained', checkpoint=str(path), **options)


def test_backbone_takes_its_half_of_a_complete_network(complete_network):
    path, weights = complete_network
    backbone = InceptionBN(width=0.1, init_cfg=pretrained(path))
    backbone.init_weights()
    assert all(torch.equal(value, weights[key]) for key, value in backbone.state_dict().items())


def test_pretrained_weights_win_wherever_they_stand_in_init_cfg(complete_network):
    path, weights = complete_network
    constant = dict(type='Constant', layer='Conv2d', val=3)
    backbone = InceptionBN(width=0.1, init_cfg=[pretrained(path), constant])
    backbone.init_weights()
    assert torch.equal(backbone.conv1.conv7x7.conv.weight, weights['conv1.conv7x7.conv.weight'])


def test_backbone_loads_out_of_a_detectors_checkpoint_by_prefix(complete_network, tmp_path):
    _, weights = complete_network
    detector = {f'backbone.{key}': value for key, value in weights.items()}
    torch.save(dict(state_dict={**detector, 'rpn_head.bias': torch.zeros(1)}), tmp_path / 'd.pth')
    backbone = InceptionBN(width=0.1, init_cfg=pretrained(tmp_path / 'd.pth', prefix='backbone.'))
    backbone.init_weights()
    assert torch.equal(backbone.conv1.conv7x7.conv.weight, weights['conv1.conv7x7.conv.weight'])
    without = InceptionBN(width=0.1, init_cfg=pretrained(tmp_path / 'd.pth'))
    with pytest.raises(UserError, match=r'fits 0 of the \d+ weights of InceptionBN'):
        without.init_weights()


def without_key(weights, part):
    return {key: value for key, value in weights.items() if part not in key}


@pytest.mark.parametrize(
    ('spoil', 'arguments', 'message'),
    [
        (
            lambda weights: without_key(weights, 'inception_3a.branch_1x1.conv.weight'),
            {},
            "fits 215 of the 216 .*no 'inception_3a.branch_1x1.conv.weight'",
        ),
        (
            lambda weights: weights,
            dict(width=0.5),
            r'fits \d+ of the 216 .* is \(8, 3, 7, 7\), not \(32, 3, 7, 7\)',
        ),
        (lambda weights: {'fc.weight': torch.zeros(2, 2)}, {}, 'fits 0 of the 216'),
        (lambda weights: weights, dict(variant='mxnet'), "set variant='caffe'"),
        (
            lambda weights: {'bn_data.weight': torch.ones(3), **weights},
            {},
            "set variant='mxnet'",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_clear_line(
    spoil, arguments, message, complete_network, tmp_path
):
    torch.save(spoil(dict(complete_network[1])), tmp_path / 'spoilt.pth')
    init_cfg = pretrained(tmp_path / 'spoilt.pth')
    backbone = InceptionBN(**{'width': 0.1, **arguments}, init_cfg=init_cfg)
    with pytest.raises(UserError, match=message) as caught:
        backbone.init_weights()
    assert '\n' not in str(caught.value)


def test_weights_of_no_layer_are_named_in_a_warning(complete_network, tmp_path, caplog):
    torch.save({**complete_network[1], 'fc.weight': torch.zeros(2, 2)}, tmp_path / 'with_fc.pth')
    backbone = InceptionBN(width=0.1, init_cfg=pretrained(tmp_path / 'with_fc.pth'))
    logger = MMLogger.get_current_instance()  # does not propagate to what caplog listens to
    logger.addHandler(caplog.handler)
    try:
        backbone.init_weights()
    finally:
        logger.removeHandler(caplog.handler)
    warned = [record.getMessage() for record in caplog.records if record.levelname == 'WARNING']
    assert len(warned) == 1 and warned[0].endswith('stay unused: fc.weight')
