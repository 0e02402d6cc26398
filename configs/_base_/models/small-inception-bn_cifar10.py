# Inception-BN for small images, with the 10 classes of CIFAR-10.
model = dict(
    type='ImageClassifier',
    # RGB, as the images of CIFAR are; mean and standard deviation of its training images.
    data_preprocessor=dict(
        mean=[125.307, 122.961, 113.8575], std=[51.5865, 50.847, 51.255], to_rgb=False
    ),
    backbone=dict(type='SmallInceptionBN'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=336,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
