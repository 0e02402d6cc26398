# The main experiment with a student of half the width.
_base_ = [
    '../_base_/models/faster-rcnn_inception-bn-w0.5-c4.py',
    '../_base_/datasets/voc07.py',
    '../_base_/schedules/schedule_4e.py',
    '../_base_/default_runtime.py',
]

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_inception-bn_4e_voc0712.py'
teacher_checkpoint = 'work_dirs/faster-rcnn_inception-bn_4e_voc0712/epoch_4.pth'
kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)
loss_weight = 50.0  # lambda of the paper; the factor 1/2 is inside
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
