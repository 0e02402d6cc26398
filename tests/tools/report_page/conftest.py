"""Work dirs as trainings and tests leave them, made without a training."""

import json
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, MODELS

from nst_det.experiments.report import Run, read_runs, write_report

NAMES = ('student', 'nst_student', 'teacher')


@dataclass
class Report:
    """A written report, and the work dirs of its runs."""

    file: Path
    work_dirs: dict[str, Path]


@pytest.fixture
def work_dirs(made_work_dirs, tmp_path) -> dict[str, Path]:
    """A student, a distilled student and a teacher, each with one more right box per image."""
    shutil.copytree(made_work_dirs, tmp_path / 'runs')
    for file in (tmp_path / 'runs').rglob('*'):
        if file.suffix == '.py' or file.name == 'last_checkpoint':
            text = file.read_text()
            file.write_text(text.replace(str(made_work_dirs.parent), str(tmp_path)))
    return {name: tmp_path / 'runs' / name for name in NAMES}


@pytest.fixture(scope='session')
def made_work_dirs(tiny_configs, tiny_distillers, tmp_path_factory) -> Path:
    """The folder of the three work dirs, which are copied for each test."""
    root = tmp_path_factory.mktemp('made')
    test_set = tiny_configs(root, 'student').test_dataloader.dataset
    truth = DATASETS.build({**test_set, 'pipeline': []})
    for extra, name in enumerate(NAMES):
        folder = root / 'runs' / name
        logs = folder / '20300101_000000' / 'vis_data'
        logs.mkdir(parents=True)
        cfg = tiny_distillers(root) if name == 'nst_student' else tiny_configs(root, name)
        if name == 'nst_student':
            teacher = root / 'runs' / 'teacher' / 'epoch_2.pth'
            teacher.parent.mkdir()
            shutil.copy(root / 'teacher.pth', teacher)
            cfg.model.teacher.checkpoint = str(teacher)
        cfg.dump(folder / f'{name}.py')
        lines = [
            dict(lr=0.1 / step, loss=3.0 / step + extra, time=0.5, epoch=1, iter=step, step=step)
            for step in (1, 2, 3)
        ]
        if name == 'nst_student':
            for line in lines:
                line.update(
                    loss_nst_backbone_inception_4b=0.25,
                    mmd2_backbone_inception_4b=0.01 / line['step'],
                    grad_ratio_backbone_inception_4b=float('nan') if line['step'] == 1 else 1.5,
                )
        (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
        tested = folder / 'test' / '20300101_000100'
        tested.mkdir(parents=True)
        metrics = {'pascal_voc/mAP': 0.123456789 + extra / 10, 'pascal_voc/AP/circle': 1 / 3}
        (tested / f'{tested.name}.json').write_text(json.dumps({**metrics, 'time': 0.1}))
        samples = []
        for i in range(len(truth)):
            info = truth.get_data_info(i)
            objects = info['instances'][: extra + 1]
            predicted = dict(
                bboxes=torch.tensor([obj['bbox'] for obj in objects]).view(-1, 4).float(),
                labels=torch.tensor([obj['bbox_label'] for obj in objects], dtype=torch.long),
                scores=torch.linspace(0.9, 0.5, len(objects)),
            )
            samples.append(dict(img_id=info['img_id'], pred_instances=predicted))
        (folder / 'predictions.pkl').write_bytes(pickle.dumps(samples))
        checkpoint = folder / 'epoch_2.pth'
        if name != 'teacher':
            detector = cfg.model.get('student', cfg.model)
            torch.save(dict(state_dict=MODELS.build(detector).state_dict()), checkpoint)
        (folder / 'last_checkpoint').write_text(str(checkpoint))
    return root / 'runs'


@pytest.fixture
def runs(work_dirs) -> list[Run]:
    """The work dirs, read."""
    return read_runs(list(work_dirs.values()))


@pytest.fixture(scope='session')
def written() -> list[Report]:
    """The report, which is written once because that takes seconds."""
    return []


@pytest.fixture
def report(written, request, tmp_path) -> Report:
    """The report on the three runs."""
    if not written:
        work_dirs = request.getfixturevalue('work_dirs')
        file = tmp_path / 'out' / 'report.html'
        runs = read_runs(list(work_dirs.values()))
        write_report(runs, file, 'Ours <b>& theirs</b>', lambda _: None)
        written.append(Report(file, work_dirs))
    return written[0]
