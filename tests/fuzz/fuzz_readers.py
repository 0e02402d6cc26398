"""Hand damaged and crafted files to the readers of files: `make fuzz INPUTS=1000000`.

An input passes if it is read, or refused by a UserError of one line. It fails, and is kept in the
folder of the log, if anything else is raised, if a process or a connection is started, or if the
process dies. A run also fails if its memory has grown by more than 1 GiB at the end. By default the
inputs are mutations of seeds, the same ones for the same --seed. `--engine atheris` lets atheris
look for inputs that reach new code (`pip install atheris`; it has wheels for some Pythons only).
"""

import argparse
import inspect
import io
import math
import pickle
import random
import re
import resource
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from nst_det.compat import weights_only
from nst_det.datasets import voc_annotation
from nst_det.errors import UserError
from nst_det.fileio import checkpoint, state_dict
from nst_det.models.backbones.inception_bn import mxnet_params

FORBIDDEN = ('os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'subprocess.Popen', 'socket.')
MEMORY = 16 * 2**30  # bytes of address space, so that too large an allocation fails
GROWTH = 2**20  # kB


# The readers: each takes the content of a file.


def read_annotation(content: bytes, folder: Path) -> None:
    voc_annotation.parse_annotation(content, 'some.xml')


def read_checkpoint(content: bytes, folder: Path) -> None:
    path = folder / 'some.pth'
    path.write_bytes(content)
    state_dict.read_state_dict(str(path))


def read_mxnet(content: bytes, folder: Path) -> None:
    path = folder / 'some.params'
    path.write_bytes(content)
    mxnet_params.read_mxnet_params(path)


def annotation_seeds() -> list[bytes]:
    box = '<bndbox><xmin>8</xmin><ymin>12</ymin><xmax>352</xmax><ymax>498</ymax></bndbox>'
    size = '<size><width>353</width><height>500</height><depth>3</depth></size>'
    obj = f'<object><name>dog</name><difficult>0</difficult>{box}</object>'
    entity = '<!DOCTYPE a [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    return [
        f'<annotation><filename>000001.jpg</filename>{size}{obj}{obj}</annotation>'.encode(),
        f'<?xml version="1.0" encoding="utf-16"?><annotation>{size}</annotation>'.encode('utf-16'),
        f'{entity}<annotation>{size}<object><name>&b;</name>{box}</object></annotation>'.encode(),
    ]


def checkpoint_seeds() -> list[bytes]:
    weights = {'conv.weight': torch.ones(2, 3), 'bn.steps': torch.tensor(3)}
    log = HistoryBuffer()
    log.update(1.0)
    complete = dict(
        state_dict=weights,
        message_hub=dict(log_scalars=dict(loss=log), score=np.float32(0.5)),
        meta=dict(epoch=1, name='a' * 300, seen={1, 2}, raw=b'bytes', shape=torch.Size((2, 3))),
        optimizer=dict(state={0: torch.nn.Parameter(torch.ones(1))}),
    )
    seeds = []
    for content in (weights, complete):
        for new in (True, False):
            file = io.BytesIO()
            torch.save(content, file, _use_new_zipfile_serialization=new)
            seeds.append(file.getvalue())
    return seeds


def mxnet_seeds() -> list[bytes]:
    seeds = []
    for version in (None, 0xF993FAC8, 0xF993FAC9, 0xF993FACA):
        arrays = b''
        for shape, kind, size in (((2, 3), 0, 4), ((4,), 2, 2)):
            arrays += b'' if version is None else struct.pack('<I', version)
            arrays += struct.pack('<i', 0) if version in (0xF993FAC9, 0xF993FACA) else b''
            sizes = 'I' if version is None else 'q'
            arrays += struct.pack(f'<I{len(shape)}{sizes}', len(shape), *shape)
            arrays += struct.pack('<iii', 1, 0, kind) + bytes(size * math.prod(shape))
        names = b''.join(struct.pack('<Q', len(name)) + name for name in (b'arg:a', b'aux:bc'))
        seeds.append(struct.pack('<QQQ', 0x112, 0, 2) + arrays + struct.pack('<Q', 2) + names)
    return seeds


READERS: dict[str, tuple[Callable[[bytes, Path], None], Callable[[], list[bytes]]]] = {
    'annotation': (read_annotation, annotation_seeds),
    'checkpoint': (read_checkpoint, checkpoint_seeds),
    'mxnet': (read_mxnet, mxnet_seeds),
}


# The mutations.

