"""Building a data set for its annotations."""

import pytest

from nst_det.datasets import SHAPE_CLASSES
from nst_det.datasets.without_pipeline import build_without_pipeline


def config(shapes, name):
    return dict(
        type='VOCDevkitDataset',
        data_root=str(shapes),
        ann_file=f'VOC2007/ImageSets/Main/{name}.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        metainfo=dict(classes=SHAPE_CLASSES),
        test_mode=True,
        pipeline=[dict(type='NoSuchTransform')],
    )


@pytest.mark.parametrize(
    ('wrap', 'length'),
    [
        (lambda shapes: config(shapes, 'test'), 4),
        (
            lambda shapes: dict(
                type='ConcatDataset', datasets=[config(shapes, 'train'), config(shapes, 'test')]
            ),
            10,
        ),
        (lambda shapes: dict(type='RepeatDataset', times=2, dataset=config(shapes, 'test')), 8),
    ],
    ids=['plain', 'ConcatDataset', 'RepeatDataset'],
)
def test_a_data_set_is_built_without_the_pipelines_in_it(shapes, wrap, length):
    cfg = wrap(shapes)
    dataset = build_without_pipeline(cfg)
    assert len(dataset) == length
    assert dataset.get_data_info(0)['instances']
    assert 'NoSuchTransform' in str(cfg)  # which is not changed
