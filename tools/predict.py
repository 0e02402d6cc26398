"""Detect objects in images with a trained checkpoint or an exported model.

The model is a checkpoint (.pth), an ONNX file or the folder of an OpenVINO model. Exported models
need neither torch nor mmdet: numpy, Pillow and the runtime are enough.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import nst_det_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nst_det.errors import UserError
    from nst_det.runtime.detections import ImageDetections

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


def parse_args() -> argparse.Namespace:
    from nst_det.cli import check_different
    from nst_det.config.find import find_config
    from nst_det.errors import UserError, refuse_existing
    from nst_det.fileio.find import find_checkpoint
    from nst_det.fileio.trusted import TRUST_OPTION, trust

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='checkpoint, .onnx file or OpenVINO folder')
    parser.add_argument('images', nargs='+', help='image files, or folders of them')
    parser.add_argument(
        '-o', '--out', metavar='FOLDER', help='write the images with their detections here'
    )
    parser.add_argument('--json', metavar='FILE', help='write the detections as COCO JSON')
    parser.add_argument('--csv', metavar='FILE', help='write the detections as CSV')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        metavar='SCORE',
        help='leave out detections with a lower score (default: 0.3)',
    )
    parser.add_argument(
        '--batch-size', type=int, default=1, help='images in a batch, at most (default: 1)'
    )
    parser.add_argument(
        '--threads', type=int, default=0, help='threads of the runtime (default: one per core)'
    )
    parser.add_argument(
        '--config', help='config of a checkpoint (default: the one in the checkpoint)'
    )
    parser.add_argument(
        TRUST_OPTION,
        metavar='FILE',
        action='append',
        default=[],
        help='DANGEROUS: let this checkpoint file run any code that it holds',
    )
    args = parser.parse_args()
    if not 0 <= args.score_thr <= 1:
        raise UserError(f'--score-thr is {args.score_thr}, expected a number from 0 to 1')
    if args.batch_size < 1 or args.threads < 0:
        raise UserError('--batch-size and --threads are numbers of at least 1 and 0')
    if Path(args.model).suffix.lower() in SUFFIXES:
        raise UserError(f'the model is {args.model}, an image: the model comes first')
    if is_checkpoint(args):
        find_checkpoint(args.model)
        trust(args.trust_pickled_checkpoint)
        if args.config is not None:
            find_config(args.config)
    elif not Path(args.model).exists():
        raise UserError(f'there is no model {Path(args.model).absolute()}')
    elif args.config is not None:
        raise UserError(f'--config is for checkpoints, and {args.model} is an exported model')
    outputs = [Path(file) for file in (args.out, args.json, args.csv) if file is not None]
    check_different('-o, --json and --csv', outputs)
    for file in outputs:
        refuse_existing(file)
    args.images = find_images(args.images)
    return args


def is_checkpoint(args: argparse.Namespace) -> bool:
    """Whether the model is a checkpoint, for which torch and mmdet are needed."""
    model = Path(args.model)
    return model.suffix not in ('.onnx', '.xml') and not model.is_dir()


def find_images(paths: list[str]) -> list[Path]:
    """Find the image files that were named, or that are in the folders that were named."""
    from nst_det.errors import UserError
    from nst_det.fileio.find import find_image

    files = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            if not inside:
                raise UserError(f'there are no images in {path.absolute()}')
            files += inside
        else:
            files.append(find_image(path))
    return files


def main(args: argparse.Namespace) -> None:
    from nst_det.errors import UserError
    from nst_det.fileio.atomic import write_atomically
    from nst_det.runtime.output import CocoDetections, csv_text, write_picture

    left_out: list[UserError] = []

    def leave_out(error: UserError) -> None:
        left_out.append(error)
        print(f'{error}: left out', file=sys.stderr, flush=True)

    classes, detections = start(args, leave_out if len(args.images) > 1 else None)
    coco = CocoDetections(classes)
    found = []
    for one in detections:
        one = one.above(args.score_thr)
        counts = [(name, int((one.labels == i).sum())) for i, name in enumerate(classes)]
        text = ', '.join(f'{count} {name}' for name, count in counts if count) or 'nothing'
        print(f'{one.file}: {text}', flush=True)
        coco.add(one)
        found.append(replace(one, masks=None))
        if args.out:
            write_picture(one, classes, Path(args.out) / picture_name(len(found), one.file))
    if found and args.json:
        write_atomically(args.json, coco.text().encode())
        print(f'Wrote {args.json}')
    if found and args.csv:
        write_atomically(args.csv, csv_text(found, classes).encode())
        print(f'Wrote {args.csv}')
    if found and args.out:
        print(f'Wrote {len(found)} pictures to {args.out}')
    if left_out:
        raise UserError(
            f'{len(left_out)} of {len(args.images)} images were left out, see above; the results '
            f'are of {len(found)}'
        )


def picture_name(number: int, file: Path) -> str:
    """Name a picture, so that two images of one name in different folders keep both of theirs."""
    suffix = '' if file.suffix.lower() in SUFFIXES else '.png'
    return f'{number:04d}_{file.name}{suffix}'


def start(
    args: argparse.Namespace, leave_out: 'Callable[[UserError], object] | None'
) -> 'tuple[tuple[str, ...], Iterator[ImageDetections]]':
    """Open the model: gives its classes, and the detections as they are found."""
    if is_checkpoint(args):
        from mmengine.logging import MMLogger

        from nst_det.apis.predict import CheckpointModel

        MMLogger.get_current_instance().setLevel('WARNING')
        model = CheckpointModel(args.model, args.config)
        return model.classes, model.detect(args.images, leave_out)
    from nst_det.runtime.detections import detect
    from nst_det.runtime.session import open_session

    session = open_session(args.model, args.threads)
    return session.info.classes, detect(session, args.images, args.batch_size, leave_out)


if __name__ == '__main__':
    nst_det_tool.run(parse_args, main, needs_mmdet=is_checkpoint)
