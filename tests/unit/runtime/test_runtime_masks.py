"""Masks become pixels as mmdet makes them."""

import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

from nst_det.runtime.masks import object_masks
from nst_det.runtime.model_info import ModelInfo

BOXES = np.array(
    [
        [3.2, 5.7, 40.1, 31.4],
        [0, 0, 60, 50],
        [55.5, 44.4, 60, 50],
        [10, 10, 10, 10],
        [7, 8, 8.5, 9],
    ],
    np.float32,
)


def test_the_mask_of_a_box_is_pasted_as_by_mmdet():
    info = ModelInfo('X', ('a',), masks='box', mask_threshold=0.5)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(len(BOXES), 1, 4, 4, generator=generator)
    masks = torch.nn.functional.interpolate(coarse, (28, 28), mode='bilinear')
    given = object_masks(masks[:, 0].numpy(), BOXES, (50, 60), (1.0, 1.0), info)
    for mask, box, ours in zip(masks, BOXES, given):
        pasted, where = _do_paste_mask(mask[None], torch.from_numpy(box)[None], 50, 60)
        expected = np.zeros((50, 60), bool)
        expected[where] = pasted[0].numpy() >= 0.5
        assert (expected != ours).sum() <= 1
    assert given.any((1, 2))[:3].all()


def test_no_detections_have_no_masks():
    info = ModelInfo('X', ('a',), masks='box')
    none = object_masks(np.zeros((0, 28, 28), np.float32), BOXES[:0], (50, 60), (1.0, 1.0), info)
    assert none.shape == (0, 50, 60)


@pytest.mark.parametrize('scale', [(1.0, 1.0), (0.64, 0.64), (1.5, 1.5)])
def test_the_mask_of_an_image_is_scaled_in_two_steps(scale):
    info = ModelInfo('X', ('a',), masks='image', mask_threshold=0.5, mask_stride=8)
    logits = torch.randn(2, 8, 12, generator=torch.Generator().manual_seed(0))
    size = int(60 / scale[0]), int(90 / scale[0])  # the image was padded to 64 x 96
    up = torch.nn.functional.interpolate(logits[None], scale_factor=8, mode='bilinear')
    wanted = [int(np.ceil(side / scale[0])) for side in (64, 96)]
    up = torch.nn.functional.interpolate(up, wanted, mode='bilinear', align_corners=False)
    expected = (up[0, :, : size[0], : size[1]].sigmoid() > 0.5).numpy()
    given = object_masks(logits.numpy(), BOXES[:2], size, scale, info)
    assert given.shape == expected.shape
    assert (given != expected).mean() < 1e-3
