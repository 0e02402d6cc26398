# The table's plain student: the demo's, on a smaller data set and for less time.
_base_ = '../../demo/student.py'

# What you may want to change.
data_root = 'data/shapes_table/VOCdevkit/'  # as `make table-demo` draws it
max_epochs = 4

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=max_epochs)]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))
