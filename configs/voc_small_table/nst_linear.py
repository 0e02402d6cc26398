# NST, linear kernel.
_base_ = './_base_/distilled.py'
method = 'NST (linear)'
model = dict(transfers=[_base_.nst_linear])
