#!/usr/bin/env bash
# Values of --cfg-options, as mmengine reads them.
#
# One would guess: quotes keep a text a text, "5,05" is a text or a number, and what YAML or Python
# calls a number, or nothing, is one here too.
# What happens (mmengine 0.10.7): quotes are dropped before anything is read, so a class "01"
# becomes the number 1 and "cat,dog" a list; a decimal comma makes [5, 5]; spaces inside quotes are
# dropped; None is nothing, but none, null and 0x10 are texts.
source "$(dirname "$0")/_common.sh"
install $MMDET
check 'quoted: 1 ['\''cat'\'', '\''dog'\''] '\''trafficlight'\'', 5,05: [5, 5], None: None, none: '\''none'\'', 0x10: '\''0x10'\''' <<'PYTHON'
import argparse

from mmengine.config import DictAction

parser = argparse.ArgumentParser()
parser.add_argument('--cfg-options', nargs='+', action=DictAction)
given = ['a="01"', 'b="cat,dog"', 'c="traffic light"', 'd=5,05', 'e=None', 'f=none', 'g=0x10']
read = parser.parse_args(['--cfg-options', *given]).cfg_options
a, b, c, d, e, f, g = map(repr, read.values())
print(f'quoted: {a} {b} {c}, 5,05: {d}, None: {e}, none: {f}, 0x10: {g}')
PYTHON
