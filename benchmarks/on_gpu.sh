#!/usr/bin/env bash
# Check and measure nst_det on a GPU: bash benchmarks/on_gpu.sh [OPTIONS of benchmarks.on_gpu]
# Beside Python and torch it needs the wheels of benchmarks/on_gpu/wheels.txt: installed, or as
# files in the folder WHEELS (default: .whl), from which they go into a folder of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
wheels=${WHEELS:-.whl}
if compgen -G "$wheels/*.whl" > /dev/null; then
  site=$(mktemp -d)
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$wheels"/*.whl
  export PYTHONPATH=$site:$PWD
else
  export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
fi
export PYTHONUNBUFFERED=1 PYTHONWARNINGS=ignore
exec "${PYTHON:-python3}" -m benchmarks.on_gpu "$@"
