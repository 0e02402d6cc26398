"""Records on disk by their keys, in memory-mapped files that many processes read and append to."""

import logging
import mmap
import os
import struct
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from mmengine.logging import print_log

KEY_BYTES = 16
ROW = struct.Struct(f'<{KEY_BYTES}sQQI')  # key, offset, length and checksum of a record
ALIGNMENT = 64  # bytes; records begin at multiples of it
SHARD_BYTES = 2**30


class ShardStore:
    """A folder of records, which several processes may read and add to.

    A shard is two files: ``NAME.data`` with one record behind another, and ``NAME.index`` with a
    row for each of them. Only the process that made a shard appends to it, so no locks are needed;
    all others find its new rows when they miss a record. A row is written after its record. So a
    process that is killed, or a full disk, leaves at most some bytes that no row names, and a row
    whose record did not reach the disk in a power cut has a wrong checksum. Where two records have
    one key, the later one counts.

    Args:
        folder (Path): The folder; it is made with the first record.
        shard_bytes (int): The size at which a process begins another shard. Defaults to 1 GiB.
    """

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder = folder
        self.shard_bytes = shard_bytes
        self._shards: dict[str, _Shard] = {}
        self._places: dict[bytes, tuple[_Shard, int, int, int]] = {}
        self._checked: set[bytes] = set()
        self._own: _Shard | None = None
        self._process = os.getpid()
        self.refresh()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: bytes) -> bool:
        """Whether there is a record, also one that another process has added by now."""
        if key not in self._places:
            self.refresh()
        return key in self._places

    @property
    def size(self) -> int:
        """int: The bytes of all shards, as far as they are known."""
        return sum(shard.size for shard in self._shards.values())

    def get(self, key: bytes) -> memoryview | None:
        """Read a record. Its checksum is compared when it is read for the first time.

        Args:
            key (bytes): The key, 16 bytes.

        Returns:
            memoryview or None: The record, which lies in the mapped file and must not be changed;
            None if there is none, or it is broken.
        """
        if key not in self:
            return None
        shard, offset, length, checksum = self._places[key]
        record = shard.read(offset, length)
        if record is not None and (key in self._checked or zlib.crc32(record) == checksum):
            self._checked.add(key)
            return record
        print_log(
            f'a record of {shard.data} is broken and will be written again',
            'current',
            logging.WARNING,
        )
        del self._places[key]
        return None

    def put(self, key: bytes, parts: Sequence[bytes | memoryview]) -> None:
        """Append a record.

        Args:
            key (bytes): The key, 16 bytes.
            parts (Sequence[bytes | memoryview]): What the record consists of, in its order.

        Raises:
            OSError: If it cannot be written. What was there before is unchanged.
        """
        if self._process != os.getpid():  # a fork must not append to the shard of its parent
            self._own, self._process = None, os.getpid()
        if self._own is None or self._own.size >= self.shard_bytes:
            name = f'{time.time_ns():016x}-{uuid.uuid4().hex[:8]}'
            self.folder.mkdir(parents=True, exist_ok=True)
            self._own = self._shards[name] = _Shard(self.folder / name)
        offset, length, checksum = self._own.append(key, parts)
        self._places[key] = self._own, offset, length, checksum
        self._checked.discard(key)

    def refresh(self) -> None:
        """Find the records that other processes have added."""
        with suppress(OSError):  # no folder yet
            for path in sorted(self.folder.glob('*.index')):
                name = path.stem
                if name not in self._shards:
                    self._shards[name] = _Shard(self.folder / name)
        for shard in self._shards.values():
            if shard is not self._own:
                for key, offset, length, checksum in shard.new_rows():
                    self._places[key] = shard, offset, length, checksum


class _Shard:
    """The two files of a shard.

    Args:
        path (Path): Their path without suffix.
    """

    def __init__(self, path: Path) -> None:
        self.data = path.with_name(f'{path.name}.data')
        self.index = path.with_name(f'{path.name}.index')
        self.size = 0
        self._index_read = 0
        self._mapped: mmap.mmap | None = None

    def new_rows(self) -> Iterator[tuple[bytes, int, int, int]]:
        """Read the rows that were added since the last call."""
        try:
            if self.index.stat().st_size - self._index_read < ROW.size:
                return
            with open(self.index, 'rb') as file:
                file.seek(self._index_read)
                content = file.read()
            self.size = self.data.stat().st_size
        except OSError:  # it was deleted
            return
        content = content[: len(content) // ROW.size * ROW.size]  # a row may be half written
        self._index_read += len(content)
        for key, offset, length, checksum in ROW.iter_unpack(content):
            if length and offset + length <= self.size:
                yield key, offset, length, checksum

    def read(self, offset: int, length: int) -> memoryview | None:
        """Map a record into memory; None if the file does not hold it."""
        if self._mapped is None or len(self._mapped) < offset + length:
            try:
                with open(self.data, 'rb') as file:
                    # A private map is one that may be written to, as torch wants it.
                    self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            except (OSError, ValueError):  # it is gone, or empty
                return None
        if len(self._mapped) < offset + length:
            return None
        return memoryview(self._mapped)[offset : offset + length]

    def append(self, key: bytes, parts: Sequence[bytes | memoryview]) -> tuple[int, int, int]:
        """Write a record, then its row. Return offset, length and checksum."""
        offset = -(-self.size // ALIGNMENT) * ALIGNMENT
        length = checksum = 0
        try:
            with open(self.data, 'ab') as file:
                file.truncate(self.size)  # without what a failure has left
                file.write(bytes(offset - self.size))
                for part in parts:
                    file.write(part)
                    checksum = zlib.crc32(part, checksum)
                    length += memoryview(part).nbytes
            with open(self.index, 'ab') as file:
                file.truncate(self._index_read)
                file.write(ROW.pack(key, offset, length, checksum))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.data)) from error
        self.size = offset + length
        self._index_read += ROW.size
        return offset, length, checksum
