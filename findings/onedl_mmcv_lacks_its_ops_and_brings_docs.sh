#!/usr/bin/env bash
# What pip installs as onedl-mmcv, the maintained fork of mmcv.
#
# One would guess: pip install onedl-mmcv brings mmcv with its compiled ops.
# What happens (onedl-mmcv 2.3.6 on Linux): there is no wheel. pip builds it where there is no torch, so
# without a compiled op, and it installs a second package, whose name is docs.
source "$(dirname "$0")/_common.sh"
install --no-deps --no-binary onedl-mmcv onedl-mmcv==2.3.6
check 'packages: docs mmcv
compiled files: 0' <<'PYTHON'
from importlib.metadata import files

installed = [file for file in files('onedl-mmcv') if file.parts[0] != '..']
folders = {file.parts[0] for file in installed if not file.parts[0].endswith('.dist-info')}
print('packages:', *sorted(folders))
print('compiled files:', sum(file.suffix == '.so' for file in installed))
PYTHON
