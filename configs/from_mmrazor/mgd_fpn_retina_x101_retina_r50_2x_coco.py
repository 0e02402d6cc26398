# mmrazor's distill/mmdet/mgd/mgd_fpn_retina_x101_retina_r50_2x_coco.py
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'
custom_imports = dict(imports=['nst_det'], allow_failed_imports=False)

teacher_weights = 'https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_x101_64x4d_fpn_1x_coco/retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1.pth'
_base_.model.neck.init_cfg = dict(type='Pretrained', prefix='neck.', checkpoint=teacher_weights)
_base_.model.bbox_head.init_cfg = dict(
    type='Pretrained', prefix='bbox_head.', checkpoint=teacher_weights
)

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(
        config='mmdet::retinanet/retinanet_x101-64x4d_fpn_1x_coco.py',
        checkpoint=teacher_weights,
    ),
    transfers=[
        dict(
            layer=f'neck.fpn_convs.{level}.conv',
            loss=dict(type='MGDLoss', loss_weight=2e-5, mask_ratio=0.65),
        )
        for level in range(5)
    ],
)

optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
