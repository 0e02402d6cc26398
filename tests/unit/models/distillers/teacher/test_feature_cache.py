"""The feature cache is read as data only, and its faults never stop a training."""

import pickle

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.distillers.teacher import feature_cache
from nst_det.models.distillers.teacher.feature_cache import FeatureCache, image_key

IMAGE = image_key(torch.zeros(3, 4, 4), {})
TENSORS = [torch.rand(2, 3), torch.rand(4).to(torch.bfloat16)]


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path, limit=1)


@pytest.fixture
def lines(monkeypatch):
    lines = []
    monkeypatch.setattr(feature_cache, 'print_log', lambda text, *_: lines.append(text))
    return lines


def file(cache):
    return cache.folder / 'teacher' / f'{IMAGE}.pt'


def test_the_cache_reads_what_it_wrote_bit_for_bit(cache):
    assert cache.read('teacher', IMAGE) is None
    cache.write('teacher', IMAGE, TENSORS)
    read = cache.read('teacher', IMAGE)
    assert all(torch.equal(*pair) and pair[0].dtype == pair[1].dtype for pair in zip(read, TENSORS))


def test_the_file_of_an_image_holds_its_rows_alone(cache):
    cache.write('teacher', IMAGE, [torch.zeros(100, 1000)[3]])
    assert file(cache).stat().st_size < 8000


@pytest.mark.parametrize(
    'damage',
    [
        lambda content: b'',
        lambda content: bytes(4),
        lambda content: content[:-100],
        lambda content: content[:700] + bytes([content[700] ^ 1]) + content[701:],
    ],
)
def test_a_broken_file_is_logged_ignored_and_written_again(cache, lines, damage):
    cache.write('teacher', IMAGE, TENSORS)
    file(cache).write_bytes(damage(file(cache).read_bytes()))
    assert cache.read('teacher', IMAGE) is None
    assert lines == [f'{file(cache)} is broken and will be written again']
    cache.write('teacher', IMAGE, TENSORS)
    assert cache.read('teacher', IMAGE) is not None


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


def test_a_crafted_file_runs_no_code(cache, lines):
    body = pickle.dumps(Evil())
    file(cache).parent.mkdir()
    file(cache).write_bytes(body + feature_cache._checksum(body))
    assert cache.read('teacher', IMAGE) is None
    assert 'is broken' in lines[0]


def test_a_full_cache_takes_no_more_and_logs_it_once(tmp_path, lines):
    cache = FeatureCache(tmp_path, limit=1e-6)
    for _ in range(2):
        cache.write('teacher', IMAGE, TENSORS)
    assert not file(cache).exists()
    assert [line for line in lines if '1e-06 GiB are full (teacher.cache_gib)' in line] == lines[1:]


def test_existing_files_count_for_the_limit(cache, tmp_path):
    cache.write('teacher', IMAGE, TENSORS)
    assert FeatureCache(tmp_path, limit=1).size == cache.size == file(cache).stat().st_size


def test_a_full_disk_does_not_stop_the_training(cache, lines):
    (cache.folder / 'teacher').write_bytes(b'in the way')
    cache.write('teacher', IMAGE, TENSORS)
    assert 'No more of the teacher' in lines[0]


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(UserError, match=r'^teacher\.cache is .*file.*, which cannot be a folder'):
        FeatureCache(tmp_path / 'file', limit=1)
