"""Reading the predictions that ``tools/test.py --out`` wrote, without running code of a pickle."""

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nst_det.errors import UserError, one_line

REQUIRED = {'bboxes', 'labels', 'scores'}

_rebuild_tensor = torch._utils._rebuild_tensor_v2


def _storage(content: bytes) -> Any:
    """Replace ``_load_from_bytes`` of torch, which would run code."""
    return torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)


def _latin1(text: str, encoding: str = 'latin1') -> bytes:
    """Replace ``_codecs.encode``, which pickles of bytes call."""
    return text.encode('latin1')


_ALLOWED = {
    'collections.OrderedDict': OrderedDict,
    'torch._utils._rebuild_tensor_v2': _rebuild_tensor,
    'torch.storage._load_from_bytes': _storage,
    '_codecs.encode': _latin1,
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that builds tensors and plain values and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[f'{module}.{name}']
        except KeyError:
            raise pickle.UnpicklingError(f'refused {module}.{name}') from None


def read_predictions(file: Path) -> dict[str, dict]:
    """Read the predictions of a detector; only tensors and plain values are built.

    Args:
        file (Path): The file that ``tools/test.py --out`` wrote.

    Returns:
        dict[str, dict]: By image id, ``bboxes`` `(n, 4)` in pixels, ``labels`` and ``scores``
        `(n,)`, and whatever else the detector predicts.

    Raises:
        UserError: If the file is not one that ``tools/test.py --out`` wrote.
    """
    try:
        samples = _Unpickler(io.BytesIO(file.read_bytes())).load()
        predictions = {sample['img_id']: sample['pred_instances'] for sample in samples}
        for instances in predictions.values():
            if not isinstance(instances, Mapping) or not set(instances) >= REQUIRED:
                raise ValueError('an image has no bboxes, labels and scores')
    except Exception as error:  # unpickling a file of another kind can raise anything
        reason = one_line(error, with_type=False)
        raise UserError(
            f'{file} is not a file of tools/test.py --out ({reason}): test again'
        ) from error
    return predictions
