# The rows of the paper's tables of classification, on scikit-learn's handwritten digits.
#
#   tools/run_table.py configs/tables/table_digits.py
#       trains and tests every row; with --rows, some of them.
#   ROW=kd tools/train.py configs/tables/table_digits.py
#       trains the row `kd` alone. Every tool reads the row that ROW names, else the baseline.
_base_ = ['../classification/small-inception-bn-w0.125_5e_digits.py', '../_base_/table4.py']

# What you may want to change. The weights are the paper's.
teacher_config = '{{ fileDirname }}/../classification/pre-activation-r29_15e_digits.py'
teacher_checkpoint = 'work_dirs/digits/teacher/seed0/epoch_15.pth'
# A folder for the teacher's outputs, which all rows and seeds share. None keeps none.
teacher_cache = 'work_dirs/digits/teacher_cache'
# The crops that each image is seen in, in turn. All rows see the same ones.
views = 5
# The last feature map of each, 8 x 8.
last_maps = dict(student_layer='backbone.inception_5b', teacher_layer='backbone.relu')

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmdet.FixedViews',
        views=views,
        dataset=_base_.train_dataloader.dataset,
    )
)
if _base_.transfers_of_row:
    model = dict(
        _delete_=True,
        type='NSTDistiller',
        student=_base_.model,
        teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint, cache=teacher_cache),
        transfers=[
            dict(
                loss=_base_.transfers[name].loss,
                **(last_maps if 'layer' in _base_.transfers[name] else {}),
            )
            for name in _base_.transfers_of_row
        ],
    )
