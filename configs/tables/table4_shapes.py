# Table 4 on drawn shapes: a slim student from scratch, minutes a row on a CPU.
#
#   tools/run_table.py configs/tables/table4_shapes.py
#       trains and tests every row; with --rows, some of them.
#   ROW=kd tools/train.py configs/tables/table4_shapes.py
#       trains the row `kd` alone. Every tool reads the row that ROW names, else the baseline.
_base_ = ['../faster_rcnn/faster-rcnn_inception-bn-w0.25_4e_shapes128.py', '../_base_/table4.py']

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_inception-bn-w0.375_24e_shapes128.py'
teacher_checkpoint = 'work_dirs/table_demo/teacher/seed0/epoch_24.pth'
# All weights by one rule: what `tools/suggest_weight.py --target 20` proposes for each row with the
# untrained student and this teacher.
_base_.transfers.kd.loss.loss_weight = 11.0
_base_.transfers.fitnet.loss.loss_weight = 290.0
_base_.transfers.at.loss.loss_weight = 2900.0
_base_.transfers.nst_linear.loss.loss_weight = 280.0
_base_.transfers.nst_poly.loss.loss_weight = 460.0
_base_.transfers.nst_gaussian.loss.loss_weight = 660.0

if _base_.transfers_of_row:
    model = dict(
        _delete_=True,
        type='NSTDistiller',
        student=_base_.model,
        teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
        transfers=[_base_.transfers[name] for name in _base_.transfers_of_row],
    )
