"""Checkpoint files, which may come from strangers: reading one runs nothing that is in it."""

import hashlib
import logging
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from mmengine.dist import barrier, get_rank
from mmengine.logging import print_log

from nst_det.errors import UserError
from nst_det.fileio.download import check_digest, download

TRUST_OPTION = '--trust-pickled-checkpoint'
_trusted: set[Path] = set()


def trust(paths: list[str]) -> None:
    """Let files run whatever code they hold when they are loaded, as pickles do.

    Args:
        paths (list[str]): Checkpoint files, each of which must be there.

    Raises:
        UserError: Where one is not.
    """
    for path in paths:
        file = Path(path).expanduser()
        if not file.is_file():
            raise UserError(f'{TRUST_OPTION} {path}: there is no such file')
        _trusted.add(file.resolve())


def load_file(path: str, map_location: Any = None) -> Any:
    """Read a checkpoint file without running anything in it.

    Args:
        path (str): The file.
        map_location (Any): What ``torch.load`` takes. Defaults to None.

    Returns:
        Any: What it holds: tensors, numbers, texts, mmengine's training log.

    Raises:
        UserError: Where there is no such file, it is damaged or no checkpoint, its parts are larger
            than itself, or it holds anything that would have to be run; unless :func:`trust` named
            it.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise UserError(f'checkpoint {file.absolute()} is a folder, expected a file')
    if not file.is_file():
        state = 'is no plain file' if file.exists() else 'does not exist'
        raise UserError(f'checkpoint {file.absolute()} {state}')
    trusted = file.resolve() in _trusted
    if trusted:
        print_log(
            f'{path} is loaded with {TRUST_OPTION}: whatever code it holds runs now',
            'current',
            logging.WARNING,
        )
    try:
        if not trusted:
            _check_archive(file)
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'Detected pickle protocol')
            return torch.load(file, map_location=map_location, weights_only=not trusted)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(_refusal(path, str(error))) from error
    except Exception as error:  # there is no end to what unpickling a file of another kind raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].split('. ')[0]
        raise UserError(
            f'{path} cannot be read as a checkpoint, it is another kind of file or truncated: '
            f'{reason}'
        ) from error


def load_url(
    url: str, model_dir: str | None = None, map_location: Any = None, **kwargs: Any
) -> Any:
    """Read a checkpoint from the web: what mmengine asks for in the name of torch's ``load_url``.

    Args:
        url (str): Its address.
        model_dir (str, optional): Where downloaded files are kept. Defaults to None, torch hub's.
        map_location (Any): What ``torch.load`` takes. Defaults to None.
        **kwargs: Not used: there is always a progress bar.

    Returns:
        Any: See :func:`load_file`.
    """
    return load_file(str(cached(url, folder=model_dir)), map_location)


def local_file(path: str, sha256: str | None = None) -> str:
    """Have a checkpoint on this machine, downloading it where it is an address of the web.

    In a distributed run the first process downloads and the others wait.

    Args:
        path (str): A path, or an address that begins with ``http://`` or ``https://``; whatever
            else mmengine can read is given back as it is.
        sha256 (str, optional): The file's SHA-256 in hex, or at least its first 8 digits. Defaults
            to None: then it is checked only where the name of a remote file ends with digits of
            it, as in ``'resnet50-0676ba61.pth'``.

    Returns:
        str: The path.

    Raises:
        UserError: Where it cannot be had, or is another file than its SHA-256 says.
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
    """Download a checkpoint once.

    Args:
        url (str): Its address.
        sha256 (str, optional): See :func:`local_file`. Defaults to None.
        folder (str, optional): Where it is kept. Defaults to None, torch hub's.

    Returns:
        Path: The file. Its name begins with digits that are made of the address, so that files of
        one name from two places are two files.

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
        raise UserError(f'{error}; it was kept from {url}: move it away to download it') from None
    return file


def _check_archive(file: Path) -> None:
    """Check that a file is one of torch's, whose parts are no larger than itself.

    torch stores the parts of its zip files as they are, so that a part that would grow on reading,
    or two parts that share their bytes, are no work of its.
    """
    size = file.stat().st_size
    if size == 0:
        raise UserError(f'checkpoint {file.absolute()} is empty, 0 bytes: it was never written')
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
    declared = sum(part.file_size for part in parts)
    if declared > size or any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise UserError(
            f'{file} is no checkpoint: its parts would unpack to {declared} bytes out of the '
            f"file's {size}, and torch does not compress"
        )


def _refusal(path: str, error: str) -> str:
    """Say why a pickle was refused."""
    line = ' '.join(error.split())
    found = re.search(r'(?:GLOBAL|class|function) (\S+)', line)
    if 'refused' in line:
        what = line[line.index('refused') :]
        what = re.split(r'(?<=[a-z0-9])\. ', what)[0]
    elif found:
        what = f'it asks for {found[1]}'
    else:
        what = line.split('WeightsUnpickler error: ')[-1]
    hint = f'if you trust who made it, tools/train.py and test.py take {TRUST_OPTION} {path}'
    if torch.__version__ < (2, 6):
        hint = f'torch 2.6 or later reads more of what is harmless; {hint}'
    return (
        f'{path} was refused and nothing in it was run: a checkpoint holds weights, numbers and '
        f'texts, and this one is more or is damaged ({what:.200}); {hint}'
    )
