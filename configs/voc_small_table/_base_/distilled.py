# The student and its teacher, and the weights of the methods.
_base_ = ['../../voc_small/student.py', '../../_base_/methods.py']

# What you may want to change.
teacher_config = '{{ fileDirname }}/../../voc_small/teacher.py'
teacher_checkpoint = 'work_dirs/voc_small/teacher/epoch_6.pth'
# From scratch and within minutes, more than the paper's 50 helps; the others' are the paper's.
nst_linear = dict(loss=dict(loss_weight=500.0))
nst_poly = dict(loss=dict(loss_weight=500.0))
nst_gaussian = dict(loss=dict(loss_weight=500.0))

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[],
)
