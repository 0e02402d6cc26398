# AT: the map of activation attention.
_base_ = './_base_/distilled.py'
method = 'AT'
model = dict(transfers=[_base_.at])
