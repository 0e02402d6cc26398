# The student and its teacher, and the weights of the methods.
_base_ = ['./student.py', '../../_base_/methods.py']

# What you may want to change.
teacher_config = '{{ fileDirname }}/../teacher.py'
teacher_checkpoint = 'work_dirs/table_demo/teacher/seed0/epoch_24.pth'
# Every weight by one rule: what `tools/suggest_weight.py ROW --target 20` proposes of the untrained
# student and this teacher.
kd = dict(loss=dict(loss_weight=11.0))
fitnet = dict(loss=dict(loss_weight=290.0))
at = dict(loss=dict(loss_weight=2900.0))
nst_linear = dict(loss=dict(loss_weight=280.0))
nst_poly = dict(loss=dict(loss_weight=460.0))
nst_gaussian = dict(loss=dict(loss_weight=660.0))

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[],
)
