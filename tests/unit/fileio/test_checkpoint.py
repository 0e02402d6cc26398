"""Checkpoint files from strangers: nothing in them runs, and each gets one clear line."""

import hashlib
import os
import pickle
import shutil
import threading
import weakref
import zipfile
from collections import OrderedDict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from nst_det.errors import UserError
from nst_det.fileio import trusted
from nst_det.fileio.checkpoint import load_file, local_file, reading_once
from nst_det.fileio.state_dict import read_checkpoint, read_state_dict
from nst_det.fileio.trusted import TRUST_OPTION, trust

WEIGHTS = {'layer.weight': torch.arange(6.0).view(2, 3)}


class Touch:
    """What ``os.system`` is to an attacker, as a pickle calls it."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f'touch {self.trace}',)


class Climb:
    """The first look-up of a chain that ends at it, from a class that every checkpoint may name."""

    def __reduce__(self):
        return getattr, (OrderedDict, '__init__')


def zipped(path, name='archive/data.pkl', content=b'', compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr(name, content)


def bomb(path, trace):
    zipped(path, 'archive/data/0', bytes(50_000_000), zipfile.ZIP_DEFLATED)


def overlapping(path, trace):
    """Thirty parts that are all the same bytes."""
    zipped(path, content=bytes(100_000))
    content = path.read_bytes()
    start = content.index(b'PK\1\2')
    end = content.index(b'PK\5\6')
    entry, tail = content[start:end], bytearray(content[end:])
    tail[8:12] = (30).to_bytes(2, 'little') * 2
    tail[12:16] = (30 * len(entry)).to_bytes(4, 'little')
    path.write_bytes(content[:start] + entry * 30 + tail)


def truncated(path, trace):
    torch.save(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:-300])


CRAFTED = {
    'os.system': lambda path, trace: torch.save(Touch(trace), path),
    'os.system among weights': lambda path, trace: torch.save(
        dict(state_dict=WEIGHTS, meta=Touch(trace)), path
    ),
    'old format': lambda path, trace: torch.save(
        Touch(trace), path, _use_new_zipfile_serialization=False
    ),
    'bare pickle': lambda path, trace: path.write_bytes(pickle.dumps(Touch(trace))),
    'getattr chain': lambda path, trace: torch.save([Climb(), WEIGHTS], path),
    'zip bomb': bomb,
    'overlapping zip': overlapping,
    'zip of something': lambda path, trace: zipped(path, 'readme.txt', b'hello'),
    'truncated': truncated,
    'wrong magic': lambda path, trace: path.write_bytes(b'\x89PNG\r\n' + bytes(1000)),
    'text': lambda path, trace: path.write_text('<html>404: not found</html>\n' * 9),
    'empty': lambda path, trace: path.write_bytes(b''),
    'folder': lambda path, trace: path.mkdir(),
    'pipe': lambda path, trace: os.mkfifo(path),
    'endless': lambda path, trace: path.symlink_to('/dev/zero'),
    'link to itself': lambda path, trace: path.symlink_to(path),
    'missing': lambda path, trace: None,
}


@pytest.fixture(params=CRAFTED)
def crafted(request, tmp_path):
    """A crafted file; whatever it would run leaves a trace."""
    path, trace = tmp_path / 'crafted.pth', tmp_path / 'trace'
    CRAFTED[request.param](path, trace)
    yield path
    assert not trace.exists()


@pytest.mark.parametrize('read', [load_file, read_state_dict, CheckpointLoader.load_checkpoint])
def test_a_crafted_checkpoint_runs_nothing_and_is_one_line(crafted, read):
    with pytest.raises(UserError, match=r'^[^\n]*crafted\.pth[^\n]*$'):
        read(str(crafted))


def test_the_crafted_files_would_run_where_pickles_are_trusted(tmp_path):
    for name in ('os.system', 'os.system among weights', 'old format', 'bare pickle'):
        path, trace = tmp_path / 'crafted.pth', tmp_path / 'trace'
        CRAFTED[name](path, trace)
        if name == 'bare pickle':
            pickle.loads(path.read_bytes())
        else:
            torch.load(path, weights_only=False)
        assert trace.exists()
        trace.unlink()


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('os.system', f'asks for posix.system.*{TRUST_OPTION}'),
        ('getattr chain', 'refused getattr|asks for __builtin__.getattr'),
        ('zip bomb', 'would unpack to 50000000 bytes'),
        ('overlapping zip', 'would unpack to 3000000 bytes'),
        ('empty', 'is empty, 0 bytes'),
        ('folder', 'is a folder'),
        ('pipe', 'is no plain file'),
        ('endless', 'is no plain file'),
        ('missing', 'does not exist'),
        ('truncated', 'another kind of file or truncated'),
    ],
)
def test_the_line_names_the_fault(tmp_path, name, message):
    CRAFTED[name](tmp_path / 'crafted.pth', tmp_path / 'trace')
    with pytest.raises(UserError, match=message):
        load_file(str(tmp_path / 'crafted.pth'))


def test_only_a_file_that_is_trusted_by_name_runs_its_code(tmp_path, monkeypatch):
    monkeypatch.setattr(trusted, '_trusted', set())
    for name in ('mine.pth', 'other.pth'):
        torch.save(dict(WEIGHTS, code=Touch(tmp_path / f'{name}.ran')), tmp_path / name)
    trust([str(tmp_path / 'mine.pth')])
    load_file(str(tmp_path / 'mine.pth'))
    assert (tmp_path / 'mine.pth.ran').exists()
    with pytest.raises(UserError, match='refused'):
        load_file(str(tmp_path / 'other.pth'))
    assert not (tmp_path / 'other.pth.ran').exists()


def test_a_trusted_file_must_exist(tmp_path):
    with pytest.raises(UserError, match=f'{TRUST_OPTION} none.pth: there is no such file'):
        trust(['none.pth'])


@pytest.mark.parametrize(
    'weights',
    [
        {0: torch.zeros(1), 'a': torch.zeros(1)},
        {'a': torch.zeros(1), 'b': 'text'},
        {'a': torch.zeros(2, 2).to_sparse()},
        {'a': torch.zeros(2, device='meta')},
    ],
    ids=['number as name', 'text', 'sparse', 'meta'],
)
def test_weights_other_than_plain_tensors_by_name_are_refused(tmp_path, weights):
    torch.save(weights, tmp_path / 'odd.pth')
    with pytest.raises(UserError, match=r'odd\.pth is not a checkpoint'):
        read_state_dict(tmp_path / 'odd.pth')


# From the web.


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A folder that a local server serves, its ``url``, and torch hub's folder to keep files in."""
    folder = tmp_path / 'web'
    folder.mkdir()
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    answer = type('Quiet', (SimpleHTTPRequestHandler,), dict(log_message=lambda *args: None))
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(answer, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01))
    thread.start()
    folder.joinpath('url').write_text(f'http://127.0.0.1:{server.server_port}')
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def serve(web, name='a.pth', content=WEIGHTS):
    torch.save(content, web / name)
    return f'{(web / "url").read_text()}/{name}'


