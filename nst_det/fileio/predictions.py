"""Reading what ``tools/test.py --out`` wrote, without running what a pickle may say."""

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nst_det.errors import UserError

_rebuild_tensor = torch._utils._rebuild_tensor_v2


def _storage(content: bytes) -> Any:
    """In the name of torch's ``_load_from_bytes``, which would run code."""
    return torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)


def _latin1(text: str, encoding: str = 'latin1') -> bytes:
    """In the name of ``_codecs.encode``, as bytes are pickled."""
    return text.encode('latin1')


_ALLOWED = {
    'collections.OrderedDict': OrderedDict,
    'torch._utils._rebuild_tensor_v2': _rebuild_tensor,
    'torch.storage._load_from_bytes': _storage,
    '_codecs.encode': _latin1,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[f'{module}.{name}']
        except KeyError:
            raise pickle.UnpicklingError(f'refused {module}.{name}') from None


def read_predictions(file: Path) -> dict[str, dict]:
    """Read a detector's predictions; nothing but tensors and plain values is ever made of them.

    Args:
        file (Path): What ``tools/test.py --out`` wrote.

    Returns:
        dict[str, dict]: By image id, ``bboxes`` `(n, 4)` in pixels, ``labels`` and ``scores``
        `(n,)`, and whatever else the detector predicts.

    Raises:
        UserError: Where it is no such file.
    """
    try:
        samples = _Unpickler(io.BytesIO(file.read_bytes())).load()
        found = {sample['img_id']: sample['pred_instances'] for sample in samples}
        for instances in found.values():
            if not isinstance(instances, Mapping) or not {'bboxes', 'labels', 'scores'} <= set(
                instances
            ):
                raise ValueError('an image has no bboxes, labels and scores')
    except Exception as error:  # there is no end to what unpickling another kind of file raises
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise UserError(
            f'{file} is not what tools/test.py --out writes ({reason}): test again'
        ) from error
    return found
