"""A cache on disk of the teacher's feature maps, for pictures that come again unchanged."""

import hashlib
import json
import logging
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
from nst_det.fileio.picture_hash import PICTURE_HASH
from nst_det.fileio.shards import KEY_BYTES, ShardStore
from nst_det.fileio.tensor_record import decode, encode, rounded

# The metainfo that the forward pass of a detector may depend on, beside the pixels.
METAINFO = ('img_shape', 'pad_shape', 'batch_input_shape', 'scale_factor', 'flip', 'flip_direction')
GIB = 2**30


class FeatureCache:
    """A folder with the feature maps of many images, which several processes may share.

    ``FOLDER/TEACHER`` holds one :class:`ShardStore`. ``TEACHER`` is a hash of everything but the
    image that the teacher's output depends on, so that another teacher, or another tap, finds none
    of its records; ``teacher.json`` in it lists those values. The key of a record is a hash of the
    image: see :func:`image_key`. Records are read as data only. A broken record is ignored and
    written again.

    Args:
        folder (str or PathLike): The folder; it is created if it is missing.
        limit (float): The maximum size of the folder in GiB. A full cache takes no more images.
        stored (torch.dtype, optional): The type in which floating-point numbers are stored. What
            is computed is rounded to it too, so that an image has the same feature maps whether
            they are read or not. Defaults to None, the type that they have.

    Raises:
        UserError: If the folder cannot be created.
    """

    def __init__(
        self, folder: str | PathLike, limit: float, stored: torch.dtype | None = None
    ) -> None:
        self.folder = Path(folder)
        self.limit = limit * GIB
        self.stored = stored
        self.full = False
        self.stores: dict[str, ShardStore] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Those of all teachers count, and those that an older version of this class wrote.
            sizes = [path.stat().st_size for path in self.folder.glob('*/*') if path.is_file()]
        except OSError as error:
            raise UserError(
                f'teacher.cache is {str(folder)!r}, which cannot be a folder: {error.strerror}',
                'teacher.cache',
            ) from error
        self.size_before = sum(sizes)  # of all stores, before this process opens any
        self.sizes_opened: dict[str, int] = {}  # of each store when it was opened
        print_log(
            f"The teacher's feature maps are cached in {self.folder}: "
            f'{self.size_before / GIB:.2f} of {limit:g} GiB so far',
            'current',
        )

    @property
    def size(self) -> int:
        """int: The bytes in the folder, as far as this process knows."""
        grown = sum(store.size - self.sizes_opened[key] for key, store in self.stores.items())
        return self.size_before + grown

    def get_or_compute(
        self,
        identity: Mapping[str, object],
        keys: Sequence[bytes],
        compute: Callable[[list[int]], list[list[Tensor]]],
        device: torch.device,
    ) -> tuple[list[list[Tensor]], float]:
        """Read the tensors of some images, and compute those that are missing.

        Args:
            identity (Mapping[str, object]): Everything but the image that the teacher's output
                depends on.
            keys (Sequence[bytes]): The keys of the images: see :func:`image_key`.
            compute (Callable): Takes the indices of the missing images and returns the teacher's
                tensors of each.
            device (torch.device): Where the tensors are wanted.

        Returns:
            tuple[list[list[Tensor]], float]: The tensors of each image, and the share of the
            images, 0 to 1, that were in the cache.
        """
        store = self.open(identity)
        images = [self.read(store, key) for key in keys]
        missing = [i for i, tensors in enumerate(images) if tensors is None]
        if missing:
            for i, tensors in zip(missing, compute(missing)):
                images[i] = [rounded(tensor, self.stored) for tensor in tensors]
                self.write(store, keys[i], images[i])
        on_device = [[tensor.to(device, non_blocking=True) for tensor in image] for image in images]
        return on_device, 1 - len(missing) / len(keys)

    def open(self, identity: Mapping[str, object]) -> ShardStore:
        """Find or create the store of a teacher.

        Args:
            identity (Mapping[str, object]): Everything but the image that the teacher's output
                depends on.

        Returns:
            ShardStore: The store.
        """
        text = json.dumps(dict(identity, stored=str(self.stored)), indent=1, default=str)
        if text in self.stores:
            return self.stores[text]
        folder = self.folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        note = folder / 'teacher.json'
        if not note.exists():
            try:
                write_atomically(note, text.encode(), shared=True)
            except OSError as error:
                self._stop(str(error))
        store = self.stores[text] = ShardStore(folder)
        self.sizes_opened[text] = store.size
        return store

    def read(self, store: ShardStore, key: bytes) -> list[Tensor] | None:
        """Read the tensors of one image.

        Args:
            store (ShardStore): The teacher's store: see :meth:`open`.
            key (bytes): The image's key: see :func:`image_key`.

        Returns:
            list[Tensor] or None: The tensors on the CPU, which must not be changed; None if they
            are missing or broken.
        """
        record = store.get(key)
        if record is None:
            return None
        try:
            return decode(record)
        except ValueError as error:
            print_log(f'a record in {store.folder} is {error}', 'current', logging.WARNING)
            return None

    def write(self, store: ShardStore, key: bytes, tensors: Sequence[Tensor]) -> None:
        """Write the tensors of one image, if there is room. A failure does not stop the training.

        Args:
            store (ShardStore): The teacher's store.
            key (bytes): The image's key.
            tensors (Sequence[Tensor]): The tensors.
        """
        if self.full:
            return
        parts = encode(tensors, self.stored)
        size = sum(len(part) for part in parts)
        if self.size + size * get_world_size() > self.limit:  # the others write at the same time
            self._stop(f'{self.limit / GIB:g} GiB are full (teacher.cache_gib)')
            return
        try:
            store.put(key, parts)
        except OSError as error:
            self._stop(str(error))

    def _stop(self, reason: str) -> None:
        if not self.full:
            self.full = True
            print_log(
                f"No more of the teacher's feature maps are cached in {self.folder}: {reason}",
                'current',
                logging.WARNING,
            )


def image_key(image: Tensor, sample: DetDataSample, recipe: str | None = None) -> bytes:
    """Compute a hash of a preprocessed image: its pixels and the metainfo of its sample.

    Args:
        image (Tensor): The image, `(3, H, W)`.
        sample (DetDataSample): Its sample, of whose metainfo :data:`METAINFO` counts.
        recipe (str, optional): What makes these pixels of the picture that the data set loaded. If
            the data set has hashed that picture, its hash and the recipe stand for the pixels.
            Defaults to None: the pixels themselves count.

    Returns:
        bytes: The first 16 bytes of a SHA-256.
    """
    metainfo = sample.metainfo
    known = [(name, str(metainfo[name])) for name in METAINFO if name in metainfo]
    key = hashlib.sha256(f'{tuple(image.shape)} {image.dtype} {known}'.encode())
    if recipe is not None and PICTURE_HASH in metainfo:
        key.update(f'{metainfo[PICTURE_HASH]} {recipe}'.encode())
    else:
        key.update(image.contiguous().cpu().view(torch.uint8).numpy())
    return key.digest()[:KEY_BYTES]


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
