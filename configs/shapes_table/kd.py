# KD: the teacher's softened class scores.
_base_ = './_base_/distilled.py'
method = 'KD'
model = dict(transfers=[_base_.kd])
