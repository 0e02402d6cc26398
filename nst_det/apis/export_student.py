"""The student's own files: a plain mmdet checkpoint, and the plain config beside it."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmdet
import mmengine
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from torch import nn

from nst_det.apis.build import build_detector
from nst_det.errors import UserError
from nst_det.fileio.atomic import write_atomically
from nst_det.fileio.state_dict import load_strictly, read_checkpoint
from nst_det.version import __version__

KEPT = ('epoch', 'iter', 'seed', 'experiment_name')  # of what a training notes in its checkpoint


@dataclass(frozen=True)
class StudentFiles:
    """Where a student is written, none of which is there yet.

    Args:
        checkpoint (Path): The checkpoint, a ``.pth``.

    Raises:
        UserError: Where its name ends otherwise, or it or the config beside it is there.
    """

    checkpoint: Path

    def __post_init__(self) -> None:
        if self.checkpoint.suffix != '.pth':
            raise UserError(f'the checkpoint to write is {self.checkpoint}, expected a .pth file')
        for file in (self.checkpoint, self.config):
            if file.exists():
                raise UserError(f'{file} exists already: remove it, or choose another name with -o')

    @property
    def config(self) -> Path:
        """Path: The plain config, of the checkpoint's name."""
        return self.checkpoint.with_suffix('.py')


def load_student(plain: Config, checkpoint: str) -> nn.Module:
    """Build a plain student with the weights of a checkpoint.

    Of a training with EMA these are the averaged ones, which mmengine puts in ``state_dict``.

    Args:
        plain (Config): The plain student's config, see :func:`plain_config`.
        checkpoint (str): The checkpoint of the distiller, or of the plain detector.

    Returns:
        nn.Module: The student, in evaluation mode.

    Raises:
        UserError: Where the checkpoint does not fit.
    """
    student = build_detector(plain)
    load_strictly(student, checkpoint, 'student')
    return student


def write_student(student: nn.Module, plain: Config, trained: str, files: StudentFiles) -> None:
    """Write a student as mmdet's own tools and ``DetInferencer`` read it.

    Args:
        student (nn.Module): The student, with its weights.
        plain (Config): Its config.
        trained (str): The checkpoint that the weights are from: its classes are carried over.
        files (StudentFiles): Where.
    """
    checkpoint = read_checkpoint(trained)
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    buffer = io.BytesIO()
    torch.save(
        dict(
            meta=dict(
                {key: meta[key] for key in KEPT if key in meta},
                dataset_meta=meta.get('dataset_meta') or _dataset_meta(plain),
                cfg=plain.pretty_text,
                nst_det_version=__version__,
                mmdet_version=mmdet.__version__,
                mmengine_version=mmengine.__version__,
            ),
            state_dict=student.state_dict(),
        ),
        buffer,
    )
    write_atomically(files.checkpoint, buffer.getvalue())
    write_atomically(files.config, plain.pretty_text.encode())


def _dataset_meta(plain: Config) -> dict[str, Any]:
    """The classes as the config's data set has them, where the checkpoint does not say."""
    dataset = (plain.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    kind = DATASETS.get(dataset.get('type') or '')
    return {**getattr(kind, 'METAINFO', {}), **(dataset.get('metainfo') or {})}
