# The student and its teacher; the weights of the methods are the paper's.
_base_ = ['./student.py', '../../_base_/methods.py']

# What you may want to change.
teacher_config = '{{ fileDirname }}/../../faster_rcnn_inception_bn_voc0712.py'
teacher_checkpoint = 'work_dirs/faster_rcnn_inception_bn_voc0712/epoch_4.pth'

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[],
)