NUMBERS = [
    *(size.to_bytes(width, 'little') for width in (1, 2, 4, 8) for size in (0, 1, 127)),
    *(bytes([255]) * width for width in (1, 2, 4, 8)),
    *(b'\x00' * (width - 1) + b'\x7f' for width in (2, 4, 8)),
]
GLOBALS = [
    *('os system', 'posix system', 'builtins eval', 'builtins getattr', 'builtins bytearray'),
    *('_codecs encode', 'collections OrderedDict', 'collections Counter', 'torch Size'),
    *('torch._utils _rebuild_tensor_v2', 'torch._utils _rebuild_parameter', 'torch FloatStorage'),
    *('torch.storage UntypedStorage', 'torch Tensor', 'torch FloatTensor', 'torch device'),
    *('numpy dtype', 'numpy ndarray', 'numpy._core.multiarray _reconstruct'),
    *('numpy._core.multiarray scalar', 'mmengine.logging.history_buffer HistoryBuffer'),
    *('torch._utils _rebuild_sparse_tensor', 'torch._utils _rebuild_qtensor', 'builtins set'),
    *('torch._utils _rebuild_meta_tensor_no_storage', 'torch.nn.parameter Parameter'),
]
OPCODES = [
    *(pickle.GLOBAL + name.replace(' ', '\n').encode() + b'\n' for name in GLOBALS),
    *(pickle.REDUCE, pickle.NEWOBJ, pickle.BUILD, pickle.MARK, pickle.TUPLE, pickle.TUPLE1),
    *(pickle.TUPLE2, pickle.TUPLE3, pickle.EMPTY_TUPLE, pickle.EMPTY_LIST, pickle.EMPTY_DICT),
    *(pickle.SETITEM, pickle.SETITEMS, pickle.APPEND, pickle.APPENDS, pickle.NONE, pickle.NEWTRUE),
    *(pickle.BININT1 + b'\5', pickle.BININT + b'\xff\xff\xff\x7f', pickle.BINPUT + b'\0'),
    *(pickle.BINGET + b'\0', pickle.BINPERSID, pickle.BINUNICODE + b'\2\0\0\0f8'),
    *(pickle.LONG1 + b'\x08' + b'\xff' * 7 + b'\x0f', pickle.BINUNICODE + b'\6\0\0\0latin1'),
]
TOKENS = [
    *(
        b'<',
        b'>',
        b'&a;',
        b'</',
        b'<!DOCTYPE a>',
        b'<object>',
        b'</object>',
        b'-',
        b'1e999',
        b'nan',
    ),
    *(b'99999999999', b'\xff\xfe', b'\x00', b'PK\3\4', b'PK\5\6', *NUMBERS, *OPCODES),
]

TEXTS = [
    *(
        b'',
        b'0',
        b'1',
        b'-1',
        b'2',
        b' 7 ',
        b'1.5',
        b'nan',
        b'inf',
        b'-inf',
        b'1e308',
        b'-1e308',
        b'1e999',
    ),
    *(b'9' * 400, b'352', b'353', b'354', b'65535', b'65536', b'0x10', b'1_0', b'../../etc/passwd'),
    *('٣'.encode(), '\u202e'.encode(), b'cat', b'&lt;', b'&#0;', b'&#x10ffff;', b'a' * 1000, b'\n'),
]


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Damage bytes in one to four places."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(7)
        if kind == 0 and data:
            data[at - 1] ^= 1 << chance.randrange(8)
        elif kind == 1 and data:
            data[at - 1] = chance.randrange(256)
        elif kind == 2:
            data[at:at] = chance.choice(TOKENS)
        elif kind == 3:
            token = chance.choice(TOKENS)
            data[at : at + len(token)] = token
        elif kind == 4:
            del data[at : at + chance.choice((1, 2, 8, 100))]
        elif kind == 5:
            start = chance.randrange(len(data) + 1)
            data[at:at] = data[start : start + chance.choice((1, 8, 64))]
        else:
            del data[at:]
    return bytes(data)


