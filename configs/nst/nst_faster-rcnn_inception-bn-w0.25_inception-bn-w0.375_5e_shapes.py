# The demo: its student learns from its teacher by NST at 4b, on drawn shapes.
_base_ = '../faster_rcnn/faster-rcnn_inception-bn-w0.25_5e_shapes.py'

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_inception-bn-w0.375_14e_shapes.py'
teacher_checkpoint = 'work_dirs/demo/teacher/epoch_14.pth'  # as `make demo` trains it
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
# Figures of the patterns as they are learned, for the visualisers.
custom_hooks = [*_base_.custom_hooks, dict(type='PatternFigureHook', interval=5)]
