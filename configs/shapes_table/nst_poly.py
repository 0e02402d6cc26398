# NST, polynomial kernel.
_base_ = './_base_/distilled.py'
method = 'NST (poly)'
model = dict(transfers=[_base_.nst_poly])
