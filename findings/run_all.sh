#!/usr/bin/env bash
# Runs the findings one after another, each in an environment of its own; equal environments are made
# once. It takes some gigabytes in the temporary folder while it runs. Fails if one of them fails.
set -euo pipefail
cd "$(dirname "$0")"
export ENVIRONMENTS
ENVIRONMENTS=$(mktemp -d)
trap 'rm -rf "$ENVIRONMENTS"' EXIT
passed=0 failed=()
for finding in [!_]*.sh; do
  [ "$finding" != run_all.sh ] || continue
  echo "== ${finding%.sh}"
  if bash "$finding"; then passed=$((passed + 1)); else failed+=("${finding%.sh}"); fi
done
echo "$passed findings are as they are described, ${#failed[@]} are not: ${failed[*]:-none}"
[ ${#failed[@]} = 0 ]