def kept(web):
    folder = web.parent / 'hub' / 'checkpoints'
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_remote_checkpoint_is_downloaded_once(web):
    url = serve(web)
    assert torch.equal(read_state_dict(url)['layer.weight'], WEIGHTS['layer.weight'])
    (web / 'a.pth').unlink()
    assert torch.equal(read_state_dict(url)['layer.weight'], WEIGHTS['layer.weight'])
    assert len(kept(web)) == 1


def test_files_of_one_name_from_two_addresses_are_two_files(web):
    (web / 'other').mkdir()
    first, second = serve(web), serve(web, 'other/a.pth', {'b': torch.zeros(1)})
    assert read_state_dict(first).keys() != read_state_dict(second).keys()


def test_a_given_sha256_is_checked_and_a_wrong_file_is_not_kept(web):
    url = serve(web)
    right = hashlib.sha256((web / 'a.pth').read_bytes()).hexdigest()
    with pytest.raises(UserError, match='expected deadbeef'):
        read_checkpoint(url, 'deadbeef')
    assert not kept(web)
    read_checkpoint(url, right[:8])
    with pytest.raises(UserError, match='it was downloaded from http'):
        read_checkpoint(url, 'deadbeef')
    assert read_checkpoint(url, right)


def test_the_sha256_in_a_name_is_checked(web):
    url = serve(web, 'a-deadbeef.pth')
    with pytest.raises(UserError, match='expected deadbeef'):
        read_checkpoint(url)
    digest = hashlib.sha256((web / 'a-deadbeef.pth').read_bytes()).hexdigest()[:8]
    shutil.copy(web / 'a-deadbeef.pth', web / f'a-{digest}.pth')
    assert read_checkpoint(url.replace('deadbeef', digest))


