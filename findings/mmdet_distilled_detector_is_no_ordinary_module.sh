#!/usr/bin/env bash
# KnowledgeDistillationSingleStageDetector, the base of mmdet's LD, used as other modules are.
#
# One would guess: .eval() returns the detector, .to() takes a type as well as a device, and the
# parameters of both networks are counted.
# What happens (mmdet 3.3.0): .eval() and .train() return None, .to(torch.float16) or
# .to(other_tensor) moves nothing or raises an error, and the teacher is in neither parameters() nor
# modules().
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'eval() returns None; to(device, dtype): TypeError; parameters 4, of which the teacher has 0' <<'PYTHON'
import no_ops
import torch
from mmdet.models.detectors.kd_one_stage import KnowledgeDistillationSingleStageDetector

detector = KnowledgeDistillationSingleStageDetector.__new__(KnowledgeDistillationSingleStageDetector)
torch.nn.Module.__init__(detector)
detector.eval_teacher = True
detector.teacher_model = torch.nn.Linear(5, 5)
detector.bbox_head = torch.nn.Linear(3, 1)
returned = detector.eval()
try:
    detector.to('cpu', torch.float64)
    moved = 'moved'
except TypeError as error:
    moved = type(error).__name__
total = sum(parameter.numel() for parameter in detector.parameters())
print(
    f'eval() returns {returned}; to(device, dtype): {moved}; '
    f'parameters {total}, of which the teacher has {total - 4}'
)
PYTHON