def mutate_fields(content: bytes, chance: random.Random) -> bytes:
    """Replace, drop or repeat elements of an XML file, which stays well-formed."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        found = list(re.finditer(rb'<(\w+)>([^<]*|(?:(?!</\1>).)*)</\1>', content))
        if not found:
            return content
        match = chance.choice(found)
        element = chance.choice(
            (b'', match[0] * 2, b'<%s>%s</%s>' % (match[1], chance.choice(TEXTS), match[1]))
        )
        content = content[: match.start()] + element + content[match.end() :]
    return content


def mutate_numbers(content: bytes, chance: random.Random) -> bytes:
    """Replace numbers in a binary file, at the places of its numbers."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3)) if len(data) > 8 else 0):
        width = chance.choice((4, 8))
        at = 4 * chance.randrange(len(data) // 4)
        number = chance.choice((0, 1, 2, 3, 4, 6, 32, 33, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1))
        number = chance.choice((number, 1 << chance.randrange(64), 2**64 - 1 - number)) % 256**width
        data[at : at + width] = number.to_bytes(width, 'little')
    return bytes(data)


def mutate_pickle(content: bytes, chance: random.Random) -> bytes:
    """Damage or replace the pickle in one of torch's zip files; the archive stays intact."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            parts = {name: old.read(name) for name in old.namelist()}
    except Exception:  # an older format, or one that an earlier mutation broke
        return mutate(content, chance)
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as new:
        for name, part in parts.items():
            if name.endswith('data.pkl'):
                if chance.random() < 0.3:
                    program = chance.choices(OPCODES, k=chance.randrange(1, 20))
                    part = pickle.PROTO + b'\2' + b''.join(program) + pickle.STOP
                else:
                    part = mutate(part, chance)
            new.writestr(name, part)
    return file.getvalue()


CRAFT = {'annotation': mutate_fields, 'checkpoint': mutate_pickle, 'mxnet': mutate_numbers}


def inputs(reader: str, chance: random.Random):
    """Endless inputs for a reader."""
    seeds = READERS[reader][1]()
    while True:
        seed = chance.choice(seeds)
        craft = CRAFT.get(reader, mutate) if chance.random() < 0.6 else mutate
        yield craft(seed, chance)


# The judgement.

_started: list[str] = []


def _watch(event: str, arguments: tuple) -> None:
    if event.startswith(FORBIDDEN):
        _started.append(f'{event} {arguments!r:.200}')


def judge(reader: str, content: bytes, folder: Path) -> bool:
    """Give an input to a reader.

    Returns:
        bool: True if the reader reads it, False if it refuses it.

    Raises:
        Exception: If the reader does anything else.
    """
    _started.clear()
    try:
        READERS[reader][0](content, folder)
    except UserError as error:
        if '\n' in str(error) or not str(error):
            raise AssertionError(f'not one line: {error!r}') from error
        accepted = False
    else:
        accepted = True
    if _started:
        raise AssertionError(f'started {_started[0]}')
    return accepted


def fuzz(reader: str, count: int, seed: int, log: Path) -> int:
    """Try a number of inputs, and return the number that failed."""
    chance = random.Random(f'{reader} {seed}')
    failed = accepted = 0
    start = reported = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        for number, content in zip(range(1, count + 1), inputs(reader, chance)):
            last = log / f'{reader}-{seed}-running'
            if number % 1000 == 1:  # if the process dies, one of the next thousand inputs did it
                last.write_text(str(number))
            try:
                accepted += judge(reader, content, Path(folder))
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                failed += 1
                kept = log / f'{reader}-{seed}-{number}'
                kept.write_bytes(content)
                print(f'{kept}: {type(error).__name__}: {error}', flush=True)
            if time.monotonic() - reported > 30 or number == count:
                reported = time.monotonic()
                speed = number / (reported - start)
                print(f'{reader}: {number} of {count}, {speed:.0f}/s, failed {failed}', flush=True)
    last.unlink()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f'{reader}: {count} inputs, {accepted} read, {count - accepted - failed} refused, '
        f'{failed} failed, memory grown by {grown // 1024} MiB'
    )
    return failed + (grown > GROWTH)


def with_atheris(reader: str, count: int, seed: int, log: Path) -> None:
    """Let atheris make the inputs; it ends the process."""
    import atheris

    code = (voc_annotation, checkpoint, state_dict, weights_only, mxnet_params)
    unpickler = torch._weights_only_unpickler
    for owner in (*code, mxnet_params._Reader, unpickler, unpickler.Unpickler):
        for function in list(vars(owner).values()):
            if inspect.isfunction(function):
                atheris.instrument_func(function)
    corpus = log / f'{reader}-corpus'
    corpus.mkdir(exist_ok=True)
    for number, content in enumerate(READERS[reader][1]()):
        (corpus / f'seed-{number}').write_bytes(content)
    folder = Path(tempfile.mkdtemp())

    def test_one_input(content: bytes) -> None:
        judge(reader, content, folder)

    def mutator(content: bytes, largest: int, seed: int) -> bytes:
        chance = random.Random(seed)
        made = content
        if reader in CRAFT and chance.random() < 0.6:
            made = CRAFT[reader](content, chance)
        elif chance.random() < 0.5:
            made = mutate(content, chance)
        else:
            made = atheris.Mutate(content, largest)
        return made[:largest]

    options = [f'-runs={count}', f'-seed={seed + 1}', '-rss_limit_mb=4096', '-max_len=8192']
    atheris.Setup(
        [sys.argv[0], *options, f'-artifact_prefix={log}/{reader}-', str(corpus)],
        test_one_input,
        custom_mutator=mutator,
    )
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--inputs', type=int, default=20000, help='for each reader')
    parser.add_argument('--readers', nargs='+', choices=READERS, default=list(READERS))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--engine', choices=['mutations', 'atheris'], default='mutations')
    parser.add_argument('--log', type=Path, default=Path('work_dirs/fuzz'), help='failed inputs')
    args = parser.parse_args()
    args.log.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.simplefilter('ignore')
    sys.setrecursionlimit(1000)
    sys.addaudithook(_watch)
    if args.engine == 'atheris':
        with_atheris(args.readers[0], args.inputs, args.seed, args.log)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    sys.exit(sum(fuzz(reader, args.inputs, args.seed, args.log) for reader in args.readers) > 0)


if __name__ == '__main__':
    main()
