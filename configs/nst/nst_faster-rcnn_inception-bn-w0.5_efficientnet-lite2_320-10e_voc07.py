# An Inception-BN of half the width learns from EfficientNet-Lite2 by NST at stride 16.
_base_ = '../faster_rcnn/faster-rcnn_inception-bn-w0.5_320-10e_voc07.py'

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_efficientnet-lite2_320-12e_voc07.py'
teacher_checkpoint = 'work_dirs/faster-rcnn_efficientnet-lite2_320-12e_voc07/epoch_12.pth'
kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)
loss_weight = 500.0

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[
        dict(
            student_layer='backbone.inception_4b',
            teacher_layer='backbone/16',
            loss=dict(type='NSTLoss', loss_weight=loss_weight, kernel=kernel),
        )
    ],
)
