"""Reading checkpoint files, which may come from strangers: nothing in a file is run."""

import hashlib
import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from mmengine.dist import barrier, get_rank
from mmengine.logging import print_log

from nst_det.errors import UserError, one_line
from nst_det.fileio.download import check_digest, download
from nst_det.fileio.find import find_checkpoint
from nst_det.fileio.trusted import TRUST_OPTION, is_trusted

PICKLE_START, ZIP_START = b'\x80', b'PK'
_kept: dict[tuple, Any] | None = None  # what was read, by file; None outside of reading_once()


@contextmanager
def reading_once() -> Iterator[None]:
    """Read every checkpoint file only once from disk within a block.

    A command checks its checkpoint before the model is built, and mmengine loads the checkpoint
    afterwards. Within the block both get the same object, on the CPU. Only the last reader may
    change this object. When the block ends, the memory is freed.
    """
    global _kept
    outer, _kept = _kept, {}
    try:
        yield
    finally:
        _kept = outer


def load_file(path: str, map_location: Any = None) -> Any:
    """Read a checkpoint file without running anything in it.

    Args:
        path (str): The file.
        map_location (Any): The argument of ``torch.load``. Within :func:`reading_once` it has no
            effect: the tensors are on the CPU. Defaults to None.

    Returns:
        Any: The content: tensors, numbers, texts, mmengine's training log.

    Raises:
        UserError: If there is no such file, it is damaged or no checkpoint, its parts are larger
            than the file, or it holds anything that would have to be run; unless
            :func:`nst_det.fileio.trusted.trust` was called with it.
    """
    file = find_checkpoint(path)
    if _kept is None:
        return _read(file, path, map_location)
    state = file.stat()
    key = (file.resolve(), state.st_mtime_ns, state.st_size)
    if key not in _kept:
        _kept[key] = _read(file, path, 'cpu')
    return _kept[key]


def _read(file: Path, path: str, map_location: Any) -> Any:
    if file.suffix == '.safetensors':
        return _read_safetensors(file, path)
    trusted = is_trusted(file)
    if trusted:
        print_log(
            f'{path} is loaded with {TRUST_OPTION}: the code in it runs now',
            'current',
            logging.WARNING,
        )
    try:
        if not trusted:
            _check_format(file)
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'Detected pickle protocol')
            return torch.load(file, map_location=map_location, weights_only=not trusted)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(_refusal(path, error)) from error
    except Exception as error:  # unpickling a damaged file may raise anything
        raise UserError(
            f'{path} cannot be read as a checkpoint, it is another kind of file or truncated: '
            f'{first_sentence(error)}'
        ) from error


def _read_safetensors(file: Path, path: str) -> dict[str, torch.Tensor]:
    """Read the weights of a file in the format of safetensors, onto the CPU."""
    try:
        from safetensors.torch import load_file as load_safetensors
    except ImportError as error:
        raise UserError(f'{path} needs safetensors to be read: pip install safetensors') from error
    try:
        return load_safetensors(file)
    except Exception as error:  # a damaged file may raise anything
        raise UserError(
            f'{path} cannot be read as a safetensors file: {first_sentence(error)}'
        ) from error


