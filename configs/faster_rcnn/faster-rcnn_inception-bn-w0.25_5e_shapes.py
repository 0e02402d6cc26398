# The demo's student: a slim Faster R-CNN on drawn shapes, small enough for two CPU cores.
_base_ = [
    '../_base_/models/faster-rcnn_inception-bn-w0.25-c4.py',
    '../_base_/models/small_images.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/schedule_5e_adamw.py',
    '../_base_/default_runtime.py',
]

_base_.small_images.rpn_head.anchor_generator = dict(scales=[1.5, 3, 5])
_base_.small_images.roi_head.bbox_head.num_classes = 4
model = dict(**_base_.small_images)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=1))
