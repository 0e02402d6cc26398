#!/usr/bin/env bash
# Train on a Slurm cluster, one process a GPU:
#     GPUS=64 tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
# The environment may say: GPUS (in all, 8 unless given), GPUS_PER_NODE (8, or GPUS where fewer),
# CPUS_PER_TASK (5, of which the data workers live), SRUN_ARGS (more options of srun), PYTHON.
set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: $0 PARTITION JOB_NAME CONFIG [options of tools/train.py]" >&2
  exit 2
fi
partition=$1 job=$2 config=$3
shift 3
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
# shellcheck disable=SC2086  # SRUN_ARGS are several words
exec srun --partition="$partition" --job-name="$job" --ntasks="$gpus" \
  --ntasks-per-node="$per_node" --gres="gpu:$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" \
  --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$config" --launcher slurm "$@"
