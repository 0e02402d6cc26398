# The teacher of the digits' table: a pre-activation ResNet of 29 layers.
_base_ = './small-inception-bn-w0.125_5e_digits.py'

model = dict(
    backbone=dict(_delete_=True, type='PreActivationResNet', depth=29),
    head=dict(in_channels=256),
)
train_dataloader = dict(batch_size=32)
train_cfg = dict(max_epochs=15, val_interval=15)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(
        type='CosineAnnealingLR', eta_min=0.0, by_epoch=True, T_max=15, convert_to_iter_based=True
    ),
]
default_hooks = dict(checkpoint=dict(interval=15))
