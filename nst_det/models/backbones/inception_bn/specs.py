"""Inception-BN as tables: its layers, its blocks, and the differences of its variants."""

from typing import NamedTuple


class Variant(NamedTuple):
    """The differences between the families of published weights.

    Args:
        eps (float): ε of the batch norms, unless ``norm_cfg`` has another.
        input_norm (bool): Whether a batch norm, ``bn_data``, normalises the image.
        stem_pool (dict): Arguments of the `MaxPool` after conv1 and conv2.
        block_pool (dict): Arguments of the `MaxPool` in the blocks of stride 2.
    """

    eps: float
    input_norm: bool
    stem_pool: dict
    block_pool: dict


VARIANTS = {
    'caffe': Variant(
        eps=1e-5,
        input_norm=False,
        stem_pool=dict(ceil_mode=True),
        block_pool=dict(ceil_mode=True, pad_odd=True),
    ),
    'mxnet': Variant(eps=2e-5, input_norm=True, stem_pool=dict(), block_pool=dict(padding=1)),
    'mxnet_zoo': Variant(eps=1e-5, input_norm=False, stem_pool=dict(), block_pool=dict(padding=1)),
}


class BlockSpec(NamedTuple):
    """The channels of one Inception block.

    Args:
        conv1x1 (int): The 1x1 branch; 0 if the block has none.
        conv3x3 (tuple[int, int]): The 3x3 branch: reduction, convolution.
        double3x3 (tuple[int, int]): The double 3x3 branch: reduction, both convolutions.
        pool (str): The kind of pool, ``'avg'`` or ``'max'``.
        proj (int): The projection after the pool; 0 if the pooled input passes through.
        stride (int): The stride of the block. Defaults to 1.
    """

    conv1x1: int
    conv3x3: tuple[int, int]
    double3x3: tuple[int, int]
    pool: str
    proj: int
    stride: int = 1


STEM_CHANNELS = {'conv1': 64, 'conv2': 192}
BLOCKS = {
    '3a': BlockSpec(64, (64, 64), (64, 96), 'avg', 32),
    '3b': BlockSpec(64, (64, 96), (64, 96), 'avg', 64),
    '3c': BlockSpec(0, (128, 160), (64, 96), 'max', 0, stride=2),
    '4a': BlockSpec(224, (64, 96), (96, 128), 'avg', 128),
    '4b': BlockSpec(192, (96, 128), (96, 128), 'avg', 128),
    '4c': BlockSpec(160, (128, 160), (128, 160), 'avg', 128),
    '4d': BlockSpec(96, (128, 192), (160, 192), 'avg', 128),
    '4e': BlockSpec(0, (128, 192), (192, 256), 'max', 0, stride=2),
    '5a': BlockSpec(352, (192, 320), (160, 224), 'avg', 128),
    '5b': BlockSpec(352, (192, 320), (192, 224), 'max', 128),
}
LAYERS = (*STEM_CHANNELS, *BLOCKS)
STAGES = {
    1: ('conv1',),
    2: ('conv2',),
    3: ('3a', '3b', '3c'),
    4: ('4a', '4b', '4c', '4d', '4e'),
    5: ('5a', '5b'),
}
INPUT_NORM = 'bn_data'

# The names of the convolutions: here, in ``bninception`` files and in MXNet's files.
STEM_UNITS = {
    'conv1.conv7x7': dict(bninception='conv1_7x7_s2', mxnet='1'),
    'conv2.reduce': dict(bninception='conv2_3x3_reduce', mxnet='2_red'),
    'conv2.conv3x3': dict(bninception='conv2_3x3', mxnet='2'),
}
BLOCK_UNITS = {
    'branch_1x1': dict(bninception='1x1', mxnet='1x1'),
    'branch_3x3.reduce': dict(bninception='3x3_reduce', mxnet='3x3_reduce'),
    'branch_3x3.conv3x3': dict(bninception='3x3', mxnet='3x3'),
    'branch_d3x3.reduce': dict(bninception='double_3x3_reduce', mxnet='double_3x3_reduce'),
    'branch_d3x3.conv3x3_1': dict(bninception='double_3x3_1', mxnet='double_3x3_0'),
    'branch_d3x3.conv3x3_2': dict(bninception='double_3x3_2', mxnet='double_3x3_1'),
    'branch_pool.proj': dict(bninception='pool_proj', mxnet='proj'),
}
