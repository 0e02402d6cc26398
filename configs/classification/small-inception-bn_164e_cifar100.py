# The student of the paper's table of CIFAR-100, without a teacher.
_base_ = [
    '../_base_/models/small-inception-bn_cifar10.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/default_runtime_classification.py',
    '../_base_/schedules/schedule_164e_cifar.py',
]

model = dict(
    # Mean and standard deviation of the training images of CIFAR-100.
    data_preprocessor=dict(
        mean=[129.304, 124.070, 112.434], std=[68.170, 65.392, 70.418], to_rgb=False
    ),
    head=dict(num_classes=100),
)

default_hooks = dict(checkpoint=dict(interval=4, max_keep_ckpts=1))
