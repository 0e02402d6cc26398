# The rows of table 4 of the NST paper, with two more combinations, and the transfers of each row.
# A table names this file and its student as its bases, and builds the model of the row that the
# environment variable ROW names.
row = '{{$ROW:baseline}}'

rows = dict(
    baseline=dict(method='Baseline', transfers=[]),
    kd=dict(method='KD', transfers=['kd']),
    fitnet=dict(method='FitNet', transfers=['fitnet']),
    at=dict(method='AT', transfers=['at']),
    nst_linear=dict(method='NST (linear)', transfers=['nst_linear']),
    nst_poly=dict(method='NST (poly)', transfers=['nst_poly']),
    nst_gaussian=dict(method='NST (Gaussian)', transfers=['nst_gaussian']),
    kd_nst=dict(method='KD + NST (poly)', transfers=['kd', 'nst_poly']),
    kd_fitnet=dict(method='KD + FitNet', transfers=['kd', 'fitnet']),
    kd_at=dict(method='KD + AT', transfers=['kd', 'at']),
)
assert row in rows, f'ROW is {row}, expected one of {", ".join(rows)}'
method, transfers_of_row = rows[row]['method'], rows[row]['transfers']

# The weights are the paper's. The weight of KD is 1 because T² = 16 is in the loss.
layer = 'backbone.inception_4b'
transfers = dict(
    kd=dict(loss=dict(type='KDLoss', loss_weight=1.0, temperature=4.0)),
    fitnet=dict(layer=layer, loss=dict(type='FitNetLoss', loss_weight=100.0)),
    at=dict(layer=layer, loss=dict(type='ATLoss', loss_weight=1000.0, mode='code')),
    nst_linear=dict(
        layer=layer, loss=dict(type='NSTLoss', loss_weight=50.0, kernel=dict(type='LinearKernel'))
    ),
    nst_poly=dict(
        layer=layer,
        loss=dict(type='NSTLoss', loss_weight=50.0, kernel=dict(type='PolynomialKernel', degree=2)),
    ),
    nst_gaussian=dict(
        layer=layer,
        loss=dict(type='NSTLoss', loss_weight=100.0, kernel=dict(type='GaussianKernel')),
    ),
)
