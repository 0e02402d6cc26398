# KD and NST with the polynomial kernel.
_base_ = './_base_/distilled.py'
method = 'KD + NST (poly)'
model = dict(transfers=[_base_.kd, _base_.nst_poly])
