# A slim student learns from a teacher of twice its width by NST at 4b, on VOC2007 at 320 pixels.
_base_ = '../faster_rcnn/faster-rcnn_inception-bn-w0.25_320-6e_voc07.py'

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_inception-bn-w0.5_320-6e_voc07.py'
teacher_checkpoint = 'work_dirs/faster-rcnn_inception-bn-w0.5_320-6e_voc07/epoch_6.pth'
kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)
# Lambda of the paper; the factor 1/2 is inside. From scratch and within minutes, more helps.
loss_weight = 500.0
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
