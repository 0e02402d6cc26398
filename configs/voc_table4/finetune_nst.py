# The other road to NST: the plain detector, from ImageNet weights that were distilled by NST.
# Its baseline is the plain detector from ImageNet weights that were not: `pretrained` of
# _base_/student.py.
_base_ = './_base_/student.py'
method = 'NST on ImageNet, fine-tuned'

# What you may want to change.
pretrained = 'checkpoints/inception_bn_nst_imagenet.pth'  # see tools/convert_inception_bn.py

start = dict(init_cfg=dict(_delete_=True, type='Pretrained', checkpoint=pretrained), norm_eval=True)
model = dict(backbone=dict(start, frozen_stages=2), roi_head=dict(shared_head=dict(start)))
