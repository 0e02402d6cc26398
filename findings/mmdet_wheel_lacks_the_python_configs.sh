#!/usr/bin/env bash
# A config in pure Python that inherits from one of mmdet, as the documentation of mmengine shows
# it: with read_base(): from mmdet.configs.retinanet.retinanet_r50_fpn_1x_coco import *
#
# One would guess: pip install mmdet==3.3.0 brings it.
# What happens (mmdet 3.3.0): mmdet/configs is in the repository, but not in the wheel, because its
# folders are no packages. Only the configs of the old style are there, under mmdet/.mim/configs.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'mmdet/configs: False, mmdet/.mim/configs/retinanet/retinanet_r50_fpn_1x_coco.py: True' <<'PYTHON'
from pathlib import Path

import mmdet

installed = Path(mmdet.__file__).parent
old = '.mim/configs/retinanet/retinanet_r50_fpn_1x_coco.py'
print(f'mmdet/configs: {(installed / "configs").exists()}, mmdet/{old}: {(installed / old).exists()}')
PYTHON
