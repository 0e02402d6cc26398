"""Loading mmengine's checkpoints with ``weights_only=True``."""

import pickle
import re
import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner import checkpoint as mmengine_checkpoint

from nst_det import compat
from nst_det.errors import UserError
from nst_det.fileio.checkpoint import load_file

needs_weights_only = pytest.mark.skipif(
    torch.__version__ < (2, 6), reason='this torch does not load with weights_only by default'
)


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Linear(1, 1)

    def forward(self, x, y, mode):
        return dict(loss=(self.slope(x) - y).square().mean())


def runner(work_dir, name, epochs, resume=False):
    data = [dict(x=torch.tensor([float(i)]), y=torch.tensor([2.0 * i])) for i in range(4)]
    return Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=data,
            sampler=dict(type=DefaultSampler, shuffle=False),
            collate_fn=dict(type='default_collate'),
            batch_size=2,
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        param_scheduler=dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=4),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        experiment_name=name,
        resume=resume,
        log_level='ERROR',
    )


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """What mmengine's Runner saves after an epoch of two iterations."""
    work_dir = tmp_path_factory.mktemp('line')
    runner(work_dir, 'first', epochs=1).train()
    return work_dir / 'epoch_1.pth'


def rewritten(checkpoint, path, rewrite):
    """Copy a checkpoint with its pickle rewritten."""
    with zipfile.ZipFile(checkpoint) as old, zipfile.ZipFile(path, 'w') as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, rewrite(content) if name.endswith('data.pkl') else content)
    return path


def test_a_run_resumes_from_the_checkpoint_of_mmengines_runner(checkpoint):
    resumed = runner(checkpoint.parent, 'second', epochs=2, resume=True)
    resumed.train()
    assert resumed.iter == 4
    assert len(resumed.message_hub.get_scalar('train/loss').data[0]) == 4


@needs_weights_only
@pytest.mark.parametrize('module', ['numpy.core.multiarray', 'numpy._core.multiarray'])
def test_a_checkpoint_loads_whichever_numpy_wrote_it(checkpoint, tmp_path, module):
    def rename(content):
        names = rb'numpy\._?core\.multiarray'
        assert re.search(names, content)
        return re.sub(names, module.encode(), content)

    path = rewritten(checkpoint, tmp_path / 'renamed.pth', rename)
    loaded = torch.load(path, map_location='cpu', weights_only=True)
    log = loaded['message_hub']['log_scalars']['train/loss']
    assert isinstance(log, HistoryBuffer)
    assert log.data[0].dtype == np.float64 and len(log.data[0]) == 2


@needs_weights_only
def test_numpy_numbers_load_from_a_checkpoint(tmp_path):
    saved = dict(mAP=np.float32(0.5), epoch=np.int64(3), best=np.bool_(True), curve=np.arange(3.0))
    torch.save(saved, tmp_path / 'numbers.pth')
    loaded = torch.load(tmp_path / 'numbers.pth', weights_only=True)
    assert loaded.pop('curve').tolist() == [0, 1, 2]
    assert loaded == dict(mAP=np.float32(0.5), epoch=3, best=True)


def look_up(owner, name):
    """The pickle of ``getattr(owner, name)``."""
    return glob('builtins', 'getattr') + owner + text(name) + pickle.TUPLE2 + pickle.REDUCE


def glob(module, name):
    return pickle.GLOBAL + f'{module}\n{name}\n'.encode()


def text(value):
    return pickle.BINUNICODE + len(value).to_bytes(4, 'little') + value.encode()


BUFFER = glob('mmengine.logging.history_buffer', 'HistoryBuffer')


def attack(command):
    """Climb by ``getattr`` from a HistoryBuffer to ``os.system``, allow-list it and call it."""
    namespace = look_up(glob('torch._utils', '_rebuild_parameter'), '__globals__')
    climber = BUFFER + pickle.EMPTY_TUPLE + pickle.NEWOBJ + namespace + pickle.BUILD
    torch_ = look_up(climber, 'torch')
    system = look_up(look_up(look_up(torch_, 'serialization'), 'os'), 'system')
    unpickler = look_up(look_up(torch_, '_weights_only_unpickler'), 'Unpickler')
    allowed = look_up(look_up(unpickler, 'load'), '__globals__') + text('_marked_safe_globals_set')
    return (
        system
        + (pickle.BINPUT + b'\0')
        + (allowed + pickle.EMPTY_LIST + pickle.BINGET + b'\0' + pickle.APPEND + pickle.SETITEM)
        + (pickle.BINGET + b'\0' + text(command) + pickle.TUPLE1 + pickle.REDUCE)
        + pickle.TUPLE3
    )


@needs_weights_only
@pytest.mark.parametrize(
    'crafted',
    [
        look_up(BUFFER, '__init__'),
        look_up(BUFFER, '_statistics_methods'),
        look_up(glob('numpy', 'dtype'), 'mean'),
        look_up(glob('torch._utils', '_rebuild_parameter'), '__globals__'),
    ],
    ids=['constructor', 'methods', 'dtype', 'globals'],
)
def test_only_statistics_can_be_looked_up_by_getattr(checkpoint, tmp_path, crafted):
    pickled = pickle.PROTO + b'\2' + crafted + pickle.STOP
    path = rewritten(checkpoint, tmp_path / 'crafted.pth', lambda content: pickled)
    with pytest.raises(pickle.UnpicklingError, match='refused getattr'):
        torch.load(path)


