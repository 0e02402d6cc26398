# The main experiment with the linear kernel.
_base_ = './faster_rcnn_nst_voc.py'

# What you may want to change.
kernel = dict(type='LinearKernel')
loss_weight = 50.0  # the paper's lambda; its 1/2 is inside
layer = 'backbone.inception_4b'

model = dict(
    transfers=[dict(layer=layer, loss=dict(type='NSTLoss', loss_weight=loss_weight, kernel=kernel))]
)
