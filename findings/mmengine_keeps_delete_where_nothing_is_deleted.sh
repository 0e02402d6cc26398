#!/usr/bin/env bash
# _delete_=True in a config, in a new key and in a dict inside a list such as custom_hooks.
#
# One would guess: it is a word for the reader of configs, who takes it out everywhere.
# What happens (mmengine 0.10.7): only where the base has a dict under the same key. In a new key,
# and in each dict of a list, it stays, and the class that is built gets an argument _delete_.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'same key: {'\''type'\'': '\''B'\''}
new key: {'\''_delete_'\'': True, '\''type'\'': '\''B'\''}
in a list: [{'\''_delete_'\'': True, '\''type'\'': '\''B'\''}]' <<'PYTHON'
from mmengine.config import Config

with open('base.py', 'w') as file:
    file.write("neck = dict(type='A', depth=1)\nhooks = [dict(type='A', depth=1)]\n")
with open('child.py', 'w') as file:
    file.write(
        "_base_ = 'base.py'\n"
        "neck = dict(_delete_=True, type='B')\n"
        "head = dict(_delete_=True, type='B')\n"
        "hooks = [dict(_delete_=True, type='B')]\n"
    )
config = Config.fromfile('child.py')
print(f'same key: {config.neck}\nnew key: {config.head}\nin a list: {config.hooks}')
PYTHON
