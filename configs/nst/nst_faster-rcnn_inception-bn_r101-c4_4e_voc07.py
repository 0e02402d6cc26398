# The main experiment with the teacher of the paper: NST from the stride-16 feature map of a
# ResNet-101 to 4b of Inception-BN.
_base_ = '../faster_rcnn_nst_voc.py'

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_r101-c4_4e_voc0712.py'
teacher_checkpoint = 'work_dirs/faster-rcnn_r101-c4_4e_voc0712/epoch_4.pth'

model = dict(
    teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
    transfers=[
        dict(
            student_layer=_base_.layer,
            teacher_layer='backbone.layer3',
            loss=dict(type='NSTLoss', loss_weight=_base_.loss_weight, kernel=_base_.kernel),
        )
    ],
)
