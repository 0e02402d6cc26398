"""A file is replaced completely or not at all."""

import subprocess

import pytest

from nst_det.fileio.atomic import write_atomically


def test_a_file_and_its_folder_are_made(tmp_path):
    write_atomically(tmp_path / 'a' / 'b.pth', b'content')
    assert (tmp_path / 'a' / 'b.pth').read_bytes() == b'content'
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['b.pth']


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'target').write_bytes(b'old')
    (tmp_path / 'link').symlink_to('target')
    write_atomically(tmp_path / 'link', b'new')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'target').read_bytes() == b'new'


def test_a_full_disk_leaves_the_old_file(tmp_path, warm_python):
    path = tmp_path / 'a.pth'
    path.write_bytes(b'old')
    full = (
        'import resource, sys; from nst_det.fileio.atomic import write_atomically; '
        'resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); '
        f'write_atomically({str(path)!r}, bytes(5000))'
    )
    result = subprocess.run([warm_python, '-c', full], capture_output=True, text=True)
    assert f"File too large: '{path}'" in result.stderr
    assert path.read_bytes() == b'old'
    assert [file.name for file in tmp_path.iterdir()] == ['a.pth']


def test_a_path_below_a_file_is_an_error(tmp_path):
    (tmp_path / 'taken').write_bytes(b'')
    with pytest.raises(OSError, match='taken'):
        write_atomically(tmp_path / 'taken' / 'a.pth', b'')
