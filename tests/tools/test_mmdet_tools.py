"""mmdet's own tools and functions with the configs of this package."""

import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import torch
from distinct_detections import make_detections_distinct
from locations import CONFIGS, DOCS
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmdet.datasets import get_loading_pipeline
from mmdet.registry import MODELS
from mmengine.config import Config

from nst_det import __main__
from nst_det.errors import UserError

DETECTORS = sorted(
    path
    for path in CONFIGS.rglob('*.py')
    if not {'_base_', 'classification'} & {*path.parts} and not path.stem.startswith('table_')
)


@pytest.fixture
def mmdet_tool(monkeypatch, capsys, tmp_path):
    """``mmdet_tool('test', 'config.py', …)`` gives what the tool printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Config, 'fromfile', Config.fromfile)  # the analysis tools replace it

    def call(*arguments: object) -> str:
        monkeypatch.setattr(sys, 'argv', ['nst_det', 'mmdet', *map(str, arguments)])
        __main__.main()
        captured = capsys.readouterr()
        return captured.out + captured.err

    return call


@pytest.fixture
def distilled(tiny_distiller, write, tmp_path):
    """The path of a distiller's config, and of a checkpoint of its student."""
    cfg = tiny_distiller()
    torch.manual_seed(3)
    student = MODELS.build(cfg.model.student)
    student.init_weights()
    make_detections_distinct(student)
    torch.save(dict(state_dict=student.state_dict(), meta={}), tmp_path / 'epoch_2.pth')
    return str(write(cfg)), 'epoch_2.pth'


@pytest.fixture
def image(shapes):
    return str(min((shapes / 'VOC2007' / 'JPEGImages').glob('*.jpg')))


def test_a_fresh_process_tests_a_distiller_with_mmdets_own_tool(distilled, tmp_path):
    command = [sys.executable, '-m', 'nst_det', 'mmdet', 'test', *distilled, '--out', 'found.pkl']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / 'found.pkl').exists()


def test_mmdets_own_tool_trains_a_distiller(mmdet_tool, distilled):
    mmdet_tool('train', distilled[0], '--work-dir', 'run')
    assert Path('run/epoch_2.pth').exists()


# What each tool needs besides the config and the checkpoint, and what it leaves or prints.
TOOLS = {
    'analyze_results': (['{config}', 'found.pkl', 'worst', '--topk', '1'], 'worst'),
    'benchmark': (
        ['{config}', '--checkpoint', '{checkpoint}', '--max-iter', '2', '--num-warmup', '0'],
        'Overall fps',
    ),
    'browse_dataset': (['{config}', '--output-dir', 'browsed', '--not-show'], 'browsed'),
    'confusion_matrix': (['{config}', 'found.pkl', 'confused'], 'confused/confusion_matrix.png'),
    'misc/print_config': (['{config}'], 'NSTDistiller'),
    'publish_model': (['{checkpoint}', 'published.pth'], 'published-*.pth'),
}


@pytest.fixture
def predictions(tool, distilled):
    """The predictions for the test images, in ``found.pkl``."""
    config, checkpoint = distilled
    status, _, err = tool('test', config, checkpoint, '--out', 'found.pkl')
    assert status == 0, err


@pytest.mark.parametrize('name', TOOLS)
def test_a_tool_runs_on_a_distiller(mmdet_tool, distilled, predictions, name):
    config, checkpoint = distilled
    arguments, result = TOOLS[name]
    arguments = [text.format(config=config, checkpoint=checkpoint) for text in arguments]
    printed = mmdet_tool(name, *arguments)
    # publish_model renames its file in a process that it does not wait for.
    assert result in printed or appears(result)


def appears(pattern: str, seconds: float = 20) -> bool:
    """Whether a file of this name is there, or comes within so many seconds."""
    until = time.monotonic() + seconds
    while not list(Path().glob(pattern)):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_the_analysis_tools_see_the_student(mmdet_tool, distilled, monkeypatch):
    config, _ = distilled
    printed = mmdet_tool('get_flops', config)
    plain = MODELS.build(Config.fromfile(config).model)  # as the tool left Config.fromfile
    count = sum(parameter.numel() for parameter in plain.parameters())
    assert type(plain).__name__ == 'FasterRCNN'
    assert f'Params: {count / 1e6:.3f}M' in printed


def test_all_tools_are_listed(mmdet_tool):
    printed = mmdet_tool()
    assert 'analysis_tools/browse_dataset' in printed and 'test' in printed.split()


def test_an_unknown_tool_is_one_line_with_the_nearest(mmdet_tool):
    with pytest.raises(UserError, match="no tool 'browse_data': did you mean 'browse_dataset'"):
        __main__.run_mmdet(['browse_data'])


def test_the_page_names_every_tool_that_reads_a_config():
    page = (DOCS / 'mmdet_tools.md').read_text()
    folder, tools = __main__.mmdet_tools()
    for file in tools:
        if file.parent.name in ('analysis_tools', 'misc') or file.parent == folder:
            assert f'`{file.stem}`' in page, file


# The functions of mmdet.apis.


def test_init_detector_builds_the_student_of_a_distiller(distilled, image, tmp_path):
    config, checkpoint = distilled
    detector = init_detector(config, str(tmp_path / checkpoint), device='cpu')
    assert type(detector).__name__ == 'FasterRCNN'
    found = inference_detector(detector, image).pred_instances
    assert len(found)
    same = inference_detector(detector, cv2.imread(image)).pred_instances
    assert torch.equal(found.bboxes, same.bboxes)


def test_init_detector_takes_the_options_of_the_distillers_config(distilled, image, tmp_path):
    config, checkpoint = distilled
    options = {'model.student.test_cfg.rcnn.max_per_img': 1}
    detector = init_detector(config, str(tmp_path / checkpoint), device='cpu', cfg_options=options)
    assert len(inference_detector(detector, image).pred_instances) == 1


def test_init_detector_takes_a_config_without_a_backbone(dense_detector):
    semi = dict(
        type='SemiBaseDetector',
        detector=dense_detector(),
        semi_train_cfg=dict(),
        semi_test_cfg=dict(predict_on='teacher'),
    )
    dataset = dict(type='CocoDataset', ann_file='none.json')
    cfg = Config(dict(model=semi, test_dataloader=dict(dataset=dataset)))
    assert type(init_detector(cfg, device='cpu')).__name__ == 'SemiBaseDetector'


def test_the_inferencer_detects_with_the_student_of_a_distiller(distilled, image, tmp_path):
    config, checkpoint = distilled
    weights = str(tmp_path / checkpoint)
    inferencer = DetInferencer(config, weights, device='cpu')
    detector = init_detector(config, weights, device='cpu')
    (found,) = inferencer(image, no_save_pred=True)['predictions']
    expected = inference_detector(detector, image).pred_instances
    assert type(inferencer.model).__name__ == 'FasterRCNN'
    assert found['scores'] == expected.scores.tolist() and found['scores']


@pytest.mark.parametrize('config', DETECTORS, ids=lambda path: path.stem)
def test_the_pipelines_of_every_shipped_detector_suit_mmdets_tools(config):
    cfg = Config.fromfile(config)
    train = cfg.train_dataloader.dataset
    while 'pipeline' not in train:
        train = train.get('dataset') or train.datasets[0]
    assert len(get_loading_pipeline(train.pipeline)) == 2
    inferencer = object.__new__(DetInferencer)  # without the model
    assert type(inferencer._init_pipeline(cfg).transforms[0]).__name__ == 'InferencerLoader'
