# Every loss on drawn shapes: a slim GFL from scratch, minutes a row on a CPU.
#
#   tools/run_table.py configs/tables/losses_shapes.py
#       trains and tests every row; with --rows, some of them.
#   ROW=ld tools/train.py configs/tables/losses_shapes.py
#       trains the row `ld` alone. Every tool reads the row that ROW names, else the baseline.
_base_ = ['../gfl/gfl_inception-bn-w0.25_4e_shapes128.py', '../_base_/losses.py']

# What you may want to change.
teacher_config = '{{ fileDirname }}/../gfl/gfl_inception-bn-w0.375_24e_shapes128.py'
teacher_checkpoint = 'work_dirs/losses_demo/teacher/seed0/epoch_24.pth'

row = '{{$ROW:baseline}}'
rows = _base_.rows
assert row in rows, f'ROW is {row}, expected one of {", ".join(rows)}'
method = rows[row]['method']
if 'transfer' in rows[row]:
    model = dict(
        _delete_=True,
        type='NSTDistiller',
        student=_base_.model,
        teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
        transfers=[rows[row]['transfer']],
    )
