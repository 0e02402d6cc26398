# The student and its teacher, and what each method of the table transfers between them.
_base_ = '../../voc_small/student.py'

# What you may want to change.
teacher_config = '{{ fileDirname }}/../../voc_small/teacher.py'
teacher_checkpoint = 'work_dirs/voc_small/teacher/epoch_6.pth'
layer = 'backbone.inception_4b'
# From scratch and within minutes, more than the paper's 50 helps; the others' are the paper's.
kd = dict(loss=dict(type='KDLoss', loss_weight=1.0, temperature=4.0))
fitnet = dict(layer=layer, loss=dict(type='FitNetLoss', loss_weight=100.0))
at = dict(layer=layer, loss=dict(type='ATLoss', loss_weight=1000.0, mode='code'))
nst_linear = dict(
    layer=layer, loss=dict(type='NSTLoss', loss_weight=500.0, kernel=dict(type='LinearKernel'))
)
nst_poly = dict(
    layer=layer,
    loss=dict(type='NSTLoss', loss_weight=500.0, kernel=dict(type='PolynomialKernel', degree=2)),
)
nst_gaussian = dict(
    layer=layer, loss=dict(type='NSTLoss', loss_weight=500.0, kernel=dict(type='GaussianKernel'))
)

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[],
)
