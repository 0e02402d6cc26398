#!/usr/bin/env bash
# Annotations of VOC with <part> elements, such as the head and the hands of a person, read by
# torchvision's VOCDetection.
#
# One would guess: a list of parts for each object, as there is a list of objects for each image.
# What happens (torchvision 0.29.1): two parts are a list, one part is a dict, none is no key. All
# values are texts.
source "$(dirname "$0")/_common.sh"
install $TORCH
check 'one part: dict, two parts: list' <<'PYTHON'
from xml.etree import ElementTree

from torchvision.datasets import VOCDetection

HEAD, HAND = (f'<part><name>{name}</name></part>' for name in ('head', 'hand'))
kinds = []
for parts in HEAD, HEAD + HAND:
    xml = f'<annotation><object><name>person</name>{parts}</object></annotation>'
    read = VOCDetection.parse_voc_xml(ElementTree.fromstring(xml))
    kinds.append(type(read['annotation']['object'][0]['part']).__name__)
print(f'one part: {kinds[0]}, two parts: {kinds[1]}')
PYTHON
