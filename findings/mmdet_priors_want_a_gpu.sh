#!/usr/bin/env bash
# The anchors or points of a detector, asked for with prior_generator.grid_priors(sizes), on a CPU.
#
# One would guess: they lie on the CPU, as tensors do where no device is named.
# What happens (mmdet 3.3.0, torch 2.14.1): the default of the argument is device='cuda', in all
# generators. Without a GPU that is an error about NVIDIA's driver; with one, a detector that lies
# on the CPU gets anchors on the GPU.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'AnchorGenerator: cuda, YOLOAnchorGenerator: cuda, MlvlPointGenerator: cuda' <<'PYTHON'
import inspect

import no_ops
from mmdet.models import task_modules

names = 'AnchorGenerator', 'YOLOAnchorGenerator', 'MlvlPointGenerator'
defaults = {}
for name in names:
    defaults[name] = inspect.signature(getattr(task_modules, name).grid_priors).parameters['device'].default
print(', '.join(f'{name}: {default}' for name, default in defaults.items()))
PYTHON
