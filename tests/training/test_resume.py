"""The checkpoint from which a training resumes."""

import os

import pytest
import torch
from mmengine.runner import Runner

from nst_det.engine.runner.resume import (
    last_checkpoint,
    latest_training,
    read_training,
    resume_with_clear_errors,
)
from nst_det.errors import UserError

TRAINING = dict(state_dict=dict(a=torch.ones(999)), optimizer={}, message_hub={})


@pytest.fixture
def trained(tmp_path):
    """The folder of a training of two epochs."""
    folder = tmp_path / 'work_dir'
    folder.mkdir()
    for epoch in (1, 2):
        path = folder / f'epoch_{epoch}.pth'
        torch.save(dict(TRAINING, meta=dict(epoch=epoch, iter=2 * epoch, seed=0)), path)
        os.utime(path, (epoch, epoch))
    torch.save(dict(state_dict=dict(a=torch.ones(999))), folder / 'best.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_2.pth'))
    return folder


def test_the_last_checkpoint_is_resumed(trained):
    assert latest_training(trained) == str(trained / 'epoch_2.pth')


@pytest.mark.parametrize('content', [b'', b'no checkpoint', None])
def test_a_broken_checkpoint_is_passed_over_and_named(trained, content, capsys):
    last = trained / 'epoch_2.pth'
    last.write_bytes(last.read_bytes()[:-1000] if content is None else content)
    assert latest_training(trained) == str(trained / 'epoch_1.pth')
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith('checkpoint passed over: ')
    assert str(last) in line


@pytest.mark.parametrize('note', ['', '/moved/from/here/epoch_2.pth', None])
def test_without_a_valid_note_the_newest_checkpoint_is_resumed(trained, note):
    (trained / 'last_checkpoint').unlink()
    if note is not None:
        (trained / 'last_checkpoint').write_text(note)
    assert latest_training(trained) == str(trained / 'epoch_2.pth')


def test_a_folder_of_broken_checkpoints_is_an_error_and_an_empty_one_gives_none(trained, tmp_path):
    for path in trained.glob('*.pth'):
        path.write_bytes(b'')
    with pytest.raises(UserError, match='holds no complete checkpoint to resume'):
        latest_training(trained)
    assert latest_training(tmp_path / 'nowhere') is None


def test_weights_alone_are_no_training(trained):
    with pytest.raises(UserError, match='holds only weights, so no training can be resumed'):
        read_training(str(trained / 'best.pth'))


@pytest.mark.parametrize(
    ('meta', 'message'),
    [
        (None, 'its meta is None, expected a dict'),
        ('x', "its meta is 'x', expected a dict"),
        ({}, 'its epoch is None, expected a whole number'),
        (dict(epoch=1, iter='x'), "its iter is 'x'"),
        (dict(epoch=-1, iter=0), 'its epoch is -1'),
        (dict(epoch=1, iter=2, seed=2**32), 'its seed is 4294967296'),
    ],
)
def test_a_checkpoint_with_an_impossible_meta_is_no_training(tmp_path, meta, message):
    torch.save(dict(TRAINING, meta=meta), tmp_path / 'odd.pth')
    with pytest.raises(UserError, match=rf'odd\.pth cannot be resumed: {message}'):
        read_training(str(tmp_path / 'odd.pth'))


@pytest.mark.parametrize('note', [b'\xff\xfe', b'\0' * 99, b' \n'])
def test_a_note_that_is_no_text_names_no_checkpoint(trained, note):
    (trained / 'last_checkpoint').write_bytes(note)
    assert last_checkpoint(trained) is None or not os.path.exists(last_checkpoint(trained))
    assert latest_training(trained) == str(trained / 'epoch_2.pth')


@pytest.mark.parametrize('odd', [dict(optimizer={}), dict(message_hub=[])], ids=str)
def test_a_training_that_does_not_fit_the_config_is_one_line(tiny_config, tmp_path, odd):
    cfg = tiny_config('student', resume=True, load_from=str(tmp_path / 'odd.pth'))
    runner = Runner.from_cfg(cfg)
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    whole = dict(state_dict=runner.model.state_dict(), message_hub=hub, optimizer={})
    torch.save({**whole, 'meta': dict(epoch=1, iter=2, seed=0), **odd}, cfg.load_from)
    resume_with_clear_errors(runner)
    with pytest.raises(UserError, match=r'^\S*odd\.pth cannot be resumed with this config [^\n]*$'):
        runner.train()
