# The student and its teacher, and what each method of table 4 transfers between them.
_base_ = './student.py'

# What you may want to change.
teacher_config = '{{ fileDirname }}/../../faster_rcnn_inception_bn_voc0712.py'
teacher_checkpoint = 'work_dirs/faster_rcnn_inception_bn_voc0712/epoch_4.pth'
layer = 'backbone.inception_4b'
# The weights are those of the NST paper's experiments; KD's is 1 because T² = 16 is in the loss.
kd = dict(loss=dict(type='KDLoss', loss_weight=1.0, temperature=4.0))
fitnet = dict(layer=layer, loss=dict(type='FitNetLoss', loss_weight=100.0))
at = dict(layer=layer, loss=dict(type='ATLoss', loss_weight=1000.0, mode='code'))
nst_linear = dict(
    layer=layer, loss=dict(type='NSTLoss', loss_weight=50.0, kernel=dict(type='LinearKernel'))
)
nst_poly = dict(
    layer=layer,
    loss=dict(type='NSTLoss', loss_weight=50.0, kernel=dict(type='PolynomialKernel', degree=2)),
)
nst_gaussian = dict(
    layer=layer, loss=dict(type='NSTLoss', loss_weight=100.0, kernel=dict(type='GaussianKernel'))
)

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[],
)