def first_sentence(error: Exception) -> str:
    """Shorten an error of torch or of a storage, which may go on for paragraphs.

    Args:
        error (Exception): The error.

    Returns:
        str: The first sentence of its message; the name of its class if there is none.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split('. ')[0]


def load_url(
    url: str, model_dir: str | None = None, map_location: Any = None, **kwargs: Any
) -> Any:
    """Read a checkpoint from the web. It takes the place of torch's ``load_url`` in mmengine.

    Args:
        url (str): Its address.
        model_dir (str, optional): The folder for downloaded files. Defaults to None, that of torch
            hub.
        map_location (Any): The argument of ``torch.load``. Defaults to None.
        **kwargs: Not used: there is always a progress bar.

    Returns:
        Any: The content: see :func:`load_file`.
    """
    return load_file(str(cached(url, folder=model_dir)), map_location)


def local_file(path: str, sha256: str | None = None) -> str:
    """Find a checkpoint on this machine; if it is an address of the web, download it first.

    In a distributed run the first process downloads and the others wait.

    Args:
        path (str): A path, or an address that begins with ``http://`` or ``https://``. Any other
            address that mmengine can read is returned unchanged.
        sha256 (str, optional): The file's SHA-256 in hex, or at least its first 8 digits. Defaults
            to None: then it is checked only if the name of a remote file ends with digits of it,
            as in ``'resnet50-0676ba61.pth'``.

    Returns:
        str: The path.

    Raises:
        UserError: If it cannot be downloaded, or its SHA-256 is another one.
    """
    if path.startswith(('http://', 'https://')):
        if get_rank() == 0:
            cached(path, sha256)
        barrier()
        return str(cached(path, sha256))
    if sha256 is not None:
        if '://' in path:
            raise UserError(f'sha256 is for files and http(s) addresses, and not for {path}')
        file = Path(path).expanduser()
        if file.is_file():
            check_digest(file, sha256)
    return path


def cached(url: str, sha256: str | None = None, folder: str | None = None) -> Path:
    """Download a checkpoint, unless it was downloaded before.

    Args:
        url (str): Its address.
        sha256 (str, optional): See :func:`local_file`. Defaults to None.
        folder (str, optional): The folder for downloaded files. Defaults to None, that of torch
            hub.

    Returns:
        Path: The file. Its name begins with a hash of the address, so that files with the same name
        from different addresses are kept apart.

    Raises:
        UserError: See :func:`local_file`.
    """
    name = Path(urlsplit(url).path).name or 'checkpoint'
    if sha256 is None:
        named = re.search(r'-([0-9a-f]{8,64})\.\w+$', name)
        sha256 = named[1] if named else None
    parent = Path(folder) if folder else Path(torch.hub.get_dir(), 'checkpoints')
    file = parent.expanduser() / f'{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}'
    if not file.exists():
        return download(url, file, sha256)
    try:
        check_digest(file, sha256)
    except UserError as error:
        raise UserError(
            f'{error}; it was downloaded from {url}: move it away to download it again'
        ) from None
    return file


def _check_format(file: Path) -> None:
    """Check that a file begins as torch's files do, and that the parts of a zip file fit into it.

    torch stores the parts uncompressed. A part that grows when it is read, or two parts that share
    their bytes, were not written by torch.
    """
    size = file.stat().st_size
    if size == 0:
        raise UserError(f'checkpoint {file.absolute()} is empty, 0 bytes: it was never written')
    if not zipfile.is_zipfile(file):
        with file.open('rb') as opened:
            start = opened.read(8)
        if not start.startswith((PICKLE_START, ZIP_START)):
            raise UserError(
                f'{file} cannot be read as a checkpoint, it is another kind of file: it begins '
                f'with {start!r}'
            )
        return
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
    declared = sum(part.file_size for part in parts)
    if declared > size or any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise UserError(
            f'{file} is no checkpoint: its parts would unpack to {declared} bytes out of the '
            f"file's {size}, and torch does not compress"
        )


def _refusal(path: str, error: Exception) -> str:
    """The message for a pickle that torch refused to load."""
    line = one_line(error, with_type=False)
    found = re.search(r'(?:GLOBAL|class|function) (\S+)', line)
    if 'refused' in line:
        reason = re.split(r'(?<=[a-z0-9])\. ', line[line.index('refused') :])[0]
    elif found:
        reason = f'it asks for {found[1]}'
    else:
        reason = line.split('WeightsUnpickler error: ')[-1].split(' Check the documentation')[0]
    advice = f'if you trust its author, tools/train.py and test.py take {TRUST_OPTION} {path}'
    if torch.__version__ < (2, 6):
        advice = f'torch 2.6 or later reads more of what is harmless; {advice}'
    return (
        f'{path} was refused and nothing in it was run: a checkpoint holds weights, numbers and '
        f'texts, and this one holds more or is damaged ({reason:.200}); {advice}'
    )
