# The rows of the paper's table of CIFAR-100.
#
#   tools/run_table.py configs/tables/table_cifar100.py
#       trains and tests every row; with --rows, some of them.
#   ROW=kd tools/train.py configs/tables/table_cifar100.py
#       trains the row `kd` alone. Every tool reads the row that ROW names, else the baseline.
_base_ = ['../classification/small-inception-bn_164e_cifar100.py', '../_base_/table4.py']

# What you may want to change. The weights are the paper's.
teacher_config = '{{ fileDirname }}/../classification/pre-activation-r1001_164e_cifar100.py'
teacher_checkpoint = 'work_dirs/pre-activation-r1001_164e_cifar100/epoch_164.pth'
# The last feature map of each, 8 x 8.
last_maps = dict(student_layer='backbone.inception_5b', teacher_layer='backbone.relu')

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
