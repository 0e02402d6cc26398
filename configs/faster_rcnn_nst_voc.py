# The main experiment: a Faster R-CNN on Inception-BN learns from another one by NST at 4b, VOC2007.
_base_ = './faster_rcnn_inception_bn_voc.py'

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
teacher_config = '{{ fileDirname }}/faster_rcnn_inception_bn_voc0712.py'
teacher_checkpoint = 'work_dirs/faster_rcnn_inception_bn_voc0712/epoch_4.pth'
kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)
loss_weight = 50.0  # the paper's lambda; its 1/2 is inside
layer = 'backbone.inception_4b'

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
