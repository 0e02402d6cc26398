#!/usr/bin/env bash
# A box of whole pixels, mirrored by Albumentations in an image 100 pixels wide.
#
# One would guess: [10, 20, 29, 39] becomes [71, 20, 90, 39].
# What happens (albumentations 2.0.8): boxes are divided by the size of the image and multiplied
# again, in float32. A tool that then writes whole numbers by int() loses a pixel, and a test for
# equality fails.
source "$(dirname "$0")/_common.sh"
install albumentations==2.0.8 numpy==2.4.6
check 'mirrored: [71.000, 20.0, 89.99999761581421, 39.000], by int(): [71, 20, 89, 39]' <<'PYTHON'
import os

os.environ['NO_ALBUMENTATIONS_UPDATE'] = '1'

import albumentations
import numpy as np

mirror = albumentations.Compose(
    [albumentations.HorizontalFlip(p=1)],
    bbox_params=albumentations.BboxParams('pascal_voc', label_fields=['labels']),
)
image = np.zeros((80, 100, 3), np.uint8)
((x1, y1, x2, y2),) = mirror(image=image, bboxes=[[10, 20, 29, 39]], labels=[0])['bboxes']
print(
    f'mirrored: [{x1:.3f}, {y1}, {x2}, {y2:.3f}], '
    f'by int(): {[int(value) for value in (x1, y1, x2, y2)]}'
)
PYTHON
