#!/usr/bin/env bash
# The images that hold cats or dogs, asked for with getImgIds(catIds=[1, 2]).
#
# One would guess: the images that hold any of the two, as getAnnIds(catIds=[1, 2]) gives the
# annotations of both.
# What happens (pycocotools 2.0.11): only the images that hold both. A subset of two classes that is
# cut out so loses most of its images, without a word.
source "$(dirname "$0")/_common.sh"
install pycocotools==2.0.11 numpy==2.4.6
check 'annotations: [1, 2, 3, 4], images: [3]' <<'PYTHON'
import contextlib
import io

from pycocotools.coco import COCO

coco = COCO()
coco.dataset = dict(
    images=[dict(id=i) for i in (1, 2, 3)],
    categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    annotations=[
        dict(id=i, image_id=image, category_id=category, area=1, bbox=[0, 0, 1, 1], iscrowd=0)
        for i, (image, category) in enumerate([(1, 1), (2, 2), (3, 1), (3, 2)], 1)
    ],
)
with contextlib.redirect_stdout(io.StringIO()):
    coco.createIndex()
print(f'annotations: {coco.getAnnIds(catIds=[1, 2])}, images: {sorted(coco.getImgIds(catIds=[1, 2]))}')
PYTHON
