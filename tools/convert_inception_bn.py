"""Convert published Inception-BN weights into a checkpoint with the names of this package.

It reads PyTorch's bninception files and MXNet's .params, those of the authors of NST among them.
Training does not need it: init_cfg=dict(type='Pretrained', checkpoint=…) reads such files too.
"""

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING

import nst_det_tool

if TYPE_CHECKING:
    from torch import Tensor


def parse_args() -> argparse.Namespace:
    from nst_det.errors import UserError, refuse_existing
    from nst_det.fileio.find import check_checkpoint

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('input', metavar='IN', help='path or URL of the published file')
    parser.add_argument('output', metavar='OUT', help='checkpoint to write; must not exist yet')
    parser.add_argument(
        '--fold-bn-data',
        action='store_true',
        help='replace the input batch norm of MXNet files, bn_data, by the settings of a '
        'data_preprocessor, which are printed. This is faster, and images are padded with the mean',
    )
    args = parser.parse_args()
    check_checkpoint(args.input)
    output = Path(args.output)
    refuse_existing(output)
    if not output.parent.is_dir():
        raise UserError(
            f'there is no folder {output.parent.absolute()} to write {output.name} into'
        )
    return args


def main(args: argparse.Namespace) -> None:
    import torch

    from nst_det.errors import UserError
    from nst_det.fileio.atomic import write_atomically
    from nst_det.models.backbones.inception_bn.published_weights import (
        OWN,
        fold_normalisation,
        normalisation,
        read_published,
    )
    from nst_det.models.backbones.inception_bn.specs import VARIANTS

    published = read_published(args.input)
    weights = published.weights
    if published.family == OWN:
        raise UserError(
            f'{args.input} holds none of the names of bninception or MXNet files: it has the '
            'names of this package already, or is of another network'
        )
    variant = published.variants[0]
    print(f'{args.input}: {published.family} names, so variant={variant!r}')
    if args.fold_bn_data:
        if 'bn_data.weight' not in weights:
            raise UserError(
                f'--fold-bn-data: {args.input} has no bn_data, only files of the variant mxnet have'
            )
        eps = VARIANTS[variant].eps
        mean, std = (
            [round(value, 5) for value in values] for values in normalisation(weights, eps)
        )
        weights = fold_normalisation(weights, eps)
        print(f'bn_data folded: data_preprocessor=dict(mean={mean}, std={std}, bgr_to_rgb=True)')
    missing = missing_layers(weights, variant, args.input)
    print(f'{len(weights) - len(published.added)} tensors converted')
    if published.added:
        print(f'{len(published.added)} convolutions have no bias: a bias of 0 was added')
    if published.classifier:
        print(f'the classifier was left out: {", ".join(published.classifier)}')
    if missing:
        print(f'the file ends early, it does not hold {", ".join(missing)}')
    content = io.BytesIO()
    torch.save(dict(state_dict=weights, meta=dict(source=args.input, variant=variant)), content)
    write_atomically(Path(args.output), content.getvalue())
    print(f'Wrote {args.output}')


def missing_layers(weights: 'dict[str, Tensor]', variant: str, source: str) -> list[str]:
    """List the last layers of the network that a file does not hold.

    Raises:
        UserError: If the file lacks weights of any other layer.
    """
    from nst_det.errors import UserError
    from nst_det.models import InceptionBN

    network = InceptionBN(variant=variant, out_layers=('5b',)).state_dict()
    needed = [key for key in network if not key.endswith('num_batches_tracked')]
    missing = [key for key in needed if key not in weights]
    layers = list(dict.fromkeys(key.split('.')[0] for key in missing))
    ended = [key for key in needed if key.split('.')[0] in layers]
    if missing != ended or missing != needed[len(needed) - len(missing) :]:
        raise UserError(
            f'{source} lacks {len(missing)} of the {len(needed)} weights of Inception-BN, such as '
            f'{missing[0]!r}, and holds others after it: it is damaged, download it again'
        )
    return layers


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main)
