"""What Inception-BN's convolutions are called: here, in ``bninception`` files and in MXNet's."""

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
