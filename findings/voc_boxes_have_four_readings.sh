#!/usr/bin/env bash
# One box of VOC, xmin=11 and xmax=30 of an image of which it covers the columns 11 to 30: 20
# pixels.
#
# One would guess: every converter makes x=10 and a width of 20 of it, since VOC counts pixels from
# 1.
# What happens: supervision 0.31.2 does. datumaro 1.13.12 makes x=11 and a width of 19 of it, as
# does globox 2.9.0; labelformat 0.1.17 keeps 11 and 30 as edges. (mmdet 3.3.0 makes 10 and 29, a
# width of 19.) A detector that was taught by one and is tested by another loses at high overlaps:
# 19 of 20 pixels in each direction are an IoU of 0.90.
source "$(dirname "$0")/_common.sh"
install supervision==0.31.2 datumaro==1.13.12 globox==2.9.0 labelformat==0.1.17
check 'supervision: 10 to 30
datumaro: 11 to 30
globox: 11 to 30
labelformat: 11 to 30' <<'PYTHON'
import shutil
from pathlib import Path

import cv2
import numpy as np

for folder in 'JPEGImages', 'Annotations', 'ImageSets/Main':
    Path('voc', folder).mkdir(parents=True)
cv2.imwrite('voc/JPEGImages/1.jpg', np.zeros((80, 100, 3), np.uint8))
Path('voc/ImageSets/Main/train.txt').write_text('1')
Path('voc/Annotations/1.xml').write_text(
    '<annotation><filename>1.jpg</filename>'
    '<size><width>100</width><height>80</height><depth>3</depth></size>'
    '<object><name>cat</name><difficult>0</difficult><bndbox><xmin>11</xmin><ymin>11</ymin>'
    '<xmax>30</xmax><ymax>30</ymax></bndbox></object></annotation>'
)

import supervision

(_, _, read) = next(iter(supervision.DetectionDataset.from_pascal_voc('voc/JPEGImages', 'voc/Annotations')))
left, _, right, _ = read.xyxy[0]
print(f'supervision: {left:.0f} to {right:.0f}')

import datumaro

(item,) = datumaro.Dataset.import_from('voc', 'voc_detection')
left, _, width, _ = item.annotations[0].get_bbox()
print(f'datumaro: {left:.0f} to {left + width:.0f}')

import globox

(read,) = globox.AnnotationSet.from_pascal_voc('voc/Annotations')
print(f'globox: {read.boxes[0].xmin:.0f} to {read.boxes[0].xmax:.0f}')

from labelformat.formats import PascalVOCObjectDetectionInput

labels = PascalVOCObjectDetectionInput(input_folder=Path('voc/Annotations'), category_names='cat')
box = next(iter(labels.get_labels())).objects[0].box
print(f'labelformat: {box.xmin:.0f} to {box.xmax:.0f}')
PYTHON
