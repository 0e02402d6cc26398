# The other road to NST: the plain detector, started from ImageNet weights that were trained by NST.
# Compare it with faster-rcnn_inception-bn_4e_voc07.py started from ordinary ImageNet weights.
_base_ = './faster-rcnn_inception-bn_4e_voc07.py'
method = 'NST on ImageNet, fine-tuned'  # its name in a table

# What you may want to change.
pretrained = 'checkpoints/inception_bn_nst.params'  # such as the NST authors' file
variant = 'mxnet'  # of MXNet's files; 'caffe' of PyTorch's bninception files

start = dict(
    init_cfg=dict(_delete_=True, type='Pretrained', checkpoint=pretrained),
    norm_eval=True,
    variant=variant,
)
model = dict(backbone=dict(start, frozen_stages=2), roi_head=dict(shared_head=dict(start)))
if variant == 'mxnet':  # the network itself normalises the images, in RGB
    model.update(data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1], bgr_to_rgb=True))
