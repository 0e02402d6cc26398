# The teacher of table 4 on drawn shapes: wider than the student, and trained for longer.
_base_ = './faster-rcnn_inception-bn-w0.375_14e_shapes.py'

# What you may want to change.
data_root = 'data/shapes_table/VOCdevkit/'  # as `make table-demo` draws it
max_epochs = 24

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
_base_.param_scheduler[1].T_max = max_epochs
default_hooks = dict(checkpoint=dict(interval=1))
