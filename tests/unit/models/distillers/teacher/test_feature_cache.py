"""A cache of maps on disk is read as data, shared, and never in the way."""

import pickle

import pytest
import torch

from nst_det.errors import UserError
from nst_det.models.distillers.teacher import feature_cache
from nst_det.models.distillers.teacher.feature_cache import FeatureCache, image_key

IMAGE = image_key(torch.zeros(3, 4, 4), {})
MAPS = [torch.rand(2, 3), torch.rand(4).to(torch.bfloat16)]


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path, limit=1)


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(feature_cache, 'print_log', lambda text, *_: lines.append(text))
    return lines


def entry(cache):
    return cache.folder / 'teacher' / f'{IMAGE}.pt'


def test_what_was_written_is_read_bit_for_bit(cache):
    assert cache.read('teacher', IMAGE) is None
    cache.write('teacher', IMAGE, MAPS)
    read = cache.read('teacher', IMAGE)
    assert all(torch.equal(*pair) and pair[0].dtype == pair[1].dtype for pair in zip(read, MAPS))


def test_an_entry_holds_its_rows_alone(cache):
    cache.write('teacher', IMAGE, [torch.zeros(100, 1000)[3]])
    assert entry(cache).stat().st_size < 8000


@pytest.mark.parametrize(
    'damage',
    [
        lambda content: b'',
        lambda content: bytes(4),
        lambda content: content[:-100],
        lambda content: content[:700] + bytes([content[700] ^ 1]) + content[701:],
    ],
)
def test_a_broken_entry_is_passed_over_with_a_word_and_written_anew(cache, said, damage):
    cache.write('teacher', IMAGE, MAPS)
    entry(cache).write_bytes(damage(entry(cache).read_bytes()))
    assert cache.read('teacher', IMAGE) is None
    assert said == [f'{entry(cache)} is broken and will be written again']
    cache.write('teacher', IMAGE, MAPS)
    assert cache.read('teacher', IMAGE) is not None


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('ran')",)


def test_a_crafted_entry_runs_nothing(cache, said):
    body = pickle.dumps(Evil())
    entry(cache).parent.mkdir()
    entry(cache).write_bytes(body + feature_cache._checksum(body))
    assert cache.read('teacher', IMAGE) is None
    assert 'is broken' in said[0]


def test_beyond_its_limit_nothing_is_added_and_the_log_says_so_once(tmp_path, said):
    cache = FeatureCache(tmp_path, limit=1e-6)
    for _ in range(2):
        cache.write('teacher', IMAGE, MAPS)
    assert not entry(cache).exists()
    assert [line for line in said if '1e-06 GiB are full (teacher.cache_gib)' in line] == said[1:]


def test_what_is_there_counts_for_the_limit(cache, tmp_path):
    cache.write('teacher', IMAGE, MAPS)
    assert FeatureCache(tmp_path, limit=1).size == cache.size == entry(cache).stat().st_size


def test_a_disk_that_takes_no_more_does_not_stop_the_training(cache, said):
    (cache.folder / 'teacher').write_bytes(b'in the way')
    cache.write('teacher', IMAGE, MAPS)
    assert 'No more of the teacher' in said[0]


def test_a_file_in_place_of_the_folder_is_one_clear_line(tmp_path):
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(UserError, match=r'^teacher\.cache is .*file.*, which cannot be a folder'):
        FeatureCache(tmp_path / 'file', limit=1)
