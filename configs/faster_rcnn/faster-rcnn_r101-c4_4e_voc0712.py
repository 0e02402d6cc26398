# A teacher as in the paper: Faster R-CNN on ResNet-101, C4 style, trained on VOC2007 and VOC2012.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py',
    '../_base_/datasets/voc0712.py',
    '../_base_/schedules/schedule_4e.py',
    '../_base_/default_runtime.py',
]

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/ and VOC2012/
pretrained = 'open-mmlab://detectron2/resnet101_caffe'  # ImageNet weights, downloaded

init_cfg = dict(type='Pretrained', checkpoint=pretrained) if pretrained else None
model = dict(
    backbone=dict(depth=101, init_cfg=init_cfg),
    roi_head=dict(
        shared_head=dict(depth=101, init_cfg=init_cfg),
        bbox_head=dict(num_classes=20),
    ),
)
voc2007, voc2012 = _base_.voc2007, _base_.voc2012
voc2007.data_root = voc2012.data_root = data_root
train_dataloader = dict(dataset=dict(dataset=dict(datasets=[voc2007, voc2012])))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
