# The 1,797 handwritten digits that scikit-learn ships, at 32 x 32 pixels.
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='DigitsDataset',
        split='train',
        pipeline=[
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='PackInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='DigitsDataset', split='test', test_mode=True, pipeline=[dict(type='PackInputs')]
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ClassificationError')
test_evaluator = val_evaluator
