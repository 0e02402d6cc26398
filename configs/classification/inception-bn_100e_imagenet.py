# The student of the paper's table of ImageNet, without a teacher.
_base_ = [
    '../_base_/models/inception-bn_imagenet.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/default_runtime_classification.py',
    '../_base_/schedules/schedule_100e_imagenet.py',
]

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=1))
