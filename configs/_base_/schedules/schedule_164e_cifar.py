# That of ResNet-1001's paper (arXiv 1603.05027): 64,000 iterations of 128 images, the first 400
# at a tenth of the learning rate, which falls after 32,000 and 48,000.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=164, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='ConstantLR', factor=0.1, by_epoch=False, begin=0, end=400),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=164, milestones=[82, 123], gamma=0.1),
]
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.0001)
)
auto_scale_lr = dict(enable=False, base_batch_size=128)
