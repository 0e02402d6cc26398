"""Making a devkit from archives of VOC's layout."""

import hashlib
import io
import tarfile

import pytest

from nst_det.datasets import voc_download
from nst_det.datasets.voc_download import prepare_devkit, unpack
from nst_det.errors import UserError

NAMES = dict(zip(('2007', '2007-test', '2012'), ('trainval.tar', 'test.tar', '2012.tar')))


def pack(path, members):
    with tarfile.open(path, 'w') as tar:
        for name, content in members.items():
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def archives(tmp_path, monkeypatch):
    """A folder with the archives of a tiny VOC, and their digests where torchvision keeps VOC's."""
    folder = tmp_path / 'archives'
    folder.mkdir()
    table = {}
    for name, file in NAMES.items():
        year = name[:4]
        members = {f'VOCdevkit/VOC{year}/{name}-{i}.txt': f'{name} {i}'.encode() for i in range(3)}
        pack(folder / file, members)
        md5 = hashlib.md5((folder / file).read_bytes()).hexdigest()
        table[name] = dict(filename=file, md5=md5, url='http://127.0.0.1:1/gone.tar')
    monkeypatch.setattr(voc_download, 'DATASET_YEAR_DICT', table)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_existing_archives_are_unpacked(archives, tmp_path):
    devkit = prepare_devkit(tmp_path / 'data', ['2007', '2012'], archives)
    assert devkit == tmp_path / 'data' / 'VOCdevkit'
    assert len(contents(devkit)) == 9
    assert contents(devkit / 'VOC2012')['2012-1.txt'] == b'2012 1'


def test_existing_files_are_kept_and_missing_ones_are_unpacked(archives, tmp_path):
    devkit = prepare_devkit(tmp_path, ['2007'], archives)
    (devkit / 'VOC2007' / '2007-0.txt').write_bytes(b'MINE 0')  # of the same size
    (devkit / 'VOC2007' / '2007-1.txt').unlink()
    (devkit / 'VOC2007' / 'more.txt').write_bytes(b'more')
    prepare_devkit(tmp_path, ['2007'], archives)
    found = contents(devkit)
    assert found['2007-0.txt'] == b'MINE 0' and found['2007-1.txt'] == b'2007 1'
    assert found['more.txt'] == b'more'


def test_a_file_of_another_size_is_kept_and_reported(archives, tmp_path):
    devkit = prepare_devkit(tmp_path, ['2007'], archives)
    (devkit / 'VOC2007' / '2007-0.txt').write_bytes(b'half')
    with pytest.raises(UserError, match=r'1 files have another size .*2007-0\.txt: they were kept'):
        prepare_devkit(tmp_path, ['2007'], archives)
    assert (devkit / 'VOC2007' / '2007-0.txt').read_bytes() == b'half'


def test_an_archive_that_is_not_vocs_is_refused_and_kept(archives, tmp_path):
    archive = archives / 'test.tar'
    archive.write_bytes(archive.read_bytes()[:-100])
    size = archive.stat().st_size
    with pytest.raises(UserError, match=r'test\.tar is not the expected file: its md5'):
        prepare_devkit(tmp_path / 'data', ['2007'], archives)
    assert archive.stat().st_size == size and not (tmp_path / 'data').exists()


def test_an_archive_that_cannot_be_downloaded_is_one_line(archives, tmp_path):
    (archives / 'test.tar').unlink()
    with pytest.raises(UserError, match=r'^cannot download http://127[^\n]*$'):
        prepare_devkit(tmp_path / 'data', ['2007'], archives)


def link(name):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, '/etc/passwd'
    return info


@pytest.mark.parametrize(
    'name', ['../evil', '/evil', 'VOCdevkit/../../evil', 'elsewhere/evil', link('VOCdevkit/evil')]
)
def test_an_archive_with_a_member_outside_unpacks_nothing(tmp_path, name):
    archive = pack(tmp_path / 'a.tar', {'VOCdevkit/a.txt': b'a', name: b''})
    with pytest.raises(UserError, match='is no archive of VOC'):
        unpack(archive, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('keep', [0, 100, 700, 2300])
def test_a_broken_archive_leaves_only_complete_files(tmp_path, keep):
    members = {f'VOCdevkit/{i}.bin': bytes([i]) * 1000 for i in range(3)}
    archive = pack(tmp_path / 'a.tar', members)
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(UserError, match='is no complete tar file'):
        unpack(archive, tmp_path / 'out')
    complete = [path for path in (tmp_path / 'out').rglob('*.bin') if path.stat().st_size == 1000]
    assert complete == list((tmp_path / 'out').rglob('*.bin'))
