# FitNet: the teacher's map itself, through a trained regressor.
_base_ = './_base_/distilled.py'
method = 'FitNet'
model = dict(transfers=[_base_.fitnet])
