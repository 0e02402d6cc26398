"""A cache on disk of the teacher's feature maps, for images that come again unchanged."""

import hashlib
import io
import json
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn

from nst_det.errors import UserError
from nst_det.fileio.atomic import write_atomically

# The metainfo that the forward pass of a detector may depend on, beside the pixels.
METAINFO = ('img_shape', 'pad_shape', 'batch_input_shape', 'scale_factor', 'flip', 'flip_direction')
CHECKSUM = 4  # bytes, at the end of a file
GIB = 2**30


class FeatureCache:
    """A folder with one file per image, which several processes may share.

    The files are ``FOLDER/TEACHER/IMAGE.pt``. ``TEACHER`` is a hash of everything but the image
    that the teacher's output depends on, so that another teacher, or another tap, finds none of
    these files; ``teacher.json`` beside them lists those values. ``IMAGE`` is a hash of the
    preprocessed image: see :func:`image_key`. Files are written atomically and read as data only. A
    broken file is ignored and written again.

    Args:
        folder (str or PathLike): The folder; it is created if it is missing.
        limit (float): The maximum size of the folder in GiB. A full cache takes no more images.

    Raises:
        UserError: If the folder cannot be created.
    """

    def __init__(self, folder: str | PathLike, limit: float) -> None:
        self.folder = Path(folder)
        self.limit = limit * GIB
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            sizes = [path.stat().st_size for path in self.folder.glob('*/*.pt')]
        except OSError as error:
            raise UserError(
                f'teacher.cache is {str(folder)!r}, which cannot be a folder: {error.strerror}',
                'teacher.cache',
            ) from error
        self.size = sum(sizes)
        self.full = False
        print_log(
            f"The teacher's feature maps are cached in {self.folder}: {len(sizes)} images so far, "
            f'{self.size / GIB:.2f} of {limit:g} GiB',
            'current',
        )

    def get_or_compute(
        self,
        identity: Mapping[str, object],
        inputs: Tensor,
        samples: Sequence[DetDataSample],
        compute: Callable[[list[int]], list[Tensor]],
    ) -> tuple[list[Tensor], float]:
        """Read the tensors of a batch, and compute those of the images that are missing.

        Args:
            identity (Mapping[str, object]): Everything but the image that the teacher's output
                depends on.
            inputs (Tensor): The preprocessed batch, `(N, 3, H, W)`.
            samples (Sequence[DetDataSample]): Its samples.
            compute (Callable): Takes the indices of the missing images and returns the teacher's
                tensors for them, each with one row per image.

        Returns:
            tuple[list[Tensor], float]: The tensors of the complete batch, and the share of its
            images, 0 to 1, that were in the cache.
        """
        teacher = self.open(identity)
        keys = [image_key(image, sample.metainfo) for image, sample in zip(inputs, samples)]
        rows = [self.read(teacher, key) for key in keys]
        missing = [i for i, tensors in enumerate(rows) if tensors is None]
        if missing:
            computed = compute(missing)
            for position, i in enumerate(missing):
                rows[i] = [tensor[position] for tensor in computed]
                self.write(teacher, keys[i], rows[i])
        tensors = [
            torch.stack([row.to(inputs.device) for row in tensor_rows])
            for tensor_rows in zip(*rows)
        ]
        return tensors, 1 - len(missing) / len(keys)

    def open(self, identity: Mapping[str, object]) -> str:
        """Find or create the folder of a teacher.

        Args:
            identity (Mapping[str, object]): Everything but the image that the teacher's output
                depends on.

        Returns:
            str: The teacher's key, which is the name of the folder.
        """
        text = json.dumps(identity, indent=1, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        note = self.folder / key / 'teacher.json'
        if not note.exists():
            try:
                write_atomically(note, text.encode(), shared=True)
            except OSError as error:
                self._stop(str(error))
        return key

    def read(self, teacher: str, image: str) -> list[Tensor] | None:
        """Read the tensors of one image.

        Args:
            teacher (str): The teacher's key: see :meth:`open`.
            image (str): The image's key: see :func:`image_key`.

        Returns:
            list[Tensor] or None: The tensors on the CPU; None if the file is missing or broken.
        """
        path = self._path(teacher, image)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        body, checksum = content[:-CHECKSUM], content[-CHECKSUM:]
        try:
            if checksum == _checksum(body):
                return torch.load(io.BytesIO(body), map_location='cpu', weights_only=True)
        except Exception:  # a file that something else wrote may raise anything
            pass
        print_log(f'{path} is broken and will be written again', 'current', logging.WARNING)
        return None

    def write(self, teacher: str, image: str, tensors: Sequence[Tensor]) -> None:
        """Write the tensors of one image, if there is room. A failure does not stop the training.

        Args:
            teacher (str): The teacher's key.
            image (str): The image's key.
            tensors (Sequence[Tensor]): The tensors.
        """
        if self.full:
            return
        body = io.BytesIO()
        # Cloned, because torch.save writes all the memory that a view belongs to.
        torch.save([tensor.cpu().clone() for tensor in tensors], body)
        content = body.getvalue() + _checksum(body.getvalue())
        size = len(content) * get_world_size()  # each of the other processes writes as much
        if self.size + size > self.limit:
            self._stop(f'{self.limit / GIB:g} GiB are full (teacher.cache_gib)')
            return
        try:
            write_atomically(self._path(teacher, image), content, shared=True)
        except OSError as error:
            self._stop(str(error))
            return
        self.size += size

    def _path(self, teacher: str, image: str) -> Path:
        return self.folder / teacher / f'{image}.pt'

    def _stop(self, reason: str) -> None:
        self.full = True
        print_log(
            f"No more of the teacher's feature maps are cached in {self.folder}: {reason}",
            'current',
            logging.WARNING,
        )


def image_key(image: Tensor, metainfo: Mapping[str, object]) -> str:
    """Compute a hash of a preprocessed image: its pixels, its padding and its metainfo.

    The padding counts, because a feature map depends on how far it is to the border of the batch.

    Args:
        image (Tensor): The image with its padding, `(3, H, W)`.
        metainfo (Mapping[str, object]): The metainfo of its sample, of which :data:`METAINFO`
            counts.

    Returns:
        str: A SHA-256 in hex.
    """
    known = [(name, str(metainfo[name])) for name in METAINFO if name in metainfo]
    key = hashlib.sha256(f'{tuple(image.shape)} {image.dtype} {known}'.encode())
    key.update(image.contiguous().cpu().view(torch.uint8).numpy())
    return key.hexdigest()


def weights_key(detector: nn.Module) -> str:
    """Compute a hash of the weights of a detector.

    Args:
        detector (nn.Module): The detector.

    Returns:
        str: A SHA-256 in hex of the names, types, shapes and values.
    """
    key = hashlib.sha256()
    for name, value in detector.state_dict().items():
        key.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        key.update(value.contiguous().cpu().reshape(-1).view(torch.uint8).numpy())
    return key.hexdigest()


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM, 'big')
