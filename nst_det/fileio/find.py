"""Finding the files that a user names. It imports no torch, so that the tools can check first."""

from pathlib import Path

from nst_det.errors import UserError


def check_checkpoint(path: str) -> None:
    """Check that a checkpoint file exists, if it is on this machine.

    Args:
        path (str): Its path, or an address such as ``'https://…'``, which is not checked.

    Raises:
        UserError: If there is no such file.
    """
    if '://' not in path:
        find_checkpoint(path)


def find_checkpoint(path: str) -> Path:
    """Find a checkpoint file on this machine.

    Args:
        path (str): Its path.

    Returns:
        Path: The file.

    Raises:
        UserError: If there is no such file.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise UserError(f'checkpoint {file.absolute()} is a folder, expected a file')
    if not file.is_file():
        state = 'is no plain file' if file.exists() else 'does not exist'
        raise UserError(f'checkpoint {file.absolute()} {state}')
    return file


def find_image(path: str | Path) -> Path:
    """Find an image file.

    Args:
        path (str | Path): Its path.

    Returns:
        Path: The file.

    Raises:
        UserError: If there is no such file.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f'there is no image {file.absolute()}')
    return file


def find_work_dir(path: str | Path) -> Path:
    """Find the work dir of a training.

    Args:
        path (str | Path): Its path.

    Returns:
        Path: The folder.

    Raises:
        UserError: If there is no such folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f'there is no work dir {folder.absolute()}')
    return folder


def find_devkit_years(folder: str | Path) -> list[Path]:
    """Find the years of a VOC devkit.

    Args:
        folder (str | Path): ``VOCdevkit``, or the folder that contains it.

    Returns:
        list[Path]: The folders such as ``VOC2007``.

    Raises:
        UserError: If there is none.
    """
    root = Path(folder)
    years = sorted(root.glob('VOC20[0-9][0-9]')) or sorted(root.glob('VOCdevkit/VOC20[0-9][0-9]'))
    if not years:
        raise UserError(f'{root.absolute()} holds no devkit: expected VOC2007 or VOC2012 in it')
    return years
