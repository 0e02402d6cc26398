# How strongly KD should pull, alone and beside NST: the demo's detectors on drawn shapes.
#
#   tools/run_table.py configs/tables/kd_weight_shapes.py
#       trains and tests every row; with --rows, some of them.
#   ROW=kd_1 tools/train.py configs/tables/kd_weight_shapes.py
#       trains the row `kd_1` alone. Every tool reads the row that ROW names, else the baseline.
_base_ = '../faster_rcnn/faster-rcnn_inception-bn-w0.25_5e_shapes.py'

# What you may want to change.
teacher_config = '{{ fileDirname }}/../faster_rcnn/faster-rcnn_efficientnet-lite0_3e_shapes.py'
teacher_checkpoint = 'work_dirs/demo/teacher/epoch_3.pth'  # as `make demo` trains it

row = '{{$ROW:baseline}}'
# The number is the ratio of the gradient of KD to that of the detection losses, at the logits.
rows = dict(
    baseline=dict(method='Baseline', transfers=[]),
    nst=dict(method='NST (poly)', transfers=['nst']),
    kd_1=dict(method='KD, ratio 1', transfers=['kd_1']),
    kd_20=dict(method='KD, ratio 20', transfers=['kd_20']),
    kd_1_nst=dict(method='KD, ratio 1, + NST', transfers=['kd_1', 'nst']),
    kd_20_nst=dict(method='KD, ratio 20, + NST', transfers=['kd_20', 'nst']),
)
assert row in rows, f'ROW is {row}, expected one of {", ".join(rows)}'
method = rows[row]['method']

kernel = dict(type='PolynomialKernel', degree=2, offset=0.0)
transfers = dict(
    kd_1=dict(loss=dict(type='KDLoss', loss_weight='auto:1', temperature=4.0)),
    kd_20=dict(loss=dict(type='KDLoss', loss_weight='auto:20', temperature=4.0)),
    nst=dict(
        student_layer='backbone.inception_4b',
        teacher_layer='backbone/16',
        loss=dict(type='NSTLoss', loss_weight='auto', kernel=kernel),
    ),
)
if rows[row]['transfers']:
    model = dict(
        _delete_=True,
        type='NSTDistiller',
        student=_base_.model,
        teacher=dict(config=teacher_config, checkpoint=teacher_checkpoint),
        transfers=[transfers[name] for name in rows[row]['transfers']],
    )
