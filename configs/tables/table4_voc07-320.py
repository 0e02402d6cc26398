# Table 4 on VOC photographs at 320 pixels: an Inception-BN of half the width, from scratch.
#
#   tools/run_table.py configs/tables/table4_voc07-320.py
#       trains and tests every row; with --rows, some of them.
#   ROW=kd tools/train.py configs/tables/table4_voc07-320.py
#       trains the row `kd` alone. Every tool reads the row that ROW names, else the baseline.
_base_ = ['../faster_rcnn/faster-rcnn_inception-bn-w0.5_320-10e_voc07.py', '../_base_/table4.py']

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_efficientnet-lite2_320-12e_voc07.py'
teacher_checkpoint = 'work_dirs/faster-rcnn_efficientnet-lite2_320-12e_voc07/epoch_12.pth'
teacher_layer = 'backbone/16'
# A folder for the teacher's feature maps, which all rows share: a few GB. None keeps none.
teacher_cache = 'work_dirs/table4_voc07-320/teacher_cache'
# All weights are measured in the first iterations.
loss_weight = 'auto'

for transfer in _base_.transfers.values():
    transfer.loss.loss_weight = loss_weight
    if 'layer' in transfer:
        transfer.update(student_layer=transfer.pop('layer'), teacher_layer=teacher_layer)
if _base_.transfers_of_row:
    model = dict(
        _delete_=True,
        type='NSTDistiller',
        student=_base_.model,
        teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint, cache=teacher_cache),
        transfers=[_base_.transfers[name] for name in _base_.transfers_of_row],
    )
