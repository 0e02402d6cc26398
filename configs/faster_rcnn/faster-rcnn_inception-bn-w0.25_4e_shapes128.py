# The student of table 4 on drawn shapes: the demo's, on fewer and smaller images.
_base_ = './faster-rcnn_inception-bn-w0.25_5e_shapes.py'

# What you may want to change.
data_root = 'data/shapes_table/VOCdevkit/'  # as `make table-demo` draws it
max_epochs = 4

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
_base_.param_scheduler[1].T_max = max_epochs
default_hooks = dict(checkpoint=dict(interval=1))
