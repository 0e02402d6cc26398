# What each method of the NST paper's table 4 transfers, with the weights of the paper's experiments
# (KD's is 1 because T² = 16 is in the loss).
layer = 'backbone.inception_4b'
kd = dict(loss=dict(type='KDLoss', loss_weight=1.0, temperature=4.0))
fitnet = dict(layer=layer, loss=dict(type='FitNetLoss', loss_weight=100.0))
at = dict(layer=layer, loss=dict(type='ATLoss', loss_weight=1000.0, mode='code'))
nst_linear = dict(
    layer=layer, loss=dict(type='NSTLoss', loss_weight=50.0, kernel=dict(type='LinearKernel'))
)
nst_poly = dict(
    layer=layer,
    loss=dict(type='NSTLoss', loss_weight=50.0, kernel=dict(type='PolynomialKernel', degree=2)),
)
nst_gaussian = dict(
    layer=layer, loss=dict(type='NSTLoss', loss_weight=100.0, kernel=dict(type='GaussianKernel'))
)
