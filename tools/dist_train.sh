#!/usr/bin/env bash
# Train on N GPUs of this machine, or with N processes on its CPUs where it has no GPU:
#     tools/dist_train.sh CONFIG N [options of tools/train.py]
# On several machines, the same on each, with the environment variables NNODES (how many), NODE_RANK
# (which one this is, from 0), MASTER_ADDR (the first one's address) and PORT (free there).
# PYTHON names the interpreter.
set -euo pipefail
if [ $# -lt 2 ] || ! [[ $2 =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: $0 CONFIG N [options of tools/train.py]; N is the number of GPUs" >&2
  exit 2
fi
config=$1 gpus=$2
shift 2
if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
  meet=(--standalone)  # torchrun finds a free port
else
  meet=(--nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}"
    --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${PORT:-29500}")
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${meet[@]}" --nproc_per_node "$gpus" \
  "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
