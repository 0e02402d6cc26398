"""A COCO data set whose names would not fit its labels is refused."""

import json

import pytest
from mmdet.datasets import CocoDataset

from nst_det.errors import UserError


@pytest.fixture
def of_classes(tmp_path):
    """Build a data set of one cat from a file with the categories cat, dog and cow."""
    (tmp_path / 'coco.json').write_text(
        json.dumps(
            dict(
                images=[dict(id=1, file_name='1.jpg', width=99, height=99)],
                categories=[
                    dict(id=i, name=name) for i, name in ((3, 'cat'), (7, 'dog'), (5, 'cow'))
                ],
                annotations=[
                    dict(id=1, image_id=1, category_id=7, bbox=[9, 9, 9, 9], area=81, iscrowd=0)
                ],
            )
        )
    )

    def build(*classes: str) -> CocoDataset:
        return CocoDataset(
            ann_file=str(tmp_path / 'coco.json'),
            data_prefix=dict(img=''),
            metainfo=dict(classes=classes),
            pipeline=[],
        )

    return build


@pytest.mark.parametrize('classes', [('cat', 'dog', 'cow'), ('dog', 'cow'), ('dog',)])
def test_classes_in_the_order_of_the_file_have_their_own_labels(of_classes, classes):
    (dog,) = of_classes(*classes).get_data_info(0)['instances']
    assert classes[dog['bbox_label']] == 'dog'


def test_another_order_is_an_error_that_gives_the_right_one(of_classes):
    with pytest.raises(
        UserError, match=r"another order.*write metainfo=dict\(classes=\('cat', 'dog'"
    ):
        of_classes('dog', 'cat')


def test_a_class_that_the_file_lacks_is_an_error_that_names_it(of_classes):
    with pytest.raises(UserError, match=r"no category 'bird': write .*classes=\('dog',\)"):
        of_classes('bird', 'dog')
