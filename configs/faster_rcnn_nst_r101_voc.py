# NST from a ResNet-101's stride-16 map to Inception-BN's 4b, as in the paper, VOC2007.
_base_ = './faster_rcnn_nst_voc.py'

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
teacher_config = '{{ fileDirname }}/faster_rcnn_r101_c4_voc0712.py'
teacher_checkpoint = 'work_dirs/faster_rcnn_r101_c4_voc0712/epoch_4.pth'

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
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
