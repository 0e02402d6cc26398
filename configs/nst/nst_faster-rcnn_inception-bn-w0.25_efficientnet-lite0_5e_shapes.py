# The demo: a slim Inception-BN from scratch learns from EfficientNet-Lite0 by NST at stride 16.
_base_ = '../faster_rcnn/faster-rcnn_inception-bn-w0.25_5e_shapes.py'

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_efficientnet-lite0_3e_shapes.py'
teacher_checkpoint = 'work_dirs/demo/teacher/epoch_3.pth'  # as `make demo` trains it
kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[
        dict(
            student_layer='backbone.inception_4b',
            teacher_layer='backbone/16',
            loss=dict(type='NSTLoss', loss_weight='auto', kernel=kernel),
        )
    ],
)
# Figures of the patterns as they are learned, for the visualisers.
custom_hooks = [*_base_.custom_hooks, dict(type='PatternFigureHook', interval=5)]
