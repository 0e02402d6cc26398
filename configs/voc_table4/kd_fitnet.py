# KD and FitNet.
_base_ = './_base_/distilled.py'
method = 'KD + FitNet'
model = dict(transfers=[_base_.kd, _base_.fitnet])
