# KD and AT.
_base_ = './_base_/distilled.py'
method = 'KD + AT'
model = dict(transfers=[_base_.kd, _base_.at])
