"""The files of an exported student: a plain mmdet checkpoint, and the plain config beside it."""

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
from nst_det.errors import UserError, refuse_existing
from nst_det.fileio.atomic import write_atomically
from nst_det.fileio.fit import load_strictly
from nst_det.version import __version__

KEPT = ('epoch', 'iter', 'seed', 'experiment_name')  # of the meta of the training's checkpoint


@dataclass(frozen=True)
class StudentFiles:
    """The files that a student is written to. None of them may exist yet.

    Args:
        checkpoint (Path): The checkpoint, a ``.pth``.

    Raises:
        UserError: If its name has another ending, or one of the files exists.
    """

    checkpoint: Path

    def __post_init__(self) -> None:
        if self.checkpoint.suffix != '.pth':
            raise UserError(f'the checkpoint to write is {self.checkpoint}, expected a .pth file')
        for file in (self.checkpoint, self.config):
            refuse_existing(file, 'remove it, or choose another name with -o')

    @property
    def config(self) -> Path:
        """Path: The plain config, of the same name as the checkpoint."""
        return self.checkpoint.with_suffix('.py')


def load_student(
    plain: Config, checkpoint: str, prefix: str | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Build a plain student with the weights of a checkpoint.

    Of a training with EMA these are the averaged weights, which mmengine saves as ``state_dict``.

    Args:
        plain (Config): The plain student's config, see :func:`plain_config`.
        checkpoint (str): The checkpoint of the distiller, or of the plain detector.
        prefix (str, optional): What the names of the weights in it begin with. Defaults to None: it
            is found.

    Returns:
        tuple[nn.Module, dict[str, Any]]: The student in evaluation mode, and the checkpoint's
        ``meta``.

    Raises:
        UserError: If the checkpoint does not fit.
    """
    student = build_detector(plain)
    meta = load_strictly(student, checkpoint, 'student', prefix=prefix)
    return student, meta


def write_student(
    student: nn.Module, plain: Config, meta: dict[str, Any], files: StudentFiles
) -> dict[str, Any]:
    """Write a student as mmdet's own tools and ``DetInferencer`` read it.

    Args:
        student (nn.Module): The student, with its weights.
        plain (Config): Its config.
        meta (dict[str, Any]): The ``meta`` of the checkpoint that the weights are from. Its classes
            are copied.
        files (StudentFiles): The files to write.

    Returns:
        dict[str, Any]: The ``meta`` of the file.
    """
    own_meta = dict(
        {key: meta[key] for key in KEPT if key in meta},
        dataset_meta=meta.get('dataset_meta') or _dataset_meta(plain),
        cfg=plain.pretty_text,
        nst_det_version=__version__,
        mmdet_version=mmdet.__version__,
        mmengine_version=mmengine.__version__,
    )
    buffer = io.BytesIO()
    torch.save(dict(meta=own_meta, state_dict=student.state_dict()), buffer)
    write_atomically(files.checkpoint, buffer.getvalue())
    write_atomically(files.config, plain.pretty_text.encode())
    return own_meta


def _dataset_meta(plain: Config) -> dict[str, Any]:
    """The classes of the config's data set, for a checkpoint that does not name them."""
    dataset = (plain.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    kind = DATASETS.get(dataset.get('type') or '')
    return {**getattr(kind, 'METAINFO', {}), **(dataset.get('metainfo') or {})}
