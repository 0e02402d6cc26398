#!/usr/bin/env bash
# mmrazor's config that distils RetinaNet with R101 into RetinaNet with R50 by CWD.
#
# One would guess: its teacher has the weights of a RetinaNet.
# What happens (mmrazor 1.0.0): it inherits from the config of Faster R-CNN and changes the config
# of the teacher, not its checkpoint. The teacher is a RetinaNet with the weights of a Faster R-CNN,
# whose heads fit nowhere.
source "$(dirname "$0")/_common.sh"
install mmrazor==1.0.0
check 'teacher: mmdet::retinanet/retinanet_r101_fpn_2x_coco.py
weights: faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth' <<'PYTHON'
import runpy
from importlib.metadata import files

configs = {file.name: file.locate() for file in files('mmrazor') if 'distill/mmdet/cwd' in str(file)}
child = runpy.run_path(configs['cwd_fpn_retina_r101_retina_r50_1x_coco.py'])
(base,) = child['_base_']
inherited = runpy.run_path(configs[base.removeprefix('./')])
model = inherited['model'] | child['model']  # of the keys below, none is merged more deeply
print('teacher:', model['teacher']['cfg_path'])
print('weights:', model['teacher_ckpt'])
PYTHON
