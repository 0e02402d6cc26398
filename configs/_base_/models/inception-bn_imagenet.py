# Inception-BN with the 1000 classes of ImageNet, in the layout of the paper's authors.
model = dict(
    type='ImageClassifier',
    # RGB as it is: the first layer of this variant is a batch norm.
    data_preprocessor=dict(mean=[0.0] * 3, std=[1.0] * 3, to_rgb=True),
    backbone=dict(type='InceptionBN', variant='mxnet', out_layers=('5b',)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
