"""One line an epoch."""

import re
from pathlib import Path

from mmengine.runner import Runner


def test_each_epoch_ends_with_a_line_of_its_mean_loss_and_the_time_left(tiny_distiller):
    cfg = tiny_distiller(log_level='INFO')
    cfg.train_cfg.val_begin = 99
    runner = Runner.from_cfg(cfg)
    runner.train()
    (log,) = Path(cfg.work_dir).glob('*/*.log')
    lines = re.findall(
        r'Epoch (\d)/2 done in (\S+): loss (\S+), mmd2_backbone_inception_4b (\S+); eta (\S+)',
        log.read_text(),
    )
    assert [line[0] for line in lines] == ['1', '2']
    assert all(re.fullmatch(r'\d:\d\d:\d\d', time) for line in lines for time in (line[1], line[4]))
    assert lines[1][4] == '0:00:00'
    last = runner.message_hub.get_scalar('train/loss').data[0][-len(runner.train_dataloader) :]
    assert float(lines[1][2]) == float(f'{last.mean():.3g}')
