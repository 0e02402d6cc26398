#!/usr/bin/env bash
# A box of Label Studio that was turned by 90 degrees, exported to VOC, YOLO and COCO.
#
# One would guess: each has the upright box around it, or each leaves the turn away.
# What happens (label-studio-sdk 2.1.2): VOC and YOLO have the box as if it had not been turned,
# COCO has it moved to the left by its width, again unturned. The turned box lies 20 pixels wide and
# 40 high to the left of its corner (Label Studio turns clockwise around the upper left one), which
# none of them says.
source "$(dirname "$0")/_common.sh"
install label-studio-sdk==2.1.2 pycocotools==2.0.11
check 'turned box: x 80 to 100, y 50 to 90
VOC: x 100 to 140, y 50 to 70
YOLO: x 100 to 140, y 50 to 70
COCO: x 60 to 100, y 50 to 70' <<'PYTHON'
import json
from pathlib import Path
from xml.etree import ElementTree

from label_studio_sdk.converter import Converter

SETUP = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="cat"/></RectangleLabels></View>'
)
box = dict(
    id='a',
    type='rectanglelabels',
    from_name='label',
    to_name='image',
    original_width=200,
    original_height=100,
    image_rotation=0,
    value=dict(x=50, y=50, width=20, height=20, rotation=90, rectanglelabels=['cat']),
)
task = dict(
    id=1,
    data=dict(image='/data/upload/1.png'),
    annotations=[dict(id=5, completed_by=1, result=[box])],
)
Path('tasks.json').write_text(json.dumps([task]))
for form in 'VOC', 'YOLO', 'COCO':
    Converter(SETUP, '.', download_resources=False).convert('tasks.json', form, form, is_dir=False)

# Percents of 200 × 100 pixels: corner (100, 50), 40 wide, 20 high. Clockwise by 90 degrees around this
# corner, its upper side points downwards and its left side to the left.
print('turned box: x 80 to 100, y 50 to 90')
(file,) = Path('VOC').rglob('1.xml')
x1, y1, x2, y2 = (element.text for element in ElementTree.parse(file).find('object/bndbox'))
print(f'VOC: x {x1} to {x2}, y {y1} to {y2}')
(file,) = Path('YOLO').rglob('1.txt')
_, x, y, width, height = map(float, file.read_text().split())
x1, x2, y1, y2 = 200 * (x - width / 2), 200 * (x + width / 2), 100 * (y - height / 2), 100 * (y + height / 2)
print(f'YOLO: x {x1:.0f} to {x2:.0f}, y {y1:.0f} to {y2:.0f}')
(file,) = Path('COCO').rglob('result.json')
x, y, width, height = json.loads(file.read_text())['annotations'][0]['bbox']
print(f'COCO: x {x:.0f} to {x + width:.0f}, y {y:.0f} to {y + height:.0f}')
PYTHON
