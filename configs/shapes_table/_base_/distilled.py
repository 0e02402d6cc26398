# The student and its teacher, and what each method of the table transfers between them.
_base_ = './student.py'

# What you may want to change.
teacher_config = '{{ fileDirname }}/../teacher.py'
teacher_checkpoint = 'work_dirs/table_demo/teacher/seed0/epoch_24.pth'
layer = 'backbone.inception_4b'
# Every weight by one rule: what `tools/suggest_weight.py ROW --target 20` proposes of the untrained
# student and this teacher.
kd = dict(loss=dict(type='KDLoss', loss_weight=11.0, temperature=4.0))
fitnet = dict(layer=layer, loss=dict(type='FitNetLoss', loss_weight=290.0))
at = dict(layer=layer, loss=dict(type='ATLoss', loss_weight=2900.0, mode='code'))
nst_linear = dict(
    layer=layer, loss=dict(type='NSTLoss', loss_weight=280.0, kernel=dict(type='LinearKernel'))
)
nst_poly = dict(
    layer=layer,
    loss=dict(type='NSTLoss', loss_weight=460.0, kernel=dict(type='PolynomialKernel', degree=2)),
)
nst_gaussian = dict(
    layer=layer, loss=dict(type='NSTLoss', loss_weight=660.0, kernel=dict(type='GaussianKernel'))
)

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[],
)
