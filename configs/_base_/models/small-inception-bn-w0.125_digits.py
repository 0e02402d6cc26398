# Inception-BN for small images at an eighth of its width, with 10 classes.
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[78.0] * 3, std=[86.0] * 3),  # of the training digits
    backbone=dict(type='SmallInceptionBN', width=0.125),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=48,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