@needs_weights_only
def test_a_crafted_checkpoint_is_refused_and_runs_nothing(checkpoint, tmp_path):
    trace = tmp_path / 'trace'
    pickled = pickle.PROTO + b'\2' + attack(f'touch {trace}') + pickle.STOP
    path = rewritten(checkpoint, tmp_path / 'crafted.pth', lambda content: pickled)
    with pytest.raises(pickle.UnpicklingError, match='refused getattr'):
        torch.load(path)
    assert not trace.exists()


def crafted_numpy(code='f8', flags=0, shape=(2,), content=bytes(16), order='<'):
    """The pickle of an array as numpy writes it, each part of which may be another."""
    number = glob('numpy', 'dtype') + packed((code, False, True)) + pickle.REDUCE
    number += packed((3, order, None, None, None, -1, -1, flags)) + pickle.BUILD
    array = glob('numpy._core.multiarray', '_reconstruct') + glob('numpy', 'ndarray')
    array += packed((0,)) + packed(b'b') + pickle.TUPLE3 + pickle.REDUCE
    state = pickle.MARK + packed(1) + packed(shape) + number + packed(False) + packed(content)
    return array + state + pickle.TUPLE + pickle.BUILD


def packed(value):
    return pickle.dumps(value, protocol=2)[2:-1]


def load_crafted(checkpoint, tmp_path, pickled):
    content = pickle.PROTO + b'\2' + pickled + pickle.STOP
    return load_file(rewritten(checkpoint, tmp_path / 'crafted.pth', lambda _: content))


@needs_weights_only
def test_an_array_holds_the_numbers_of_its_bytes(checkpoint, tmp_path):
    array = load_crafted(checkpoint, tmp_path, crafted_numpy())
    assert array.tolist() == [0, 0]
    assert type(pickle.loads(pickle.dumps(array))) is np.ndarray


@needs_weights_only
def test_an_empty_array_loads(checkpoint, tmp_path):
    assert len(load_crafted(checkpoint, tmp_path, crafted_numpy(shape=(0,), content=b''))) == 0


@needs_weights_only
@pytest.mark.parametrize(
    'crafted',
    [
        dict(code='O', content=b'\x41' * 16),
        dict(code='O', flags=63, content=b'\x41' * 16),
        dict(code='V8'),
        dict(code='f8', flags=63),
        dict(shape=(10**12,)),
        dict(shape=(-1,)),
        dict(shape=(2, 2**62), content=b''),
        dict(order='?'),
        dict(content=b'short'),
    ],
    ids=[
        'objects',
        'flagged_objects',
        'void',
        'flags',
        'huge',
        'negative',
        'overflow',
        'order',
        'short',
    ],
)
def test_an_array_that_does_not_fit_its_bytes_is_refused(checkpoint, tmp_path, crafted):
    with pytest.raises(UserError, match='refused'):
        load_crafted(checkpoint, tmp_path, crafted_numpy(**crafted))


@needs_weights_only
@pytest.mark.parametrize(
    'crafted',
    [
        glob('numpy', 'ndarray') + packed(((10**12,),)) + pickle.REDUCE,
        glob('numpy', 'ndarray') + packed(((10**12,),)) + pickle.NEWOBJ,
        BUFFER + packed(([1.0], [1], 10)) + pickle.REDUCE,
        glob('builtins', 'bytearray') + packed((10**12,)) + pickle.REDUCE,
        glob('_codecs', 'encode') + packed((b'a', 'hex')) + pickle.REDUCE,
    ],
    ids=['array called', 'array made', 'buffer called', 'bytearray', 'encode'],
)
def test_nothing_larger_than_the_file_is_allocated(checkpoint, tmp_path, crafted):
    with pytest.raises(UserError):
        load_crafted(checkpoint, tmp_path, crafted)


@needs_weights_only
def test_code_in_a_checkpoint_is_still_refused(tmp_path):
    torch.save(dict(hook=print), tmp_path / 'code.pth')
    with pytest.raises(pickle.UnpicklingError, match='print'):
        torch.load(tmp_path / 'code.pth')


class Note:
    """A class of the writer's own, which no checkpoint may bring."""


@pytest.mark.skipif(
    not hasattr(mmengine_checkpoint, '_safe_torch_load'),
    reason='only the fork onedl-mmengine tries once more what was refused',
)
@pytest.mark.parametrize('weights_only', [None, False])
def test_what_was_refused_is_not_loaded_otherwise(tmp_path, weights_only):
    torch.save(dict(note=Note()), content := BytesIO())
    (tmp_path / 'note.pth').write_bytes(content.getvalue())
    content.seek(0)
    with pytest.raises(UserError, match='asks for test_weights_only.Note'):
        mmengine_checkpoint._safe_torch_load(tmp_path / 'note.pth', weights_only=weights_only)
    with pytest.raises(pickle.UnpicklingError, match='Note'):
        mmengine_checkpoint._safe_torch_load(content, weights_only=weights_only)


@needs_weights_only
def test_the_log_of_a_loaded_checkpoint_names_a_local_file(checkpoint, monkeypatch):
    lines = []
    monkeypatch.setattr(mmengine_checkpoint, 'print_log', lambda line, **_: lines.append(line))
    mmengine_checkpoint.CheckpointLoader.load_checkpoint(str(checkpoint))
    assert lines == [f'Loads checkpoint by local backend from path: {checkpoint}']


@needs_weights_only
def test_applying_the_shims_again_allows_nothing_more():
    before = torch.serialization.get_safe_globals()
    compat.apply()
    assert len(torch.serialization.get_safe_globals()) == len(before)
