# The teacher of the paper's table of CIFAR-10: a pre-activation ResNet of 1001 layers.
_base_ = './small-inception-bn_164e_cifar10.py'

model = dict(
    # with_cp: the units keep only their inputs, so that a batch fits into the memory of a GPU.
    backbone=dict(_delete_=True, type='PreActivationResNet', depth=1001, with_cp=True),
    head=dict(in_channels=256),
)
