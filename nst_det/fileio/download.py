"""Downloading files, each of which is on disk either completely or not at all."""

import hashlib
import os
import re
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from nst_det.errors import UserError, refuse_existing

CHUNK = 1 << 20
DIGESTS = {32: 'md5', 40: 'sha1'}  # by the number of hexadecimal digits; others are of SHA-256


def download(url: str, target: Path, digest: str | None = None, attempts: int = 3) -> Path:
    """Download a file, continuing an earlier download that was interrupted.

    The download is kept beside the target, under its name with ``.part``. It takes the name of the
    target when it is complete: it has the length that the server announced, and the digest if one
    is given.

    Args:
        url (str): The address.
        target (Path): The file to make. An existing file is never changed.
        digest (str, optional): The digest, as for :func:`check_digest`. Defaults to None.
        attempts (int): How often a broken connection is tried again. Defaults to 3.

    Returns:
        Path: ``target``.

    Raises:
        UserError: If it cannot be downloaded completely, or its digest is another one.
    """
    refuse_existing(target, 'move it away to download it again')
    part = target.with_name(target.name + '.part')
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, attempts + 1):
            try:
                _fetch(url, part)
                break
            except (OSError, HTTPException) as error:
                hopeless = isinstance(error, urllib.error.HTTPError) and error.code < 500
                if attempt == attempts or hopeless or getattr(error, 'filename', None):
                    raise
        check_digest(part, digest)
    except UserError:
        part.unlink(missing_ok=True)  # it is complete and wrong: there is nothing to continue
        raise
    except (OSError, HTTPException, ValueError) as error:
        arrived = part.stat().st_size if part.exists() else 0
        kept = f'; {arrived} bytes are kept in {part}, try again to continue' if arrived else ''
        raise UserError(f'cannot download {url}: {error or type(error).__name__}{kept}') from error
    os.replace(part, target)
    return target


def _fetch(url: str, part: Path) -> None:
    """Download the rest of a file."""
    start = part.stat().st_size if part.exists() else 0
    headers = {'Range': f'bytes={start}-'} if start else {}
    request = urllib.request.Request(url, headers={'User-Agent': 'nst_det', **headers})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if start and error.code == 416:  # the server has nothing after the last byte that arrived
            size = (error.headers.get('Content-Range') or '').rpartition('/')[2]
            if size == str(start):
                return
            part.unlink()
            raise ConnectionError(f'{part.name} does not fit the file of the server') from error
        raise
    with answer:
        resumed = answer.status == 206
        start = start if resumed else 0
        length = answer.headers.get('Content-Length')
        total = start + int(length) if length else None
        with (
            part.open('ab' if resumed else 'wb') as file,
            tqdm(
                desc=part.stem,
                total=total,
                initial=start,
                unit='B',
                unit_scale=True,
                unit_divisor=1024,
                mininterval=1,
            ) as bar,
        ):
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
            arrived = file.tell()
    if total is not None and arrived != total:
        raise ConnectionError(f'the connection broke after {arrived} of {total} bytes')


def check_digest(path: Path, digest: str | None) -> None:
    """Check the digest of a file.

    Args:
        path (Path): The file.
        digest (str or None): The hexadecimal MD5 (32 digits) or SHA-1 (40), or SHA-256: all 64
            digits or the first ones, at least 8. None checks nothing.

    Raises:
        UserError: If the file has another digest, or the digest is not spelled as one.
    """
    if digest is None:
        return
    check_spelling(digest)
    algorithm = DIGESTS.get(len(digest), 'sha256')
    found = hashlib.new(algorithm, usedforsecurity=False)
    with path.open('rb') as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    if not found.hexdigest().startswith(digest.lower()):
        raise UserError(
            f'{path} is not the expected file: its {algorithm} is {found.hexdigest()}, '
            f'expected {digest}'
        )


def check_spelling(digest: object) -> None:
    """Check that a value is spelled as a digest.

    Args:
        digest (object): The value.

    Raises:
        UserError: If it is not.
    """
    if not isinstance(digest, str) or not re.fullmatch('[0-9a-fA-F]{8,64}', digest):
        raise UserError(
            f'{digest!r:.80} is no digest of a file: give its SHA-256, 64 digits in hex'
        )
