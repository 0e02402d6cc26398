# mmrazor's distill/mmdet/pkd/pkd_fpn_mask-rcnn_swin_retina_r50_2x_coco.py
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'
custom_imports = dict(imports=['nst_det'], allow_failed_imports=False)

model = dict(
    _delete_=True,
    type='NSTDistiller',
    student=_base_.model,
    teacher=dict(
        config='mmdet::swin/mask-rcnn_swin-s-p4-w7_fpn_amp-ms-crop-3x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/swin/mask_rcnn_swin-s-p4-w7_fpn_fp16_ms-crop-3x_coco/mask_rcnn_swin-s-p4-w7_fpn_fp16_ms-crop-3x_coco_20210903_104808-b92c91f1.pth',
    ),
    transfers=[
        dict(layer=f'neck[{level}]', loss=dict(type='PKDLoss', loss_weight=6.0, mode='code'))
        for level in range(4)
    ],
)
