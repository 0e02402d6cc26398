"""Shards are safe under several readers and writers, crashes and damage."""

import multiprocessing
import os
import resource
import signal

import pytest

from nst_det.fileio.shards import ALIGNMENT, ROW, ShardStore


def key(number: int) -> bytes:
    return number.to_bytes(16, 'big')


def value(number: int) -> bytes:
    return bytes([number % 256]) * (1 + number % 100)


def test_a_record_is_read_as_it_was_written_by_this_store_and_by_another(tmp_path):
    store = ShardStore(tmp_path)
    for number in range(50):
        store.put(key(number), [value(number), b'end'])
    for reader in (store, ShardStore(tmp_path)):
        assert len(reader) == 50
        assert all(reader.get(key(n)) == value(n) + b'end' for n in range(50))
    assert store.get(key(99)) is None


def test_a_store_finds_what_another_one_adds_later(tmp_path):
    first, second = ShardStore(tmp_path), ShardStore(tmp_path)
    for number in range(4):
        (first, second)[number % 2].put(key(number), [value(number)])
        assert first.get(key(number)) == second.get(key(number)) == value(number)


def test_a_record_that_was_read_stays_valid_while_the_file_grows(tmp_path):
    store = ShardStore(tmp_path)
    store.put(key(0), [value(0)])
    record = store.get(key(0))
    for number in range(1, 100):
        store.put(key(number), [bytes(5000)])
        store.get(key(number))
    assert record == value(0)


def test_records_are_aligned(tmp_path):
    store = ShardStore(tmp_path)
    for number in range(3):
        store.put(key(number), [value(number)])
    rows = ROW.iter_unpack(next(tmp_path.glob('*.index')).read_bytes())
    assert [offset % ALIGNMENT for _, offset, _, _ in rows] == [0, 0, 0]


def test_a_full_shard_is_followed_by_another(tmp_path):
    store = ShardStore(tmp_path, shard_bytes=1000)
    for number in range(10):
        store.put(key(number), [bytes(600)])
    assert len(list(tmp_path.glob('*.data'))) == 5
    assert len(ShardStore(tmp_path)) == 10


@pytest.mark.parametrize('cut', [1, ROW.size - 1, ROW.size + 5])
def test_a_half_written_index_loses_its_last_rows_alone(tmp_path, cut):
    store = ShardStore(tmp_path)
    for number in range(3):
        store.put(key(number), [value(number)])
    (index,) = tmp_path.glob('*.index')
    index.write_bytes(index.read_bytes()[:-cut])
    assert len(ShardStore(tmp_path)) == 2 - cut // ROW.size


def test_a_row_without_its_record_is_ignored(tmp_path):
    store = ShardStore(tmp_path)
    store.put(key(0), [value(0)])
    (index,) = tmp_path.glob('*.index')
    for row in [ROW.pack(key(1), 0, 10**9, 0), ROW.pack(key(2), 2**63, 2**63, 0), bytes(ROW.size)]:
        index.write_bytes(index.read_bytes() + row)
    again = ShardStore(tmp_path)
    assert [again.get(key(n)) for n in range(3)] == [value(0), None, None]


def test_the_later_of_two_records_with_one_key_counts(tmp_path):
    ShardStore(tmp_path).put(key(0), [b'first'])
    ShardStore(tmp_path).put(key(0), [b'second'])
    assert ShardStore(tmp_path).get(key(0)) == b'second'


def _write_on_a_full_disk(folder):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    store = ShardStore(folder)
    store.put(key(0), [value(0)])
    try:
        store.put(key(1), [bytes(100_000)])
    except OSError as error:
        assert error.filename.endswith('.data')
        store.put(key(2), [value(2)])  # which is small enough


def test_a_write_that_fails_leaves_all_else_as_it_was(tmp_path):
    writer = multiprocessing.get_context('fork').Process(
        target=_write_on_a_full_disk, args=(tmp_path,)
    )
    writer.start()
    writer.join()
    assert writer.exitcode == 0
    store = ShardStore(tmp_path)
    assert [store.get(key(n)) for n in range(3)] == [value(0), None, value(2)]


def test_a_deleted_shard_is_missing_and_no_error(tmp_path):
    ShardStore(tmp_path).put(key(0), [value(0)])
    store = ShardStore(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert store.get(key(0)) is None
    store.put(key(0), [value(0)])
    assert store.get(key(0)) == value(0)


def _write(folder, begin, end):
    store = ShardStore(folder)
    for number in range(begin, end):
        store.put(key(number), [value(number)])


def test_processes_write_at_once_and_find_each_others_records(tmp_path):
    context = multiprocessing.get_context('fork')
    writers = [
        context.Process(target=_write, args=(tmp_path, 100 * i, 100 * i + 100)) for i in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    store = ShardStore(tmp_path)
    assert len(store) == 300
    assert all(store.get(key(n)) == value(n) for n in range(300))


def test_a_fork_does_not_append_to_the_shard_of_its_parent(tmp_path):
    store = ShardStore(tmp_path)
    store.put(key(0), [value(0)])
    child = os.fork()
    if not child:
        try:
            store.put(key(1), [value(1)])
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    store.put(key(2), [value(2)])
    assert len(list(tmp_path.glob('*.data'))) == 2
    assert [store.get(key(n)) for n in range(3)] == [value(n) for n in range(3)]
