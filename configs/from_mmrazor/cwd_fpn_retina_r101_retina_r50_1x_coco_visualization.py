# mmrazor's distill/mmdet/cwd/cwd_fpn_retina_r101_retina_r50_1x_coco_visualization.py
_base_ = 'cwd_fpn_retina_r101_retina_r50_1x_coco.py'

default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=-1))
custom_hooks = [dict(type='PatternFigureHook')]
