# EfficientNet-Lite0 with ImageNet weights learns from EfficientNet-Lite2 by NST.
_base_ = '../faster_rcnn/faster-rcnn_efficientnet-lite0_320-4e_voc07.py'

method = 'NST (poly)'  # its name in a table

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_efficientnet-lite2_320-12e_voc07.py'
teacher_checkpoint = 'work_dirs/faster-rcnn_efficientnet-lite2_320-12e_voc07/epoch_12.pth'
teacher_cache = None  # a folder for the teacher's feature maps
kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)
loss_weight = 'auto'

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint, cache=teacher_cache),
    transfers=[
        dict(
            layer='backbone/16',
            loss=dict(type='NSTLoss', loss_weight=loss_weight, kernel=kernel),
        ),
    ],
)
