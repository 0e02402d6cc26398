# NST, Gaussian kernel.
_base_ = './_base_/distilled.py'
method = 'NST (Gaussian)'
model = dict(transfers=[_base_.nst_gaussian])