def test_a_local_file_is_checked_as_well(tmp_path):
    torch.save(WEIGHTS, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='is not the expected file'):
        read_checkpoint(str(tmp_path / 'a.pth'), 'deadbeef')


def test_another_storage_is_not_checked_silently():
    with pytest.raises(UserError, match='sha256 is for files'):
        local_file('s3://bucket/a.pth', 'deadbeef')


@pytest.mark.parametrize('load', [read_checkpoint, CheckpointLoader.load_checkpoint])
def test_a_crafted_remote_checkpoint_runs_nothing(web, tmp_path, load):
    url = serve(web, content=dict(WEIGHTS, code=Touch(tmp_path / 'trace')))
    with pytest.raises(UserError, match='nothing in it was run'):
        load(url)
    assert not (tmp_path / 'trace').exists()


def test_a_missing_remote_checkpoint_is_one_line(web):
    with pytest.raises(UserError, match=r'^cannot download http[^\n]*404[^\n]*$'):
        read_checkpoint(serve(web) + 'x')


def test_within_reading_once_a_second_reader_gets_what_the_first_one_read(tmp_path):
    torch.save(WEIGHTS, tmp_path / 'a.pth')
    with reading_once():
        first = load_file(str(tmp_path / 'a.pth'))
        assert CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth')) is first
        assert load_file(str(tmp_path / '..' / tmp_path.name / 'a.pth')) is first
    assert load_file(str(tmp_path / 'a.pth')) is not first


def test_within_reading_once_a_file_that_changes_is_read_again(tmp_path):
    torch.save(dict(a=torch.zeros(1)), tmp_path / 'a.pth')
    with reading_once():
        load_file(str(tmp_path / 'a.pth'))
        torch.save(dict(a=torch.ones(2)), tmp_path / 'a.pth')
        assert load_file(str(tmp_path / 'a.pth'))['a'].tolist() == [1, 1]


def test_within_reading_once_a_file_that_cannot_be_read_is_not_kept(tmp_path):
    (tmp_path / 'a.pth').write_bytes(b'no checkpoint')
    with reading_once():
        with pytest.raises(UserError, match='cannot be read as a checkpoint'):
            load_file(str(tmp_path / 'a.pth'))
        torch.save(WEIGHTS, tmp_path / 'a.pth')
        assert load_file(str(tmp_path / 'a.pth'))


def test_reading_once_frees_the_memory_even_after_an_error(tmp_path):
    torch.save(WEIGHTS, tmp_path / 'a.pth')
    with pytest.raises(ZeroDivisionError), reading_once():
        kept = weakref.ref(load_file(str(tmp_path / 'a.pth'))['layer.weight'])
        assert kept() is not None
        raise ZeroDivisionError
    assert kept() is None


@pytest.mark.parametrize('content', [b'no checkpoint', b'auto = 1', b'model = 1', b'\x00', b'{}'])
def test_a_file_of_another_kind_is_not_called_a_checkpoint_with_code(tmp_path, content):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(UserError, match='^[^\n]*cannot be read as a checkpoint[^\n]*$'):
        load_file(str(tmp_path / 'a.pth'))
