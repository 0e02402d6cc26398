"""The report as a file: its numbers, its tables and charts, and what it refers to."""

import copy
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from PIL import Image
from pycocotools import mask

from nst_det.errors import UserError
from nst_det.experiments.report import collect, read_runs, thumbnails, write_report
from nst_det.experiments.report.curves import training_charts
from nst_det.experiments.report.page import _direction, _number, json_block
from nst_det.models.losses import FeatureLoss


class Page(HTMLParser):
    """The tags of a page with their attributes, and the text of its JSON block."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.block = ''
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = dict(attrs).get('id') == 'report-data'

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        self.block += data if self.inside else ''


def quiet(_: str) -> None:
    """Progress that is not printed."""


@pytest.fixture
def page(report) -> Page:
    """The content of the report."""
    return Page(report.file.read_text())


def test_the_numbers_of_the_report_are_those_of_the_tests(report, page):
    work_dirs = report.work_dirs
    data = json.loads(page.block)
    for run in data['runs']:
        (file,) = (work_dirs[run['name']] / 'test').glob('*/*.json')
        metrics = json.loads(file.read_text())
        assert run['metrics'] == metrics
        shown = [tag for _, tag in page.tags if tag.get('data-run') == run['name']]
        assert float(shown[0]['data-value']) == metrics['pascal_voc/mAP']
    cells = [own['data-value'] for tag, own in page.tags if tag == 'td' and 'data-value' in own]
    circle = cells[:5]  # the objects, three runs and a difference
    cells = cells[:25]  # of the first table: four classes and the mean
    assert [float(value) for value in circle[1:4]] == [1 / 3] * 3
    objects, *mean = cells[-len(circle) :]
    assert objects == ''
    scores = [0.123456789 + extra / 10 for extra in (2, 0, 1)]  # teacher, student, NST
    assert [float(value) for value in mean] == pytest.approx([*scores, scores[2] - scores[1]])


def test_the_curves_of_the_report_are_those_of_the_logs(page):
    charts = {chart['title']: chart for chart in json.loads(page.block)['charts']}
    loss = {curve['run']: curve for curve in charts['Training loss']['series']}
    assert loss['student']['x'] == [1, 2, 3]
    assert loss['student']['y'] == pytest.approx([3.0, 1.5, 1.0])
    (mmd2,) = charts['MMD² to the teacher (NST)']['series']
    assert mmd2['y'] == pytest.approx([0.01, 0.005, 0.01 / 3])
    (ratio,) = charts['Gradient ratio: transfer over detection']['series']
    assert (ratio['x'], ratio['y']) == ([2, 3], [1.5, 1.5])  # the first is NaN
    assert charts['Throughput']['series'][0]['y'] == [8.0] * 3  # 4 images in half a second
    assert 'GPU memory' not in charts  # nobody logged it


def test_an_axis_is_logarithmic_if_the_values_are_far_apart(runs):
    runs[0].scalars = [dict(loss=100.0, lr=0.5, step=1), dict(loss=5.0, lr=0.1, step=2)]
    log = {chart['title']: chart['log'] for chart in training_charts(runs[:1])}
    assert log == {'Training loss': True, 'Learning rate': False}


def test_the_gallery_has_all_images_by_file_name_the_largest_gains_first(page):
    gallery = json.loads(page.block)['gallery']
    assert gallery['runs'] == ['student', 'nst_student', 'teacher']
    assert (gallery['baseline'], gallery['distilled']) == ('student', 'nst_student')
    assert sorted(image['name'] for image in gallery['images']) == [
        f'{number:06}.jpg' for number in range(9, 13)
    ]
    gains = [image['gain'] for image in gallery['images']]
    assert gains == sorted(gains, reverse=True) and gains[0] > 0
    for image in gallery['images']:
        for found in (image['truth'], *image['found'].values()):
            assert len(found['boxes']) == 4 * len(found['labels'])
        for found in image['found'].values():
            assert found['scores'] == sorted(found['scores'], reverse=True)


def test_images_that_do_not_differ_keep_the_order_of_the_test_set(runs):
    for run in runs:
        run.checkpoint = None  # no figures, which take seconds
    runs[2].predictions = runs[1].predictions
    images = collect(runs, '', quiet)['gallery']['images']
    assert [(image['id'], image['gain']) for image in images] == [
        (f'{number:06}', 0) for number in range(9, 13)
    ]


def test_the_pictures_of_many_images_are_beside_the_page(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(thumbnails, 'MAX_INLINE', 3)
    for run in runs:
        run.checkpoint = None
    gallery = collect(runs, '', quiet, tmp_path / 'run #1_files')['gallery']
    pictures = [image['picture'] for image in gallery['images']]
    assert pictures == [f'run%20%231_files/{number:06}.jpg' for number in range(4)]
    for number, image in enumerate(gallery['images']):
        with Image.open(tmp_path / 'run #1_files' / f'{number:06}.jpg') as picture:
            assert picture.size == (image['width'], image['height']) == (64, 64)


def test_a_folder_of_somebody_else_is_not_written_into(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(thumbnails, 'MAX_INLINE', 3)
    (tmp_path / 'report_files').mkdir()
    (tmp_path / 'report_files' / 'thesis.txt').touch()
    with pytest.raises(UserError, match=r'report_files, .* holds thesis\.txt: choose another name'):
        collect(runs, '', quiet, tmp_path / 'report_files')


def test_masks_are_drawn_and_measured_beside_the_boxes(mask_runs):
    data = collect(mask_runs, '', quiet)
    titles = [table['title'] for table in data['tables']]
    assert titles[0] == 'box mAP (IoU 0.50:0.95)'
    assert 'mask mAP (IoU 0.50:0.95)' in titles and len(set(titles)) == len(titles)
    (image,) = data['gallery']['images']
    outline = image['found']['student']['masks'][0]
    assert outline.startswith('M10,10 ') and outline.endswith('Z')
    assert image['truth']['masks'] == ['M10,10 30,10 30,30 10,30Z']
    assert image['name'] == 'a photo.png'
    student, distilled = data['runs'][0], data['runs'][1]
    assert [mean['title'] for mean in student['means']] == ['mask mAP (IoU 0.50:0.95)']
    assert student['score'] == 0.5 and distilled['score'] == 0.6


def test_the_values_by_size_are_those_of_coco(mask_runs):
    data = collect(mask_runs, '', quiet)
    by_name = {row['name']: row['values'] for row in data['sizes']['rows']}
    # The square of 20 pixels is small; the tests report the means over all sizes themselves.
    assert by_name['box mAP (IoU 0.50:0.95, small objects)'] == pytest.approx([1, 1])
    assert by_name['mask mAP (IoU 0.75)'] == pytest.approx([1, 1])
    assert 'box mAP (IoU 0.50:0.95)' not in by_name


def test_the_confusion_matrix_and_the_calibration_are_of_each_run(page):
    data = json.loads(page.block)
    assert list(data['confusion']['matrices']) == ['teacher', 'student', 'nst_student']
    for counts in data['confusion']['matrices'].values():
        assert len(counts) == len(counts[0]) == len(data['confusion']['classes']) + 1
    assert [curve['run'] for curve in data['calibration']] == ['teacher', 'student', 'nst_student']
    assert data['calibration'][0]['precisions'] == [1.0] * len(data['calibration'][0]['scores'])


def test_the_report_has_the_figures_of_the_patterns(page):
    data = json.loads(page.block)
    assert [figure['kind'] for figure in data['figures']] == ['clouds', 'channels', 'grams']
    assert data['notes'] == []
    assert [tag for tag, _ in page.tags].count('img') == 3


def test_the_report_refers_to_nothing_outside_itself(report, page):
    text = report.file.read_text()
    for tag, attributes in page.tags:
        for name in ('src', 'href', 'xlink:href', 'action', 'data'):
            value = attributes.get(name) or ''
            assert value.startswith(('#', 'data:')) or not value, (tag, name, value[:80])
    assert "default-src 'none'" in text
    assert '<b>& theirs' not in text  # names of the user are escaped


def test_the_report_lists_what_is_missing_and_shows_the_rest(work_dirs, tmp_path):
    (work_dirs['nst_student'] / 'predictions.pkl').unlink()
    (work_dirs['teacher'] / 'epoch_2.pth').unlink()
    write_report(read_runs(list(work_dirs.values())), tmp_path / 'report.html', progress=quiet)
    text = (tmp_path / 'report.html').read_text()
    assert 'What is missing' in text
    assert 'no predictions' in text
    assert 'There is no figure of the patterns' in text
    assert 'Precision and recall' in text


def test_the_report_names_a_test_set_that_has_moved(work_dirs, tmp_path):
    config = work_dirs['student'] / 'student.py'
    config.write_text(re.sub(r"data_root='[^']*'", "data_root='gone/'", config.read_text()))
    write_report(read_runs([work_dirs['student']]), tmp_path / 'report.html', progress=quiet)
    text = (tmp_path / 'report.html').read_text()
    assert 'The test set cannot be read' in text
    assert 'AP/circle' in text  # from the JSON


def test_the_gains_of_several_seeds_are_averaged(runs):
    for run in runs:
        run.checkpoint = None  # no figures, which take seconds
    data = collect(runs, '', quiet)
    assert data['mean_gain'] is None
    assert data['gains'][0]['closed'] == pytest.approx(0.5)  # of the way to the teacher
    teacher, baseline, distilled = runs
    other = copy.copy(distilled)
    other.name, other.metrics = 'other', {'pascal_voc/mAP': baseline.results.score + 0.3}
    gain = collect([teacher, baseline, distilled, other], '', quiet)['mean_gain']
    assert (gain['mean'], gain['count']) == (pytest.approx(0.2), 2)
    assert gain['std'] == pytest.approx(0.02**0.5)


def test_the_json_block_cannot_end_its_script(runs):
    block = json_block(dict(figures=[], gallery=None, name='</script><script>', no=float('nan')))
    assert '<' not in block
    assert json.loads(block)['name'] == '</script><script>'
    assert json.loads(block)['no'] is None


def test_a_report_replaces_a_report_and_no_other_file(work_dirs, tmp_path):
    file = tmp_path / 'report.html'
    runs = read_runs([work_dirs['student']])
    write_report(runs, file, 'first', quiet)
    write_report(runs, file, 'second', quiet)
    assert '<title>second</title>' in file.read_text()
    file.write_text('<html>my thesis</html>')
    with pytest.raises(UserError, match='exists and is no report: choose another name'):
        write_report(runs, file, progress=quiet)
    assert file.read_text() == '<html>my thesis</html>'


def test_a_missing_library_is_named(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'plotly', None)
    with pytest.raises(UserError, match='the report needs plotly'):
        write_report(runs, tmp_path / 'report.html', progress=quiet)


# Other metrics than those of VOC.


@pytest.fixture
def coco_runs(runs):
    """The runs as if they had been tested by CocoMetric, without the values by class."""
    for run, extra in zip(runs, (0.2, 0.0, 0.1)):
        run.checkpoint = None  # no figures, which take seconds
        run.cfg.test_evaluator = dict(type='CocoMetric')
        run.metrics = {
            'coco/bbox_mAP': 0.3 + extra,
            'coco/bbox_mAP_50': 0.5 + extra,
            'coco/bbox_mAP_s': -1.0,
        }
    return runs


@pytest.fixture
def mask_runs(runs, tmp_path):
    """A student and a distilled student that find the only object of an image, with its mask."""
    square = np.zeros((64, 80), np.uint8)
    square[10:30, 10:30] = 1
    Image.fromarray(square * 255).save(tmp_path / 'a photo.png')
    obj = dict(id=1, image_id=7, category_id=42, bbox=[10, 10, 20, 20], area=400, iscrowd=0)
    obj['segmentation'] = [[10, 10, 30, 10, 30, 30, 10, 30]]
    truth = dict(
        images=[dict(id=7, file_name='a photo.png', width=80, height=64)],
        annotations=[obj],
        categories=[dict(id=42, name='square')],
    )
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    for run, value in zip(runs[1:], (0.5, 0.6)):
        run.checkpoint = None
        run.cfg.test_evaluator = dict(type='CocoMetric', metric=['bbox', 'segm'])
        run.cfg.test_dataloader.dataset = dict(
            type='CocoDataset',
            ann_file=str(tmp_path / 'truth.json'),
            data_prefix=dict(img=str(tmp_path)),
            metainfo=dict(classes=('square',)),
            test_mode=True,
        )
        run.metrics = {'coco/bbox_mAP': value, 'coco/segm_mAP': value / 2}
        found = dict(bboxes=torch.tensor([[10.0, 10, 30, 30]]), labels=torch.tensor([0]))
        found |= dict(scores=torch.tensor([0.9]), masks=[mask.encode(np.asfortranarray(square))])
        run.predictions = {7: found}
    return runs[1:]


def test_a_run_tested_by_coco_has_the_mean_over_ten_thresholds_on_its_card(coco_runs):
    data = collect(coco_runs, '', quiet)
    teacher, student, _ = data['runs']
    assert (teacher['score'], student['score']) == (0.5, 0.3)
    assert student['metric']['title'] == 'box mAP (IoU 0.50:0.95)'
    assert data['gains'][0]['gain'] == pytest.approx(0.1)


def test_all_metrics_of_coco_are_in_a_table_of_their_own(coco_runs):
    rows = collect(coco_runs, '', quiet)['metrics']['rows']
    assert [row['name'] for row in rows] == ['box mAP (IoU 0.50:0.95)', 'box mAP (IoU 0.50)']
    assert rows[1]['values'] == pytest.approx([0.7, 0.5, 0.6])
    assert rows[1]['gains'] == pytest.approx([0.1])


def test_classes_that_coco_does_not_report_are_computed_by_its_definition(coco_runs):
    data = collect(coco_runs, '', quiet)
    table = data['tables'][0]
    assert table['title'] == 'box mAP (IoU 0.50:0.95)'
    assert table['source'] == 'computed from the predictions'
    aps = [row['values'][0] for row in table['rows'] if row['values'][0] == row['values'][0]]
    assert len(aps) > 1
    assert table['mean']['values'][0] == pytest.approx(sum(aps) / len(aps))
    (note,) = data['notes']
    assert 'The tests report no AP by class: it is computed from the predictions' in note


def test_classes_that_coco_reports_have_the_mean_of_coco(coco_runs):
    for run in coco_runs:
        run.metrics.update({'coco/circle_precision': 0.25, 'coco/star_precision': 0.35})
    data = collect(coco_runs, '', quiet)
    table = data['tables'][0]
    assert (table['title'], table['iou']) == ('box mAP (IoU 0.50:0.95)', '0.50:0.95')
    assert table['source'] == 'reported by the tests'
    by_name = {row['name']: row['values'] for row in table['rows']}
    assert by_name['circle'] == [0.25] * 3
    assert by_name['square'] == [None] * 3  # never the AP of another threshold
    assert table['mean']['values'] == [run['score'] for run in data['runs']]
    assert data['notes'] == []


def test_every_table_by_class_has_one_metric_with_its_thresholds(coco_runs):
    tables = collect(coco_runs, '', quiet)['tables']
    assert [table['title'] for table in tables[:3]] == [
        'box mAP (IoU 0.50:0.95)',
        'box mAP (IoU 0.50)',
        'box mAP (IoU 0.75)',
    ]
    assert len({table['title'] for table in tables}) == len(tables)
    for table in tables:
        aps = [row['values'][0] for row in table['rows']]
        known = [ap for ap in aps if ap == ap]
        if known:
            assert table['mean']['values'][0] == pytest.approx(sum(known) / len(known))


def test_the_page_names_the_thresholds_of_coco(coco_runs, tmp_path):
    write_report(coco_runs, tmp_path / 'report.html', progress=quiet)
    text = (tmp_path / 'report.html').read_text()
    assert '<span class="unit">box mAP (IoU 0.50:0.95), %</span>' in text
    assert 'All metrics that the tests report' in text


def test_runs_of_different_metrics_have_no_gain(runs):
    for run in runs:
        run.checkpoint = None  # no figures, which take seconds
    runs[2].metrics = {'coco/bbox_mAP': 0.3}
    data = collect(runs, '', quiet)
    assert data['gains'] == []
    assert 'nst_student and student were tested by different metrics' in ' '.join(data['notes'])


def test_validations_are_drawn_by_the_unit_of_their_steps(runs):
    validations = [{'coco/bbox_mAP': 0.25, 'coco/segm_mAP': 0.2, 'step': 1}]
    runs[0].scalars = validations
    runs[1].scalars = [dict(entry, step=500) for entry in validations]
    runs[1].cfg.default_hooks = dict(logger=dict(type='LoggerHook', log_metric_by_epoch=False))
    charts = [chart for chart in training_charts(runs[:2]) if 'validation' in chart['title']]
    assert [(chart['title'], chart['axis']) for chart in charts] == [
        ('box mAP (IoU 0.50:0.95) in validation', 'epoch'),
        ('mask mAP (IoU 0.50:0.95) in validation', 'epoch'),
        ('box mAP (IoU 0.50:0.95) in validation', 'iteration'),
        ('mask mAP (IoU 0.50:0.95) in validation', 'iteration'),
    ]
    assert charts[0]['series'] == [dict(name='teacher', run='teacher', x=[1], y=[25.0])]


def test_the_loss_of_a_user_has_a_chart(runs):
    @MODELS.register_module()
    class MyReportLoss(FeatureLoss):
        method = 'mine'
        measure = 'angle'
        title = 'Angle to the teacher'
        unit = 'degrees'
        meaning = 'Lower: closer.'

    try:
        runs[2].scalars = [dict(loss=1.0, step=1, angle_backbone=30.0, angle_neck=40.0)]
        charts = {chart['title']: chart for chart in training_charts(runs)}
    finally:
        MODELS.module_dict.pop('MyReportLoss')
    chart = charts['Angle to the teacher']
    assert (chart['unit'], chart['note']) == ('degrees', 'Lower: closer.')
    assert [curve['name'] for curve in chart['series']] == [
        'nst_student: backbone',
        'nst_student: neck',
    ]


def test_a_difference_that_is_written_as_zero_has_no_sign_and_no_colour():
    assert [_number(value, True, True) for value in (-0.0004, 0.0004, -0.01)] == [
        '0.0',
        '0.0',
        '−1.0',
    ]
    assert [_direction(value, True) for value in (-0.0004, 0.0, None)] == ['', '', '']
    assert (_direction(0.01, True), _direction(-0.01, True)) == ('up', 'down')
    assert _direction(-0.01, True, higher_is_better=False) == 'up'
