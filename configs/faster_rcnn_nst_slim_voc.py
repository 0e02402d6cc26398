# The main experiment with a slim student.
_base_ = './faster_rcnn_nst_voc.py'

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
teacher_checkpoint = 'work_dirs/faster_rcnn_inception_bn_voc0712/epoch_4.pth'
kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)
loss_weight = 50.0  # the paper's lambda; its 1/2 is inside
layer = 'backbone.inception_4b'
width = 0.5  # of every layer of the student

channels_4b = sum(max(8, int(c * width / 8 + 0.5) * 8) for c in (192, 128, 128, 128))
channels_5b = sum(max(8, int(c * width / 8 + 0.5) * 8) for c in (352, 320, 224, 128))
model = dict(
    student=dict(
        backbone=dict(width=width),
        rpn_head=dict(in_channels=channels_4b),
        roi_head=dict(
            shared_head=dict(width=width),
            bbox_roi_extractor=dict(out_channels=channels_4b),
            bbox_head=dict(in_channels=channels_5b),
        ),
    ),
    teacher=dict(checkpoint=teacher_checkpoint),
    transfers=[
        dict(layer=layer, loss=dict(type='NSTLoss', loss_weight=loss_weight, kernel=kernel))
    ],
)
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
