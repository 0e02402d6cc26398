# mmrazor's distill/mmdet/cwd/cwd_fpn_retina_r101_retina_r50_1x_coco.py
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['nst_det'], allow_failed_imports=False)

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(
        config='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_r101_fpn_2x_coco/retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth',
    ),
    transfers=[
        dict(layer=f'neck[{level}]', loss=dict(type='CWDLoss', loss_weight=10.0, temperature=1.0))
        for level in range(5)
    ],
)
