# The rows of a comparison of losses: each has one, between the feature maps of a layer or between
# predictions. A table names this file and its student as its bases, and builds the model of the
# row that the environment variable ROW names. All weights are measured in the first iterations.
layer = 'backbone.inception_4b'

rows = dict(
    baseline=dict(method='Baseline'),
    fitnet=dict(
        method='FitNet',
        transfer=dict(layer=layer, loss=dict(type='FitNetLoss', loss_weight='auto')),
    ),
    at=dict(method='AT', transfer=dict(layer=layer, loss=dict(type='ATLoss', loss_weight='auto'))),
    nst_linear=dict(
        method='NST (linear)',
        transfer=dict(
            layer=layer,
            loss=dict(type='NSTLoss', loss_weight='auto', kernel=dict(type='LinearKernel')),
        ),
    ),
    nst_poly=dict(
        method='NST (poly)',
        transfer=dict(
            layer=layer,
            loss=dict(type='NSTLoss', loss_weight='auto', kernel=dict(type='PolynomialKernel')),
        ),
    ),
    nst_gaussian=dict(
        method='NST (Gaussian)',
        transfer=dict(
            layer=layer,
            loss=dict(type='NSTLoss', loss_weight='auto', kernel=dict(type='GaussianKernel')),
        ),
    ),
    nst_objects=dict(
        method='NST (poly), objects alone',
        transfer=dict(
            layer=layer,
            foreground=True,
            loss=dict(type='NSTLoss', loss_weight='auto', kernel=dict(type='PolynomialKernel')),
        ),
    ),
    cwd=dict(
        method='CWD', transfer=dict(layer=layer, loss=dict(type='CWDLoss', loss_weight='auto'))
    ),
    pkd=dict(
        method='PKD', transfer=dict(layer=layer, loss=dict(type='PKDLoss', loss_weight='auto'))
    ),
    mgd=dict(
        method='MGD', transfer=dict(layer=layer, loss=dict(type='MGDLoss', loss_weight='auto'))
    ),
    fgd=dict(
        method='FGD', transfer=dict(layer=layer, loss=dict(type='FGDLoss', loss_weight='auto'))
    ),
    cka=dict(
        method='CKA', transfer=dict(layer=layer, loss=dict(type='CKALoss', loss_weight='auto'))
    ),
    sp=dict(method='SP', transfer=dict(layer=layer, loss=dict(type='SPLoss', loss_weight='auto'))),
    rkd=dict(
        method='RKD', transfer=dict(layer=layer, loss=dict(type='RKDLoss', loss_weight='auto'))
    ),
    kd=dict(method='KD', transfer=dict(loss=dict(type='KDLoss', loss_weight='auto'))),
    ld=dict(method='LD', transfer=dict(loss=dict(type='LDLoss', loss_weight='auto'))),
    crosskd=dict(
        method='CrossKD', transfer=dict(loss=dict(type='CrossKDLoss', loss_weight='auto', stage=2))
    ),
)
