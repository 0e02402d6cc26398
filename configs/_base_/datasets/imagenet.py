# ImageNet: random crops of 224 pixels for training, the centre of the image for testing.
data_root = 'data/imagenet'  # it holds train and val

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='ImageNetDataset',
        data_root=data_root,
        split='train',
        pipeline=[
            dict(type='mmdet.LoadVerifiedImage'),
            dict(type='RandomResizedCrop', scale=224),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageNetDataset',
        data_root=data_root,
        split='val',
        test_mode=True,
        pipeline=[
            dict(type='mmdet.LoadVerifiedImage'),
            dict(type='ResizeEdge', scale=256, edge='short'),
            dict(type='CenterCrop', crop_size=224),
            dict(type='PackInputs'),
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ClassificationError', topk=(1, 5))
test_evaluator = val_evaluator
