"""The feature cache is read as data only, and its faults never stop a training."""

import pytest
import torch
from mmdet.structures import DetDataSample

from nst_det.errors import UserError
from nst_det.fileio import shards
from nst_det.models.distillers.teacher import feature_cache
from nst_det.models.distillers.teacher.feature_cache import FeatureCache, image_key

KEY = image_key(torch.zeros(3, 4, 4), DetDataSample())
TENSORS = [torch.rand(2, 3), torch.rand(4).to(torch.bfloat16)]
TEACHER = dict(config='a')
CPU = torch.device('cpu')


@pytest.fixture
def lines(monkeypatch):
    lines = []
    for module in (feature_cache, shards):
        monkeypatch.setattr(module, 'print_log', lambda text, *_: lines.append(text))
    return lines


def get(cache, tensors=TENSORS, key=KEY):
    return cache.get_or_compute(TEACHER, [key], lambda missing: [tensors for _ in missing], CPU)


def files(cache, suffix):
    return sorted(cache.folder.rglob(f'*.{suffix}'))


def test_the_cache_reads_what_it_wrote_bit_for_bit(tmp_path):
    for expected_share in (0, 1):
        (found,), share = get(FeatureCache(tmp_path, limit=1))
        assert share == expected_share
        for tensor, expected in zip(found, TENSORS):
            assert torch.equal(tensor, expected) and tensor.dtype == expected.dtype


def test_the_record_of_an_image_holds_its_rows_alone(tmp_path):
    cache = FeatureCache(tmp_path, limit=1)
    get(cache, [torch.zeros(100, 1000)[3]])
    assert files(cache, 'data')[0].stat().st_size < 8000


def test_another_teacher_and_another_precision_find_nothing(tmp_path):
    get(FeatureCache(tmp_path, limit=1))
    assert get(FeatureCache(tmp_path, limit=1, stored=torch.float16))[1] == 0
    other = FeatureCache(tmp_path, limit=1)
    assert other.get_or_compute(dict(config='b'), [KEY], lambda _: [TENSORS], CPU)[1] == 0


@pytest.mark.parametrize(
    'damage',
    [
        lambda content: b'',
        lambda content: bytes(len(content)),
        lambda content: content[:-100],
        lambda content: content[:130] + bytes([content[130] ^ 1]) + content[131:],
    ],
)
def test_a_broken_record_is_ignored_and_written_again(tmp_path, lines, damage):
    cache = FeatureCache(tmp_path, limit=1)
    get(cache)
    (data,) = files(cache, 'data')
    data.write_bytes(damage(data.read_bytes()))
    again = FeatureCache(tmp_path, limit=1)
    assert [get(again)[1], get(again)[1]] == [0, 1]
    assert get(FeatureCache(tmp_path, limit=1))[1] == 1


def test_a_broken_record_is_logged(tmp_path, lines):
    cache = FeatureCache(tmp_path, limit=1)
    get(cache)
    (data,) = files(cache, 'data')
    data.write_bytes(data.read_bytes().replace(b'float32', b'float16'))
    get(FeatureCache(tmp_path, limit=1))
    assert lines[-1] == f'a record of {data} is broken and will be written again'


def test_a_full_cache_takes_no_more_and_logs_it_once(tmp_path, lines):
    cache = FeatureCache(tmp_path, limit=1e-7)
    assert [get(cache)[1], get(cache)[1]] == [0, 0]
    assert files(cache, 'data') == []
    assert [line for line in lines if '1e-07 GiB are full (teacher.cache_gib)' in line] == lines[1:]


def test_all_that_is_in_the_folder_counts_for_the_limit(tmp_path):
    cache = FeatureCache(tmp_path, limit=1)
    get(cache)
    (data,) = files(cache, 'data')
    assert cache.size >= data.stat().st_size
    assert FeatureCache(tmp_path, limit=1).size >= data.stat().st_size


def test_what_other_processes_write_counts_for_the_limit(tmp_path):
    cache, other = (FeatureCache(tmp_path, limit=1) for _ in range(2))
    get(cache)
    before = cache.size
    get(other, key=bytes(16))
    assert get(cache, key=bytes(16))[1] == 1
    assert cache.size > before


def test_a_full_disk_does_not_stop_the_training(tmp_path, lines, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device', 'shard')

    monkeypatch.setattr(shards._Shard, 'append', full)
    cache = FeatureCache(tmp_path, limit=1)
    (found,), share = get(cache)
    assert share == 0 and torch.equal(found[0], TENSORS[0])
    assert 'No more of the teacher' in lines[-1] and 'No space left' in lines[-1]


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(UserError, match=r'^teacher\.cache is .*file.*, which cannot be a folder'):
        FeatureCache(tmp_path / 'file', limit=1)
