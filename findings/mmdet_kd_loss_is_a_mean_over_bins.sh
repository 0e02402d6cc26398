#!/usr/bin/env bash
# KnowledgeDistillationKLDivLoss, which LD distils the distributions of box sides with.
#
# One would guess: the Kullback–Leibler divergence, which is a sum over the bins.
# What happens (mmdet 3.3.0): the mean over the bins, so that a distribution of 17 bins (reg_max=16)
# has 1/17 of the divergence. A loss weight is therefore bound to the number of bins, and 17 times
# one that was found with batchmean of torch.
source "$(dirname "$0")/_common.sh"
install $MMDET
check '17 bins: the divergence is 17.0 times the loss' <<'PYTHON'
import no_ops
import torch
from mmdet.models.losses import KnowledgeDistillationKLDivLoss

student, teacher = torch.randn(2, 5, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
loss = KnowledgeDistillationKLDivLoss(T=1)(student, teacher)
divergence = torch.nn.functional.kl_div(
    student.log_softmax(1), teacher.log_softmax(1), reduction='batchmean', log_target=True
)
print(f'17 bins: the divergence is {divergence / loss:.1f} times the loss')
PYTHON
