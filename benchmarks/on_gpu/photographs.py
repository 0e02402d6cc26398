"""A few minutes of the table on photographs, if a devkit of VOC2007 is there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.on_gpu.report import Setup

ROOT = Path(__file__).resolve().parents[2]
TABLE = 'configs/tables/table4_voc07-320.py'
TEACHER = 'configs/faster_rcnn/faster-rcnn_efficientnet-lite2_320-12e_voc07.py'


def photographs(setup: Setup) -> Iterator[dict]:
    """Run the table of VOC2007 at 320 pixels until its time is over, and name what is done."""
    if setup.photographs is None:
        yield dict(what='photographs', skipped='no devkit was named: --photographs DEVKIT')
        return
    root = f'data_root={setup.photographs.absolute()}/'
    changes = [f'{split}_dataloader.dataset.{root}' for split in ('train', 'val', 'test')]
    folder = setup.work_dir / 'photographs'
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with open(folder / 'output.log', 'w') as log:
        command = [sys.executable, 'tools/run_table.py', TABLE, '--teacher', TEACHER]
        command += ['--work-dir', str(folder), '--cfg-options', *changes]
        table = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, 'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}'},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            status = table.wait(60 * setup.minutes)
        except subprocess.TimeoutExpired:  # a second call of the tool resumes
            table.send_signal(signal.SIGINT)
            status = table.wait(60)
    yield dict(
        what=TABLE,
        minutes=(time.monotonic() - started) / 60,
        status=status,
        last_line=(folder / 'output.log').read_text().strip().splitlines()[-1],
        checkpoints=len(list(folder.rglob('*.pth'))),
    )
