"""The feature maps in a figure are those that the loss compares."""

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from PIL import Image

from nst_det.errors import UserError
from nst_det.visualization import load_image, load_test_images, merge_views, view_layers


@pytest.fixture
def image(tmp_path):
    """An image whose sides are no multiples of the padding divisor."""
    file = tmp_path / 'picture.jpg'
    Image.effect_noise((70, 53), 90).convert('RGB').save(file)
    return str(file)


@pytest.fixture
def distiller(tiny_distiller):
    distiller = MODELS.build(tiny_distiller().model)
    distiller.init_weights()
    return distiller


def test_the_mmd2_of_a_view_is_that_of_the_training(tiny_distiller, distiller, image):
    data = load_image(tiny_distiller(), image)
    (view,) = view_layers(distiller, data, 'after')
    assert view.teacher.shape[1:] == (3, 4)  # 53 × 70 pixels at stride 16, without the padding
    assert view.extent == (0, 64, 48, 0)
    distiller.eval()
    batch = distiller.data_preprocessor(pseudo_collate([data]), False)
    with torch.no_grad():
        losses = distiller(**batch, mode='loss')
    assert view.mmd2('after') == pytest.approx(
        losses['mmd2_backbone_inception_4b'].item(), rel=1e-4
    )


def test_the_mmd2_of_a_view_of_a_classifier_is_that_of_the_training(tiny_classifiers, tmp_path):
    cfg = tiny_classifiers(tmp_path, distilled=True)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        distiller = MODELS.build(cfg.model).eval()
        (data,) = load_test_images(cfg, [2])
        (view,) = view_layers(distiller, data, 'after')
    batch = distiller.data_preprocessor(pseudo_collate([data]), False)
    with torch.no_grad():
        losses = distiller(**batch, mode='loss')
    assert (view.name, view.image.shape) == ('image2', (16, 16, 3))
    assert np.array_equal(view.image, data['inputs'].permute(1, 2, 0).numpy())
    assert view.mmd2('after') == pytest.approx(
        losses['mmd2_backbone_inception_4b'].item(), rel=1e-4
    )


def test_a_file_is_refused_where_the_pipeline_reads_none(tiny_classifiers, tmp_path, image):
    with (
        DefaultScope.overwrite_default_scope('mmpretrain'),
        pytest.raises(UserError, match='reads no files: choose images of its data set'),
    ):
        load_image(tiny_classifiers(tmp_path), image)


def test_viewing_does_not_change_the_distiller(tiny_distiller, distiller, image):
    data = load_image(tiny_distiller(), image)
    distiller.train()
    before = {key: value.clone() for key, value in distiller.state_dict().items()}
    random = torch.get_rng_state()
    view_layers(distiller, data, 'now')
    assert distiller.training and distiller.student.backbone.training
    assert torch.equal(random, torch.get_rng_state())
    after = distiller.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_the_views_of_two_students_are_merged_into_one(tiny_distiller, distiller, image):
    data = load_image(tiny_distiller(), image)
    views_by_student = [view_layers(distiller, data, title) for title in ('before', 'after')]
    (view,) = merge_views(*views_by_student)
    assert list(view.students) == ['before', 'after']


def test_a_missing_image_is_named(tiny_distiller):
    with pytest.raises(UserError, match=r'there is no image .*gone\.jpg'):
        load_image(tiny_distiller(), 'gone.jpg')
