# The rows of the paper's table of ImageNet.
#
#   tools/run_table.py configs/tables/table_imagenet.py
#       trains and tests every row; with --rows, some of them.
#   ROW=kd tools/train.py configs/tables/table_imagenet.py
#       trains the row `kd` alone. Every tool reads the row that ROW names, else the baseline.
_base_ = ['../classification/inception-bn_100e_imagenet.py', '../_base_/table4.py']

# What you may want to change. The weights are the paper's.
teacher_config = 'mmpretrain::resnet/resnet101_8xb32_in1k.py'
teacher_checkpoint = (
    'https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet101_8xb32_in1k_20210831-539c63f8.pth'
)
# The last feature map of each, 7 x 7.
last_maps = dict(student_layer='backbone.inception_5b', teacher_layer='backbone.layer4')

if _base_.transfers_of_row:
    model = dict(
        _delete_=True,
        type='NSTDistiller',
        student=_base_.model,
        teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
        transfers=[
            dict(
                loss=_base_.transfers[name].loss,
                **(last_maps if 'layer' in _base_.transfers[name] else {}),
            )
            for name in _base_.transfers_of_row
        ],
    )
