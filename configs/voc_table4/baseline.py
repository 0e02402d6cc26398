# Baseline: the student alone.
_base_ = './_base_/student.py'
method = 'Baseline'
