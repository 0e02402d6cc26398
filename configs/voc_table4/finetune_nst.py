# The other road to NST: the plain detector, from ImageNet weights that were distilled by NST.
# Its baseline is the plain detector from ImageNet weights that were not: `pretrained` of
# _base_/student.py.
_base_ = './_base_/student.py'
method = 'NST on ImageNet, fine-tuned'

# What you may want to change.
pretrained = 'checkpoints/inception_bn_nst.params'  # such as the NST authors' released MXNet file
variant = 'mxnet'  # MXNet's files; 'caffe' for PyTorch's bninception files

start = dict(
    init_cfg=dict(_delete_=True, type='Pretrained', checkpoint=pretrained),
    norm_eval=True,
    variant=variant,
)
model = dict(backbone=dict(start, frozen_stages=2), roi_head=dict(shared_head=dict(start)))
if variant == 'mxnet':  # its own input norm does the rest
    model.update(data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=True))
