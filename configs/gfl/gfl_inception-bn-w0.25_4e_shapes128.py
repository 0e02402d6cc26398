# The student of the table of losses on drawn shapes: a slim GFL.
_base_ = [
    '../_base_/models/gfl_inception-bn-w0.25.py',
    '../_base_/datasets/shapes.py',
    '../_base_/schedules/schedule_5e_adamw.py',
    '../_base_/default_runtime.py',
]

# What you may want to change.
data_root = 'data/shapes_table/VOCdevkit/'  # as `make table-demo` draws it
max_epochs = 4

model = dict(bbox_head=dict(num_classes=4))
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
_base_.param_scheduler[1].T_max = max_epochs
