# The main experiment: a Faster R-CNN on Inception-BN learns by NST at 4b from a teacher of the same
# kind that has seen more data, on VOC2007.
_base_ = './faster_rcnn/faster-rcnn_inception-bn_4e_voc07.py'

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
teacher_config = '{{ fileDirname }}/faster_rcnn/faster-rcnn_inception-bn_4e_voc0712.py'
teacher_checkpoint = 'work_dirs/faster-rcnn_inception-bn_4e_voc0712/epoch_4.pth'
kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)
loss_weight = 50.0  # lambda of the paper; the factor 1/2 is inside
layer = 'backbone.inception_4b'
pretrained = None  # a file of Inception-BN's ImageNet weights; None trains from scratch

if pretrained:
    _base_.model.backbone.update(
        init_cfg=dict(type='Pretrained', checkpoint=pretrained), frozen_stages=2, norm_eval=True
    )
    _base_.model.roi_head.shared_head.update(
        init_cfg=dict(type='Pretrained', checkpoint=pretrained), norm_eval=True
    )
model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[
        dict(layer=layer, loss=dict(type='NSTLoss', loss_weight=loss_weight, kernel=kernel))
    ],
)
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
