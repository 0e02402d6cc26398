"""A teacher's maps on disk, for images that it sees again exactly as they were."""

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

# What a detector's forward pass may go by, beside the pixels.
METAINFO = ('img_shape', 'pad_shape', 'batch_input_shape', 'scale_factor', 'flip', 'flip_direction')
CHECKSUM = 4  # bytes, at the end of an entry
GIB = 2**30


class FeatureCache:
    """One entry per image: a file of its own, whole or not at all, that many processes may share.

    ``FOLDER/TEACHER/IMAGE.pt``: the name of the inner folder stands for all that decides what the
    teacher gives, so that another teacher, or another tap, finds none of these; a file
    ``teacher.json`` in it says what that was. The name of an entry stands for the image as the
    teacher sees it, pixel by pixel: see :func:`image_key`. Entries are read as data; a broken one
    is passed over and written anew.

    Args:
        folder (str or PathLike): Where; it is made where it is missing.
        limit (float): How many GiB the folder may hold: beyond, nothing is added.

    Raises:
        UserError: Where the folder cannot be made.
    """

    def __init__(self, folder: str | PathLike, limit: float) -> None:
        self.folder = Path(folder)
        self.limit = limit * GIB
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            entries = [path.stat().st_size for path in self.folder.glob('*/*.pt')]
        except OSError as error:
            raise UserError(
                f'teacher.cache is {str(folder)!r}, which cannot be a folder: {error.strerror}'
            ) from error
        self.size = sum(entries)
        self.full = False
        print_log(
            f"The teacher's maps are kept in {self.folder}: {len(entries)} entries so far, "
            f'{self.size / GIB:.2f} of {limit:g} GiB',
            'current',
        )

    def recall(
        self,
        identity: Mapping[str, object],
        seen: Tensor,
        views: Sequence[DetDataSample],
        teach: Callable[[list[int]], list[Tensor]],
    ) -> tuple[list[Tensor], float]:
        """Have a batch taught, only those of its images that are not here.

        Args:
            identity (Mapping[str, object]): All that decides what the teacher gives for an image.
            seen (Tensor): The batch as the teacher sees it, `(N, 3, H, W)`.
            views (Sequence[DetDataSample]): Its samples.
            teach (Callable): Takes the indices of images, gives the teacher's tensors of them, each
                with a row per image.

        Returns:
            tuple[list[Tensor], float]: Those tensors of the whole batch, and the share of the
            images that were here.
        """
        teacher = self.open(identity)
        keys = [image_key(image, view.metainfo) for image, view in zip(seen, views)]
        found = [self.read(teacher, key) for key in keys]
        missing = [i for i, one in enumerate(found) if one is None]
        if missing:
            new = teach(missing)
            for row, i in enumerate(missing):
                found[i] = [one[row] for one in new]
                self.write(teacher, keys[i], found[i])
        tensors = [torch.stack([one.to(seen.device) for one in each]) for each in zip(*found)]
        return tensors, 1 - len(missing) / len(keys)

    def open(self, identity: Mapping[str, object]) -> str:
        """Find, or make, the folder of a teacher.

        Args:
            identity (Mapping[str, object]): All that decides what it gives for an image.

        Returns:
            str: Its key.
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
        """Read an entry.

        Args:
            teacher (str): The key of what the teacher is: see :meth:`open`.
            image (str): The image's key.

        Returns:
            list[Tensor] or None: Its tensors on the CPU; None where there is no such entry, or a
            broken one.
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
        except Exception:  # whatever a file may raise that nobody here has written
            pass
        print_log(f'{path} is broken and will be written anew', 'current', logging.WARNING)
        return None

    def write(self, teacher: str, image: str, tensors: Sequence[Tensor]) -> None:
        """Write an entry, if there is room; training goes on where there is none.

        Args:
            teacher (str): The key of what the teacher is.
            image (str): The image's key.
            tensors (Sequence[Tensor]): What the teacher makes of it.
        """
        if self.full:
            return
        body = io.BytesIO()
        torch.save([one.cpu().clone() for one in tensors], body)  # of a view it would save all
        content = body.getvalue() + _checksum(body.getvalue())
        size = len(content) * get_world_size()  # the other processes write as much
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
            f"No more of the teacher's maps are kept in {self.folder}: {reason}",
            'current',
            logging.WARNING,
        )


def image_key(image: Tensor, metainfo: Mapping[str, object]) -> str:
    """Name an image as a detector sees it: its pixels, its padding and what is told of it.

    The padding belongs to it, for a map depends on how far it is to the border of the canvas.

    Args:
        image (Tensor): The image on the canvas of its batch, `(3, H, W)`.
        metainfo (Mapping[str, object]): Its sample's.

    Returns:
        str: A SHA-256 in hex.
    """
    told = [(name, str(metainfo[name])) for name in METAINFO if name in metainfo]
    key = hashlib.sha256(f'{tuple(image.shape)} {image.dtype} {told}'.encode())
    key.update(image.contiguous().cpu().view(torch.uint8).numpy())
    return key.hexdigest()


def weights_key(detector: nn.Module) -> str:
    """Name the weights of a detector.

    Args:
        detector (nn.Module): The detector.

    Returns:
        str: A SHA-256 in hex of names, types, shapes and numbers.
    """
    key = hashlib.sha256()
    for name, value in detector.state_dict().items():
        key.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        key.update(value.contiguous().cpu().reshape(-1).view(torch.uint8).numpy())
    return key.hexdigest()


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM, 'big')
