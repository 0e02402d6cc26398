# An Inception-BN of half the width learns by NST from a bare backbone with ImageNet weights.
_base_ = '../faster_rcnn/faster-rcnn_inception-bn-w0.5_320-10e_voc07.py'

method = 'NST (poly), bare backbone'  # its name in a table

# What you may want to change.
backbone = dict(
    type='TIMMBackbone',
    model_name='tf_efficientnet_lite2',
    out_indices=(2, 3, 4),
    pretrained='efficientnet-lite2',
)
kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)
loss_weight = 'auto'
teacher_cache = None  # a folder for the teacher's feature maps

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(backbone=backbone, cache=teacher_cache),
    transfers=[
        dict(
            student_layer='backbone.inception_4b',
            teacher_layer='backbone/16',
            loss=dict(type='NSTLoss', loss_weight=loss_weight, kernel=kernel),
        )
    ],
)
