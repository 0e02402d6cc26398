# EfficientNet-Lite0 with ImageNet weights learns from EfficientNet-Lite2 by KD and NST.
_base_ = './nst_faster-rcnn_efficientnet-lite0_efficientnet-lite2_320-4e_voc07.py'

method = 'KD + NST (poly)'  # its name in a table

kd = dict(loss=dict(type='KDLoss', loss_weight='auto', temperature=4.0))
model = dict(transfers=[kd, *_base_.model.transfers])
