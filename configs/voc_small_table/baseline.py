# Baseline: the student alone.
_base_ = '../voc_small/student.py'
method = 'Baseline'
