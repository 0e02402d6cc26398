"""From the masks of a graph to the pixels of an image, as mmdet does it."""

import math

import numpy as np

from nst_det.runtime.model_info import BOX_MASKS, ModelInfo


def object_masks(
    masks: np.ndarray,
    boxes: np.ndarray,
    size: tuple[int, int],
    scale: tuple[float, float],
    info: ModelInfo,
) -> np.ndarray:
    """Tell which pixels of an image belong to each detection.

    Args:
        masks (np.ndarray): The masks of the graph, `(n, h, w)`, see `ModelInfo.masks`.
        boxes (np.ndarray): `(n, 4)`, in pixels of the image.
        size (tuple[int, int]): Height and width of the image.
        scale (tuple[float, float]): How much wider and higher the image in the graph was.
        info (ModelInfo): The description of the model.

    Returns:
        np.ndarray: `(n, H, W)`, of bool.
    """
    found = np.zeros((len(masks), *size), bool)
    for mask, box, out in zip(masks, boxes, found):
        if info.masks == BOX_MASKS:
            _paste(mask, box, info.mask_threshold, out)
        else:
            out[:] = _scale_up(mask, size, scale, info)
    return found


def _paste(mask: np.ndarray, box: np.ndarray, threshold: float, out: np.ndarray) -> None:
    """Scale the mask of a box to its box, and write it into a mask of the image."""
    height, width = out.shape
    left, top = (max(math.floor(side) - 1, 0) for side in box[:2])
    right = min(math.ceil(box[2]) + 1, width)
    bottom = min(math.ceil(box[3]) + 1, height)
    if right <= left or bottom <= top:
        return
    with np.errstate(divide='ignore', invalid='ignore'):
        x = (np.arange(left, right, dtype=np.float32) + np.float32(0.5) - box[0]) / (
            box[2] - box[0]
        )
        y = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5) - box[1]) / (
            box[3] - box[1]
        )
    # A box without width: its pixels are all in the middle, as in mmdet.
    x, y = (np.where(np.isfinite(place), place, 0.5) for place in (x, y))
    ringed = np.pad(mask, 1)  # outside of its box there is nothing
    columns = _blend(ringed.T, x * mask.shape[1] + 0.5)  # (pixels, h)
    values = _blend(columns.T, y * mask.shape[0] + 0.5)  # (pixels, pixels)
    out[top:bottom, left:right] = values >= threshold


def _blend(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate along the first axis."""
    places = places.clip(0, len(values) - 1)
    first = np.minimum(places.astype(np.int64), len(values) - 2)
    share = (places - first).astype(np.float32)[:, None]
    return values[first] * (1 - share) + values[first + 1] * share


def _scale_up(
    logits: np.ndarray, size: tuple[int, int], scale: tuple[float, float], info: ModelInfo
) -> np.ndarray:
    """Scale the mask of an image to the graph's pixels, then to the image's, and cut it."""
    height, width = (side * info.mask_stride for side in logits.shape)
    values = _interpolate(logits, height, width)
    # mmdet takes the two factors in the wrong order, which counts where they differ.
    values = _interpolate(values, math.ceil(height / scale[0]), math.ceil(width / scale[1]))
    values = values[: size[0], : size[1]]
    out = np.zeros(size, bool)
    with np.errstate(over='ignore'):
        out[: values.shape[0], : values.shape[1]] = 1 / (1 + np.exp(-values)) > info.mask_threshold
    return out


def _interpolate(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale `(h, w)` bilinearly, as torch does with ``align_corners=False``."""
    for wanted in (height, width):
        if values.shape[0] > 1:
            places = (np.arange(wanted, dtype=np.float32) + 0.5) * (values.shape[0] / wanted) - 0.5
            values = _blend(values, places).T
        else:
            values = np.repeat(values, wanted, 0).T
    return values
