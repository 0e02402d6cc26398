"""Detecting in image files with the checkpoint of a training, or with an exported checkpoint."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config

from nst_det.apis.export_student import load_student
from nst_det.config.literals import read_literals
from nst_det.config.load import load_config
from nst_det.config.plain import plain_config
from nst_det.errors import UserError
from nst_det.export.info import ANNOTATIONS, LOADERS, test_pipeline
from nst_det.fileio.checkpoint import reading_once
from nst_det.fileio.state_dict import find_meta, read_checkpoint
from nst_det.runtime.detections import ImageDetections, usable
from nst_det.runtime.images import read_image


class CheckpointModel:
    """The detector of a checkpoint, on the CPU.

    Args:
        checkpoint (str): The file. Of a distiller it is the student.
        config (str, optional): Its config. Defaults to None: the one in the checkpoint.

    Raises:
        UserError: If the file is no checkpoint of this config, or names neither a config nor
            classes.
    """

    def __init__(self, checkpoint: str, config: str | None = None) -> None:
        with reading_once():
            meta = find_meta(read_checkpoint(checkpoint))
            plain = plain_config(_config(meta.get('cfg'), checkpoint, config))
            self._detector, meta = load_student(plain, checkpoint)
        classes = (meta.get('dataset_meta') or {}).get('classes')
        if not classes:
            raise UserError(f'{checkpoint} does not name its classes: export it by export_student')
        self.classes: tuple[str, ...] = tuple(classes)
        steps = [step for step in test_pipeline(plain) if step['type'] not in LOADERS]
        pack = dict(type='PackDetInputs', meta_keys=('ori_shape', 'img_shape', 'scale_factor'))
        steps = [step for step in steps if step['type'] not in ANNOTATIONS]
        self._pipeline = Compose([*deepcopy(steps), pack])

    @torch.no_grad()
    def detect(
        self, files: Sequence[Path], leave_out: Callable[[UserError], object] | None = None
    ) -> Iterator[ImageDetections]:
        """Detect in images.

        Args:
            files (Sequence[Path]): The images.
            leave_out (Callable, optional): Called with the error of an image that cannot be read,
                which is then left out. Defaults to None: the error is raised.

        Yields:
            ImageDetections: The detections in the next image.

        Raises:
            UserError: If an image cannot be read, without ``leave_out``.
        """
        for file, image in usable(files, read_image, leave_out):
            pixels = np.ascontiguousarray(image[:, :, ::-1])
            size = pixels.shape[:2]
            data = self._pipeline(dict(img=pixels, img_shape=size, ori_shape=size))
            data['data_samples'].set_metainfo(
                dict(img_id=0, scale_factor=data['data_samples'].get('scale_factor', (1.0, 1.0)))
            )
            batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
            found = self._detector.test_step(batch)[0].pred_instances
            masks = found.masks.numpy() if 'masks' in found else None
            yield ImageDetections(
                file,
                (size[0], size[1]),
                found.bboxes.numpy(),
                found.scores.numpy(),
                found.labels.numpy(),
                masks,
            )


def _config(text: object, checkpoint: str, config: str | None) -> Config:
    """Read the config of a checkpoint: the given one, or the text in the file."""
    if config is not None:
        return load_config(config)
    if not isinstance(text, str):
        raise UserError(f'{checkpoint} holds no config: give it by --config')
    return Config(read_literals(text, checkpoint))
