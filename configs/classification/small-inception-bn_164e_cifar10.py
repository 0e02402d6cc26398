# The student of the paper's table of CIFAR-10, without a teacher.
_base_ = [
    '../_base_/models/small-inception-bn_cifar10.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/default_runtime_classification.py',
    '../_base_/schedules/schedule_164e_cifar.py',
]

default_hooks = dict(checkpoint=dict(interval=4, max_keep_ckpts=1))
