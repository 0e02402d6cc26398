# The teacher of the table of losses on drawn shapes: wider than the student, trained for longer.
_base_ = './gfl_inception-bn-w0.25_4e_shapes128.py'

# What you may want to change.
max_epochs = 24

model = dict(backbone=dict(width=0.375), bbox_head=dict(in_channels=216))  # 4b
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
_base_.param_scheduler[1].T_max = max_epochs
