# The teacher of VOC2007 at 320 pixels: twice the student's width.
_base_ = './student.py'

# What you may want to change.
width = 0.5  # of every layer

channels_4b = sum(max(8, int(c * width / 8 + 0.5) * 8) for c in (192, 128, 128, 128))
channels_5b = sum(max(8, int(c * width / 8 + 0.5) * 8) for c in (352, 320, 224, 128))
model = dict(
    backbone=dict(width=width),
    rpn_head=dict(in_channels=channels_4b),
    roi_head=dict(
        shared_head=dict(width=width),
        bbox_roi_extractor=dict(out_channels=channels_4b),
        bbox_head=dict(in_channels=channels_5b),
    ),
)
