"""VOC's archives: downloaded or taken from a folder, and unpacked without overwriting."""

import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from torchvision.datasets.voc import DATASET_YEAR_DICT
from tqdm import tqdm

from nst_det.errors import UserError
from nst_det.fileio.download import check_digest, download

ARCHIVES = {'2007': ('2007', '2007-test'), '2012': ('2012',)}  # torchvision's names, by year


def prepare_devkit(
    out_dir: str | Path, years: Sequence[str] = ('2007',), archives: str | Path | None = None
) -> Path:
    """Make a VOC devkit, or complete it.

    Existing files are kept as they are. A second call unpacks the missing ones.

    Args:
        out_dir (str | Path): The folder in which ``VOCdevkit`` is made.
        years (Sequence[str]): ``'2007'`` (trainval and test) and ``'2012'`` (trainval). Defaults to
            ``('2007',)``.
        archives (str | Path, optional): The folder of the archives, to which missing ones are
            downloaded. Defaults to None, ``out_dir``.

    Returns:
        Path: The ``VOCdevkit`` folder.

    Raises:
        UserError: If an archive cannot be downloaded or is not VOC's, or an existing file has
            another size than in the archive.
    """
    out_dir = Path(out_dir)
    folder = out_dir if archives is None else Path(archives)
    entries = [DATASET_YEAR_DICT[name] for year in years for name in ARCHIVES[year]]
    files = [_archive(folder, entry['filename'], entry['url'], entry['md5']) for entry in entries]
    for file in files:
        unpack(file, out_dir)
    return out_dir / 'VOCdevkit'


def _archive(folder: Path, name: str, url: str, md5: str) -> Path:
    """Find an archive, or download it."""
    file = folder / name
    if not file.exists():
        return download(url, file, md5)
    print(f'{file} exists: checking its MD5', flush=True)
    check_digest(file, md5)
    return file


def unpack(archive: Path, out_dir: Path) -> int:
    """Unpack the missing files of the ``VOCdevkit`` in an archive.

    A file gets its name when it is complete. Existing files are not overwritten.

    Args:
        archive (Path): A tar file.
        out_dir (Path): The folder to unpack to.

    Returns:
        int: The number of files that were unpacked.

    Raises:
        UserError: If it is no complete tar file, has a member outside of ``VOCdevkit`` or that is
            no plain file, or if existing files have another size.
    """
    count, different = 0, []
    try:
        with tarfile.open(archive) as tar:
            members = [member for member in tar.getmembers() if not member.isdir()]
            for member in members:
                path = PurePosixPath(member.name)
                if not member.isfile() or path.is_absolute() or '..' in path.parts:
                    raise UserError(
                        f'{archive} is no archive of VOC: it would put {member.name!r} elsewhere, '
                        'or as a link'
                    )
                if path.parts[0] != 'VOCdevkit':
                    raise UserError(f'{archive} is no archive of VOC: it holds {member.name!r}')
            for member in tqdm(members, desc=archive.name, unit='file', mininterval=1):
                target = out_dir / member.name
                if not target.exists():
                    _write(tar, member, target)
                    count += 1
                elif target.stat().st_size != member.size:
                    different.append(target)
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f'{archive} is no complete tar file: {error}') from error
    except OSError as error:
        raise UserError(f'cannot unpack {archive} into {out_dir.absolute()}: {error}') from error
    print(f'{archive.name}: {count} files unpacked, {len(members) - count} existed')
    if different:
        raise UserError(
            f'{len(different)} files have another size than in {archive.name}, such as '
            f'{different[0]}: they were kept; move them away to unpack them again'
        )
    return count


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'.{target.name}.part')
    with tar.extractfile(member) as source, part.open('wb') as file:
        shutil.copyfileobj(source, file)
    if part.stat().st_size != member.size:
        raise EOFError(f'it ends within {member.name}')
    os.replace(part, target)
