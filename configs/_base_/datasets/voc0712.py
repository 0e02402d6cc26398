# VOC2007 + VOC2012: trained on both trainvals, tested on VOC2007's test.
_base_ = './voc07.py'
data_root = 'data/VOCdevkit/'

voc2007 = dict(
    type='VOCDevkitDataset',
    data_root=data_root,
    ann_file='VOC2007/ImageSets/Main/trainval.txt',
    data_prefix=dict(sub_data_root='VOC2007/'),
    filter_cfg=dict(filter_empty_gt=True),
    pipeline=_base_.train_pipeline,
)
voc2012 = dict(
    voc2007,
    ann_file='VOC2012/ImageSets/Main/trainval.txt',
    data_prefix=dict(sub_data_root='VOC2012/'),
)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='ConcatDataset',
            ignore_keys=['dataset_type'],  # it differs between the years
            datasets=[voc2007, voc2012],
        )
    )
)
