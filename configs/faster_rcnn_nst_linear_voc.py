# The main experiment with the linear kernel.
_base_ = './faster_rcnn_nst_voc.py'

# What you may want to change.
data_root = 'data/VOCdevkit/'  # holds VOC2007/
teacher_checkpoint = 'work_dirs/faster_rcnn_inception_bn_voc0712/epoch_4.pth'
kernel = dict(type='LinearKernel')
loss_weight = 50.0  # the paper's lambda; its 1/2 is inside
layer = 'backbone.inception_4b'

model = dict(
    teacher=dict(checkpoint=teacher_checkpoint),
    transfers=[
        dict(layer=layer, loss=dict(type='NSTLoss', loss_weight=loss_weight, kernel=kernel))
    ],
)
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
