# The main experiment with the Gaussian kernel.
_base_ = '../faster_rcnn_nst_voc.py'

# What you may want to change.
kernel = dict(type='GaussianKernel', sigma_squared=None)
loss_weight = 50.0  # lambda of the paper; the factor 1/2 is inside

model = dict(
    transfers=[
        dict(layer=_base_.layer, loss=dict(type='NSTLoss', loss_weight=loss_weight, kernel=kernel))
    ]
)
