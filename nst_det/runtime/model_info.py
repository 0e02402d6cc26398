"""What an exported model knows about itself, beside its graph: classes, preprocessing, masks."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from nst_det.errors import UserError

KEY = 'nst_det'  # of the metadata of an ONNX file, and of the rt_info of an OpenVINO model
BOX_MASKS, IMAGE_MASKS = 'box', 'image'


@dataclass(frozen=True)
class Resize:
    """How an image is scaled before it goes into the graph.

    Args:
        scale (tuple[float, float]): With ``keep_ratio`` the largest long and short side, in either
            order; else the width and the height.
        keep_ratio (bool): Whether the image keeps its ratio.
        relative (bool): Whether the scale is times the width and the height of the image, in place
            of pixels. Defaults to False.
    """

    scale: tuple[float, float]
    keep_ratio: bool
    relative: bool = False


@dataclass(frozen=True)
class Pad:
    """How an image is padded at its right and at its bottom before it goes into the graph.

    Args:
        size (tuple[int, int] | None): Width and height. Defaults to None.
        divisor (int): Both sides become multiples of it. Defaults to 1.
        square (bool): Both sides become as long as the longer one. Defaults to False.
        value (tuple[float, ...]): The colour of the padding, BGR. Defaults to black.
    """

    size: tuple[int, int] | None = None
    divisor: int = 1
    square: bool = False
    value: tuple[float, ...] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ModelInfo:
    """What an exported model knows about itself.

    Args:
        name (str): The type of the detector, such as ``'FasterRCNN'``.
        classes (tuple[str, ...]): The names of its classes, in the order of the labels.
        channels (int): The channels of an image: 3 for BGR, 1 for grey. Defaults to 3.
        resize (Resize | None): Defaults to None: images keep their size.
        pad (Pad | None): Defaults to None. What the graph itself pads does not count.
        multiple (int): Height and width of what goes into the graph must be multiples of it.
            Defaults to 1.
        masks (str | None): ``'box'``: probabilities for the box of each detection. ``'image'``:
            logits for the complete image, a pixel of which stands for `mask_stride` pixels.
            Defaults to None: there are no masks.
        mask_threshold (float): The probability from which on a pixel belongs to the object.
            Defaults to 0.5.
        mask_stride (int): See `masks`. Defaults to 1.
    """

    name: str
    classes: tuple[str, ...]
    channels: int = 3
    resize: Resize | None = None
    pad: Pad | None = None
    multiple: int = 1
    masks: str | None = None
    mask_threshold: float = 0.5
    mask_stride: int = 1

    def to_json(self) -> str:
        """Write it as JSON, for the metadata of a model."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, file: str) -> 'ModelInfo':
        """Read what `to_json` wrote.

        Args:
            text (str): The JSON.
            file (str): The model that it is from, for the error.

        Returns:
            ModelInfo: The description.

        Raises:
            UserError: If it is not such a description.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            values['classes'] = tuple(map(str, values['classes']))
            if values.get('resize'):
                values['resize']['scale'] = tuple(values['resize']['scale'])
                values['resize'] = Resize(**values['resize'])
            if values.get('pad'):
                values['pad']['value'] = tuple(values['pad']['value'])
                if values['pad']['size']:
                    values['pad']['size'] = tuple(values['pad']['size'])
                values['pad'] = Pad(**values['pad'])
            return cls(**values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f'{file} describes itself in a way that this version cannot read '
                f'({type(error).__name__}: {error}): export it again'
            ) from error
