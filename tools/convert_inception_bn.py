"""Convert published Inception-BN weights into a checkpoint of this package's names.

Takes PyTorch's bninception files and MXNet's .params (those of the authors of NST among them). Not
needed for training: init_cfg=dict(type='Pretrained', checkpoint=…) takes such files as they are.
"""

import argparse
import io
from pathlib import Path

import torch
from torch import Tensor

from nst_det.cli import run
from nst_det.errors import UserError
from nst_det.fileio.atomic import write_atomically
from nst_det.models import InceptionBN
from nst_det.models.backbones.inception_bn.published_weights import (
    OWN,
    fold_normalisation,
    normalisation,
    read_published,
)
from nst_det.models.backbones.inception_bn.specs import VARIANTS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('input', metavar='IN', help='the published file: a path or URL')
    parser.add_argument('output', metavar='OUT', help='the checkpoint to write; must not exist yet')
    parser.add_argument(
        '--fold-bn-data',
        action='store_true',
        help="make MXNet's input norm do nothing, and print the data_preprocessor that does its "
        'work: faster, and an image is then padded with its mean',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    output = Path(args.output)
    if output.exists():
        raise UserError(f'{output} exists already: choose another name, or move it away')
    if not output.parent.is_dir():
        raise UserError(
            f'there is no folder {output.parent.absolute()} to write {output.name} into'
        )
    published = read_published(args.input)
    weights = published.weights
    if published.family == OWN:
        raise UserError(
            f'{args.input} holds none of the names of bninception or MXNet files: it is of this '
            'package already, or of another network'
        )
    variant = 'mxnet' if published.family == 'mxnet' else 'caffe'
    print(f'{args.input}: {published.family} names, so variant={variant!r}')
    if args.fold_bn_data:
        if 'bn_data.weight' not in weights:
            raise UserError(f'--fold-bn-data: {args.input} has no bn_data, only MXNet files have')
        eps = VARIANTS[variant].eps
        mean, std = (
            [round(value, 5) for value in values] for values in normalisation(weights, eps)
        )
        weights = fold_normalisation(weights, eps)
        print(f'bn_data folded: data_preprocessor=dict(mean={mean}, std={std}, bgr_to_rgb=True)')
    missing = missing_layers(weights, variant, args.input)
    print(f'{len(weights) - len(published.added)} tensors converted to their names here')
    if published.added:
        print(f'{len(published.added)} convolutions have no bias: 0 written')
    if published.classifier:
        print(f'left out, the classifier: {", ".join(published.classifier)}')
    if missing:
        print(f'the file ends early, it does not hold {", ".join(missing)}')
    content = io.BytesIO()
    torch.save(dict(state_dict=weights, meta=dict(source=args.input, variant=variant)), content)
    write_atomically(output, content.getvalue())
    print(f'written: {output}')


def missing_layers(weights: dict[str, Tensor], variant: str, source: str) -> list[str]:
    """The layers that a file ends before; a file that lacks anything else is refused."""
    network = InceptionBN(variant=variant, out_layers=('5b',)).state_dict()
    needed = [key for key in network if not key.endswith('num_batches_tracked')]
    missing = [key for key in needed if key not in weights]
    layers = list(dict.fromkeys(key.split('.')[0] for key in missing))
    ended = [key for key in needed if key.split('.')[0] in layers]
    if missing != ended or missing != needed[len(needed) - len(missing) :]:
        raise UserError(
            f'{source} lacks {len(missing)} of the {len(needed)} weights of Inception-BN, such as '
            f'{missing[0]!r}, and holds others behind: it is damaged, get it anew'
        )
    return layers


if __name__ == '__main__':
    run(main)
