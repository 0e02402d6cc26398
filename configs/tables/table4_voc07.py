# Table 4 as in the paper: VOC2007 at 600 pixels, and the weights of the paper.
#
#   tools/run_table.py configs/tables/table4_voc07.py
#       trains and tests every row; with --rows, some of them.
#   ROW=kd tools/train.py configs/tables/table4_voc07.py
#       trains the row `kd` alone. Every tool reads the row that ROW names, else the baseline.
_base_ = ['../faster_rcnn/faster-rcnn_inception-bn_4e_voc07.py', '../_base_/table4.py']

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_inception-bn_4e_voc0712.py'
teacher_checkpoint = 'work_dirs/faster-rcnn_inception-bn_4e_voc0712/epoch_4.pth'
# Where all rows start: a file of Inception-BN's ImageNet weights; None trains from scratch.
pretrained = None

if pretrained:
    start = dict(init_cfg=dict(type='Pretrained', checkpoint=pretrained), norm_eval=True)
    _base_.model.backbone.update(start, frozen_stages=2)
    _base_.model.roi_head.shared_head.update(start)
if _base_.transfers_of_row:
    model = dict(
        _delete_=True,
        type='NSTDistiller',
        student=_base_.model,
        teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
        transfers=[_base_.transfers[name] for name in _base_.transfers_of_row],
    )
