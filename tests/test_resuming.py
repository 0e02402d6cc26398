"""Which checkpoint a training goes on from."""

import os

import pytest
import torch

from nst_det.errors import UserError
from nst_det.resuming import check_resumable, latest_training


@pytest.fixture
def trained(tmp_path):
    """The folder of a training of two epochs."""
    folder = tmp_path / 'work_dir'
    folder.mkdir()
    for epoch in (1, 2):
        path = folder / f'epoch_{epoch}.pth'
        torch.save(dict(state_dict=dict(a=torch.ones(999)), optimizer={}, message_hub={}), path)
        os.utime(path, (epoch, epoch))
    torch.save(dict(state_dict=dict(a=torch.ones(999))), folder / 'best.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_2.pth'))
    return folder


def test_the_last_checkpoint_is_gone_on_from(trained):
    assert latest_training(trained) == str(trained / 'epoch_2.pth')


@pytest.mark.parametrize('content', [b'', b'no checkpoint', None])
def test_a_broken_checkpoint_is_passed_over_and_named(trained, content, capsys):
    last = trained / 'epoch_2.pth'
    last.write_bytes(last.read_bytes()[:-1000] if content is None else content)
    assert latest_training(trained) == str(trained / 'epoch_1.pth')
    said = capsys.readouterr().err.splitlines()[0]
    assert said.startswith('passed over: ')
    assert str(last) in said


@pytest.mark.parametrize('note', ['', '/moved/from/here/epoch_2.pth', None])
def test_without_a_good_note_the_newest_checkpoint_is_gone_on_from(trained, note):
    (trained / 'last_checkpoint').unlink()
    if note is not None:
        (trained / 'last_checkpoint').write_text(note)
    assert latest_training(trained) == str(trained / 'epoch_2.pth')


def test_a_folder_of_broken_checkpoints_is_an_error_and_an_empty_one_is_none(trained, tmp_path):
    for path in trained.glob('*.pth'):
        path.write_bytes(b'')
    with pytest.raises(UserError, match='holds no whole checkpoint to resume'):
        latest_training(trained)
    assert latest_training(tmp_path / 'nowhere') is None


def test_weights_alone_are_no_training(trained):
    with pytest.raises(UserError, match='holds weights and no training to resume'):
        check_resumable(str(trained / 'best.pth'))
