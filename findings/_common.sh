# What the findings share. Each of them sources this file, then calls
#   install PINS…           which makes an environment with these packages, and nothing else, and
#   check OUTPUT <<PYTHON   which runs a program in it, and fails unless OUTPUT is what it prints last.
# Everything lies in a temporary folder. If ENVIRONMENTS names a folder, as run_all.sh does, findings
# with equal pins share one environment in it. PYTHON is the Python that makes the environments.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# What mmdet 3.3 needs today. The compiled mmcv has no wheels, so no_ops.py stands in for its ops.
MMDET='mmdet==3.3.0 mmengine==0.10.7 mmcv-lite==2.1.0 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
  opencv-python==5.0.0.93 pycocotools==2.0.11 setuptools==81.0.0'
# torch with what it trains with, exports to and is run by.
TORCH='torch==2.14.1 torchvision==0.29.1 timm==1.0.31 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2
  onnxruntime==1.32.0'

# mmdet asks for ops of mmcv when it is imported. No finding calls one of them.
cat > "$folder/no_ops.py" <<'PYTHON'
import sys
import types

sys.modules['mmcv._ext'] = ops = types.ModuleType('mmcv._ext')
ops.__getattr__ = lambda name: None
PYTHON

# The training of a line through four numbers, for the findings about mmengine's Runner.
cat > "$folder/tiny_training.py" <<'PYTHON'
import os

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] = '1'  # to read the checkpoints of this program


class Numbers(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor([float(index)])


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Linear(1, 1)

    def forward(self, x, mode):
        return dict(loss=self.slope(x).square().mean()) if mode == 'loss' else [x]


def runner(work_dir, name, **settings):
    return Runner(
        model=Line(),
        work_dir=work_dir,
        experiment_name=name,
        log_level='ERROR',
        train_dataloader=dict(
            batch_size=1, dataset=Numbers(), sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        **settings,
    )
PYTHON

install() {
  local environment
  environment="${ENVIRONMENTS:-$folder}/$(printf '%s\n' "$@" | sort | cksum | tr ' ' _)"
  python="$environment/bin/python"
  [ ! -e "$environment/complete" ] || return 0
  "${PYTHON:-python3}" -m venv "$environment"
  "$python" -m pip install --quiet --only-binary :all: "$@" 2> "$folder/errors" ||
    { cat "$folder/errors" >&2; exit 1; }
  touch "$environment/complete"
}

check() {
  local output
  cd "$folder"
  cat > program.py
  OMP_NUM_THREADS=1 "$python" program.py > printed 2> errors || { cat printed errors >&2; exit 1; }
  output=$(tail -n "$(wc -l <<< "$1")" printed)
  echo "$output"
  [ "$output" = "$1" ] || { printf 'this has changed; it was\n%s\n' "$1" >&2; exit 1; }
}
