# mmrazor's distill/mmdet/pkd/pkd_fpn_retina_x101_retina_r50_2x_coco.py
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'
custom_imports = dict(imports=['nst_det'], allow_failed_imports=False)

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(
        config='mmdet::retinanet/retinanet_x101-64x4d_fpn_1x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_x101_64x4d_fpn_1x_coco/retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1.pth',
    ),
    transfers=[
        dict(layer=f'neck[{level}]', loss=dict(type='PKDLoss', loss_weight=10.0, mode='code'))
        for level in range(4)
    ],
)
