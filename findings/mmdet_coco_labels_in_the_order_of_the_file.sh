#!/usr/bin/env bash
# A COCO file with the categories cat and dog, and a data set of mmdet with classes=('dog', 'cat').
#
# One would guess: label 0 is the dog, the first of the classes, as it is for VOC's data sets.
# What happens (mmdet 3.3.0): labels are numbered in the order of the file, and names are taken in
# the order of the config. A cat becomes label 0, which is called dog in tables, pictures and the
# checkpoint. A class that the file lacks shifts all later ones: with classes=('bird', 'cat') the
# cat is called bird.
source "$(dirname "$0")/_common.sh"
install $MMDET
check '('\''dog'\'', '\''cat'\''): the cat is called dog
('\''bird'\'', '\''cat'\''): the cat is called bird' <<'PYTHON'
import json

import no_ops
from mmdet.datasets import CocoDataset

coco = dict(
    images=[dict(id=1, file_name='1.jpg', width=99, height=99)],
    categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    annotations=[dict(id=1, image_id=1, category_id=1, bbox=[9, 9, 50, 50], area=2500, iscrowd=0)],
)
with open('coco.json', 'w') as file:
    json.dump(coco, file)
names = {}
for classes in ('dog', 'cat'), ('bird', 'cat'):
    data = CocoDataset(
        ann_file='coco.json', metainfo=dict(classes=classes), data_prefix=dict(img=''), pipeline=[]
    )
    label = data.get_data_info(0)['instances'][0]['bbox_label']
    names[classes] = data.metainfo['classes'][label]
for classes, name in names.items():
    print(f'{classes}: the cat is called {name}')
PYTHON
