"""Reading, scaling and padding images as the test pipeline of mmdet does, without OpenCV."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from nst_det.errors import UserError, one_line
from nst_det.runtime.model_info import ModelInfo, Pad, Resize

WEIGHT_BITS = 11  # OpenCV interpolates 8-bit images in integers, with weights of 11 bits


def read_image(path: str | Path) -> np.ndarray:
    """Read an image, turned upright.

    Args:
        path (str | Path): The file.

    Returns:
        np.ndarray: `(H, W, 3)`, uint8, RGB; of 16 bits the upper 8, as OpenCV reads them.

    Raises:
        UserError: If there is no such file, it is damaged or no image, or a value has more than 16
            bits.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(_of_8_bits(ImageOps.exif_transpose(image)).convert('RGB'))
    except FileNotFoundError as error:
        raise UserError(f'there is no image {Path(path).absolute()}') from error
    except Exception as error:  # Pillow raises many kinds for a damaged file
        reason = one_line(error, with_type=False)
        raise UserError(f'{path} cannot be read as an image: {reason}') from error


def _of_8_bits(image: Image.Image) -> Image.Image:
    """Take the upper 8 bits of 16, which Pillow's own conversion would cut off at 255."""
    if image.mode[0] not in 'IF':
        return image
    values = np.asarray(image)
    if image.mode == 'F' or values.min() < 0 or values.max() >= 1 << 16:
        raise UserError('its values have 32 bits, expected 8 or 16')
    return Image.fromarray((values >> 8).astype(np.uint8))


def prepare(image: np.ndarray, info: ModelInfo) -> tuple[np.ndarray, tuple[float, float]]:
    """Scale and pad an image as a model wants it.

    Args:
        image (np.ndarray): `(H, W, 3)`, uint8, RGB.
        info (ModelInfo): The description of the model.

    Returns:
        tuple[np.ndarray, tuple[float, float]]: `(C, h, w)`, float32, BGR or grey from 0 to 255,
        and how much wider and higher the scaled image is than the given one.

    Raises:
        UserError: If the model takes no image of this size, or it is too narrow to be scaled.
    """
    height, width = image.shape[:2]
    pixels = image[:, :, ::-1]
    if info.channels == 1:
        pixels = grey(pixels)
    if info.resize is not None:
        wanted = scaled_size(width, height, info.resize)
        if not all(wanted):
            raise UserError(
                f'{width} x {height} pixels are too narrow: they are scaled to {wanted[0]} x '
                f'{wanted[1]}'
            )
        pixels = resize(pixels, *wanted)
    scale = pixels.shape[1] / width, pixels.shape[0] / height
    if info.pad is not None:
        pixels = padded(pixels, info.pad)
    if any(side % info.multiple for side in pixels.shape[:2]):
        raise UserError(
            f'{info.name} takes images whose sides are multiples of {info.multiple}, and this one '
            f'has {pixels.shape[1]} x {pixels.shape[0]} pixels: its test pipeline has no Pad that '
            'sees to this'
        )
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32), scale


def scaled_size(width: int, height: int, resize: Resize) -> tuple[int, int]:
    """Compute the size to which an image is scaled, as mmcv does.

    Args:
        width (int): The width of the image in pixels.
        height (int): Its height.
        resize (Resize): How it is scaled.

    Returns:
        tuple[int, int]: Width and height.
    """
    wanted = resize.scale
    if resize.relative:
        wanted = int(width * wanted[0] + 0.5), int(height * wanted[1] + 0.5)
    if not resize.keep_ratio:
        return int(wanted[0]), int(wanted[1])
    longest, shortest = max(wanted), min(wanted)
    factor = min(longest / max(height, width), shortest / min(height, width))
    return int(width * factor + 0.5), int(height * factor + 0.5)


def resize(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale an image as OpenCV does: bilinear, without a filter where it becomes smaller.

    Args:
        image (np.ndarray): `(H, W, C)`, uint8.
        width (int): The width to scale to.
        height (int): The height to scale to.

    Returns:
        np.ndarray: `(height, width, C)`, uint8. Few values differ from those of OpenCV, by 1.
    """
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    values = image.astype(np.int32)
    if (rows, columns) == (2 * height, 2 * width):  # OpenCV takes the mean of 2 x 2 pixels
        total = values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]
        return ((total + 2) >> 2).astype(np.uint8)
    left, right, left_weight, right_weight = _neighbours(columns, width)
    top, bottom, top_weight, bottom_weight = _neighbours(rows, height)
    across = values[:, left] * left_weight[:, None] + values[:, right] * right_weight[:, None]
    across >>= 4
    above = (across[top] * top_weight[:, None, None]) >> 16
    below = (across[bottom] * bottom_weight[:, None, None]) >> 16
    return ((above + below + 2) >> 2).clip(0, 255).astype(np.uint8)


def _neighbours(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels beside each new one along an axis, and their weights."""
    place = ((np.arange(wanted) + 0.5) * (1 / (wanted / size)) - 0.5).astype(np.float32)
    first = np.floor(place).astype(np.int64)
    share = place - first.astype(np.float32)
    share[(first < 0) | (first >= size - 1)] = 0
    first = first.clip(0, size - 1)
    one = np.float32(1 << WEIGHT_BITS)
    weights = (np.rint(part * one).astype(np.int32) for part in (np.float32(1) - share, share))
    return first, np.minimum(first + 1, size - 1), *weights


def padded(image: np.ndarray, pad: Pad) -> np.ndarray:
    """Pad an image at its right and at its bottom.

    Args:
        image (np.ndarray): `(H, W, C)`, BGR or grey.
        pad (Pad): How it is padded.

    Returns:
        np.ndarray: `(h, w, C)`, never smaller.
    """
    height, width = image.shape[:2]
    if pad.square:
        height = width = max(height, width)
    if pad.size is not None:
        width, height = max(width, pad.size[0]), max(height, pad.size[1])
    height, width = (-(-side // pad.divisor) * pad.divisor for side in (height, width))
    out = np.empty((height, width, image.shape[2]), image.dtype)
    out[:] = np.asarray(pad.value[: image.shape[2]], image.dtype)
    out[: image.shape[0], : image.shape[1]] = image
    return out


def grey(image: np.ndarray) -> np.ndarray:
    """Turn `(H, W, 3)`, BGR, into `(H, W, 1)`, as OpenCV does."""
    blue, green, red = (image[:, :, i].astype(np.int32) for i in range(3))
    # In integers, with 15 bits after the point.
    return ((blue * 3735 + green * 19235 + red * 9798 + (1 << 14)) >> 15).astype(np.uint8)[
        ..., None
    ]
