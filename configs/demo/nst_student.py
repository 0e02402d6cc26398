# The demo's student, taught by the demo's teacher.
_base_ = './student.py'

# What you may want to change.
teacher_config = '{{ fileDirname }}/teacher.py'
teacher_checkpoint = 'work_dirs/demo/teacher/epoch_14.pth'
kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)
# The paper's lambda; its 1/2 is inside. From scratch and within minutes, more of it helps.
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
# A figure of what is learned, before and after, for the visualisers.
custom_hooks = [*_base_.custom_hooks, dict(type='PatternFigureHook', interval=5)]
