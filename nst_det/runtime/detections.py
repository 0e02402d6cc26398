"""The detections in an image, and finding them with an exported model."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from nst_det.errors import UserError
from nst_det.runtime.images import prepare, read_image
from nst_det.runtime.masks import object_masks
from nst_det.runtime.model_info import ModelInfo
from nst_det.runtime.session import Session

Loaded = TypeVar('Loaded')


@dataclass(frozen=True)
class ImageDetections:
    """The detections in an image, by falling score.

    Args:
        file (Path): The image.
        size (tuple[int, int]): Its height and width.
        boxes (np.ndarray): `(n, 4)`, the corners x1, y1, x2, y2 in pixels.
        scores (np.ndarray): `(n,)`.
        labels (np.ndarray): `(n,)`, class indices.
        masks (np.ndarray | None): `(n, H, W)`, of bool; None if the model gives none.
    """

    file: Path
    size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None

    def above(self, score_thr: float) -> 'ImageDetections':
        """Keep the detections whose score is at least a threshold.

        Args:
            score_thr (float): The threshold.

        Returns:
            ImageDetections: Those that are left.
        """
        kept = self.scores >= score_thr
        masks = None if self.masks is None else self.masks[kept]
        return ImageDetections(
            self.file, self.size, self.boxes[kept], self.scores[kept], self.labels[kept], masks
        )


def detect(
    session: Session,
    files: Sequence[Path],
    batch_size: int = 1,
    leave_out: Callable[[UserError], object] | None = None,
) -> Iterator[ImageDetections]:
    """Detect in images with an exported model.

    Images that become one size are put in one batch; the results come in the order of the files.

    Args:
        session (Session): The model.
        files (Sequence[Path]): The images.
        batch_size (int): How many images go into the graph at once, at most. Defaults to 1.
        leave_out (Callable, optional): Called with the error of an image that cannot be used, which
            is then left out. Defaults to None: the error is raised.

    Yields:
        ImageDetections: The detections in the next image.

    Raises:
        UserError: If an image cannot be used, without ``leave_out``.
    """

    def load(file: Path) -> tuple[tuple[int, int], np.ndarray, tuple[float, float]]:
        pixels = read_image(file)
        try:
            return pixels.shape[:2], *prepare(pixels, session.info)
        except UserError as error:
            raise UserError(f'{file} cannot be used: {error}') from error

    for start in range(0, len(files), batch_size):
        part = list(usable(files[start : start + batch_size], load, leave_out))
        found: dict[int, ImageDetections] = {}
        for shape in {array.shape for _, (_, array, _) in part}:
            own = [i for i, (_, (_, array, _)) in enumerate(part) if array.shape == shape]
            outputs = session.run(np.stack([part[i][1][1] for i in own]))
            for place, i in enumerate(own):
                file, (size, _, scale) = part[i]
                found[i] = detections_in(outputs, place, file, size, scale, session.info)
        yield from (found[i] for i in range(len(part)))


def usable(
    files: Iterable[Path],
    load: Callable[[Path], Loaded],
    leave_out: Callable[[UserError], object] | None,
) -> Iterator[tuple[Path, Loaded]]:
    """Load images, and leave out those that cannot be used.

    Args:
        files (Iterable[Path]): The images.
        load (Callable): Loads one.
        leave_out (Callable | None): See `detect`.

    Yields:
        tuple[Path, Loaded]: The next image, and what ``load`` gave.

    Raises:
        UserError: If an image cannot be used, without ``leave_out``.
    """
    for file in files:
        try:
            loaded = load(file)
        except UserError as error:
            if leave_out is None:
                raise
            leave_out(error)
        else:
            yield file, loaded


def detections_in(
    outputs: dict[str, np.ndarray],
    place: int,
    file: Path,
    size: tuple[int, int],
    scale: tuple[float, float],
    info: ModelInfo,
) -> ImageDetections:
    """Take what belongs to one image out of the results of a batch, in pixels of its file.

    Args:
        outputs (dict[str, np.ndarray]): The results, see `Session.run`.
        place (int): The index of the image in the batch.
        file (Path): The image.
        size (tuple[int, int]): Its height and width.
        scale (tuple[float, float]): How much wider and higher the image in the graph was.
        info (ModelInfo): The description of the model.

    Returns:
        ImageDetections: The detections.
    """
    (own,) = np.nonzero(outputs['image_index'] == place)
    boxes = outputs['boxes'][own] / np.array([*scale, *scale], np.float32)
    masks = None
    if info.masks is not None:
        masks = object_masks(outputs['masks'][own], boxes, size, scale, info)
    labels = outputs['labels'][own].astype(np.int64)
    return ImageDetections(file, size, boxes, outputs['scores'][own], labels, masks)
