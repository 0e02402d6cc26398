#!/usr/bin/env bash
# Train on N GPUs of this machine, or with N processes on its CPUs where it has no GPU:
#     tools/dist_train.sh CONFIG N [options of tools/train.py]
# On several machines, the same on each, with the environment variables NNODES (how many),
# MASTER_ADDR (the address of one of them, the same for all) and PORT (free there). Each machine asks
# there who else takes part; the ranks follow from that. MAX_RESTARTS (0) is how often all begin again
# together after one has failed: give --resume too, and they go on from the last checkpoint.
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
  meet=(--nnodes "${NNODES:-1}" --rdzv-backend c10d --rdzv-id nst_det
    --rdzv-endpoint "${MASTER_ADDR:-127.0.0.1}:${PORT:-29500}")
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${meet[@]}" --nproc_per_node "$gpus" \
  --max-restarts "${MAX_RESTARTS:-0}" \
  "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
