#!/usr/bin/env bash
# A transposed array, saved by safetensors.numpy.save_file and read again.
#
# One would guess: the same array, or an error, as safetensors.torch raises for such tensors.
# What happens (safetensors 0.8.0, NumPy 2.4.6): the shape is that of the view, the values are those
# of the memory beneath, in its order. Weights that are transposed on the way from another
# framework, or cut out of an array, are wrong in the file, and nothing tells it.
source "$(dirname "$0")/_common.sh"
install safetensors==0.8.0 numpy==2.4.6
check 'saved [[0, 3], [1, 4], [2, 5]], read [[0, 1], [2, 3], [4, 5]]
saved [[0, 2], [3, 5]], read [[0, 1], [2, 3]]' <<'PYTHON'
import numpy as np
from safetensors.numpy import load_file, save_file

array = np.arange(6).reshape(2, 3)
for view in array.T, array[:, ::2]:
    save_file({'weight': view}, 'weights.safetensors')
    print(f'saved {view.tolist()}, read {load_file("weights.safetensors")["weight"].tolist()}')
PYTHON
