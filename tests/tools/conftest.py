"""Running the tools as a user does, in this process."""

import runpy
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from locations import ROOT


@pytest.fixture
def tool(monkeypatch, capsys, tmp_path):
    """``tool('train', 'config.py', …)`` gives the exit status, the output and the error output."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, *arguments: object):
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
        status = 0
        try:
            runpy.run_path(str(ROOT / 'tools' / f'{name}.py'), run_name='__main__')
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def write(tmp_path):
    """Write a config to disk."""

    def dump(cfg, name: str = 'config.py') -> Path:
        cfg.dump(tmp_path / name)
        return tmp_path / name

    return dump


@pytest.fixture
def reads(monkeypatch):
    """How often ``torch.load`` read each file, by its name and folder."""
    counts = Counter()
    load = torch.load

    def count(file, *args, **kwargs):
        if isinstance(file, (str, Path)):
            path = Path(file).resolve()
            counts[f'{path.parent.name}/{path.name}'] += 1
        return load(file, *args, **kwargs)

    monkeypatch.setattr(torch, 'load', count)
    return counts
