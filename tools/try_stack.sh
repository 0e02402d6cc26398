#!/usr/bin/env bash
# Runs the tests with other versions of what this package builds on:
#   tools/try_stack.sh STACK [TESTS…]
# STACK is "default", for requirements.txt, or names a file of requirements/, such as "onedl". TESTS are
# files or folders of tests; by default all that `make test` runs. The script copies the checkout, makes
# an environment in the copy, writes the log to work_dirs/stacks/STACK.log, prints a row for the table of
# docs/stacks.md and deletes the copy. From the environment it takes
#   PYTHON     the Python that makes the environment; defaults to python3
#   PROCESSES  how many processes run tests; defaults to one a core, at most four
#   KEEP       a folder in which the copy is kept for the next call; defaults to none
set -euo pipefail
cd "$(dirname "$0")/.."
stacks=$(basename -s .txt requirements/*.txt | grep -vx common | xargs)
stack=${1:-}
[ $# = 0 ] || shift
if [ "$stack" = default ]; then
  requirements=requirements.txt variables=() environment=.venv
else
  requirements=requirements/$stack.txt variables=("STACK=$stack") environment=.venv-$stack
fi
[ -e "$requirements" ] || { echo "error: no stack '$stack', only: default $stacks" >&2; exit 2; }
[ $# = 0 ] || variables+=("TESTS=$*")

if [ -n "${KEEP:-}" ]; then
  copy=$KEEP/$stack
else
  copy=$(mktemp -d)
  trap 'rm -rf "$copy"' EXIT
fi
log=work_dirs/stacks/$stack.log
mkdir -p "$copy" "$(dirname "$log")"
tar -c --exclude='./.venv*' --exclude=./.git --exclude=./data --exclude=./work_dirs . |
  tar -x -C "$copy"

echo "== $stack: the log is $PWD/$log"
status=0
make -C "$copy" "${variables[@]}" test > "$log" 2>&1 || status=$?
result=$(sed -nE 's/^=+ (.* in [0-9.]+s( \(.*\))?) =+$/\1/p' "$log" | tail -n 1)
versions='import sys
from importlib.metadata import version
from platform import python_version
print(f"Python {python_version()}", *(f"{name} {version(name)}" for name in sys.argv[1:]), sep=", ")'
printf '| `%s` | %s | %s |\n' "$stack" \
  "$("$copy/$environment/bin/python" -c "$versions" torch numpy opencv-python)" \
  "${result:-ended with status $status}"
exit "$status"
