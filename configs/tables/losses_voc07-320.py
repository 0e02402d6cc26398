# The losses on VOC photographs at 320 pixels: an Inception-BN of half the width, from scratch. Its
# Faster R-CNN has what LD and CrossKD compare in no place, so their rows are left out.
#
#   tools/run_table.py configs/tables/losses_voc07-320.py
#       trains and tests every row; with --rows, some of them.
#   ROW=cwd tools/train.py configs/tables/losses_voc07-320.py
#       trains the row `cwd` alone. Every tool reads the row that ROW names, else the baseline.
_base_ = ['../faster_rcnn/faster-rcnn_inception-bn-w0.5_320-10e_voc07.py', '../_base_/losses.py']

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_efficientnet-lite2_320-12e_voc07.py'
teacher_checkpoint = 'work_dirs/faster-rcnn_efficientnet-lite2_320-12e_voc07/epoch_12.pth'
teacher_layer = 'backbone/16'
# A folder for the teacher's feature maps, which all rows share: a few GB. None keeps none.
teacher_cache = 'work_dirs/table4_voc07-320/teacher_cache'

row = '{{$ROW:baseline}}'
for name in ('ld', 'crosskd'):
    _base_.rows.pop(name)
rows = _base_.rows
for parts in rows.values():
    if 'layer' in parts.get('transfer', {}):
        parts.transfer.update(
            student_layer=parts.transfer.pop('layer'), teacher_layer=teacher_layer
        )
assert row in rows, f'ROW is {row}, expected one of {", ".join(rows)}'
method = rows[row]['method']
if 'transfer' in rows[row]:
    model = dict(
        _delete_=True,
        type='NSTDistiller',
        student=_base_.model,
        teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint, cache=teacher_cache),
        transfers=[rows[row]['transfer']],
    )
