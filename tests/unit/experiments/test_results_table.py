"""The results table: its cells, its best values, its gains and the values of the paper."""

import csv
import io

import pytest
from mmdet.datasets import VOCDataset
from PIL import Image

from nst_det.errors import UserError
from nst_det.experiments import Protocol, Result, ResultsTable, Row, draw_table, paper_rows

CLASSES = ('bird', 'cat')


def row(method, *maps, competes=True, bird=0.5):
    results = {
        seed: Result(voc(value / 100, bird=bird, cat=0.5), checkpoint='', seconds=1)
        for seed, value in enumerate(maps)
    }
    return Row(method, results, competes)


def voc(mean, **classes):
    by_class = {f'pascal_voc/AP/{name}': value for name, value in classes.items()}
    return {'pascal_voc/mAP': mean, 'pascal_voc/AP50': mean, **by_class}


def coco(method, *means, **classes):
    by_class = {f'coco/{name}_precision': value for name, value in classes.items()}
    return Row(
        method,
        {
            seed: Result({'coco/bbox_mAP': value / 100, 'coco/bbox_mAP_50': 0.5, **by_class}, '', 1)
            for seed, value in enumerate(means)
        },
    )


def common(*classes, metric='VOC', protocol='11 points', dataset='VOCDataset'):
    return Protocol('test.txt', classes, metric, protocol, '0.5', dataset)


def error(method, *errors, competes=True):
    results = {
        seed: Result({'top1_error': value / 100}, checkpoint='', seconds=1)
        for seed, value in enumerate(errors)
    }
    return Row(method, results, competes)


@pytest.fixture
def table():
    return ResultsTable(
        [
            row('Teacher', 50, competes=False, bird=0.9),
            row('Baseline', 20, 22, 24),
            row('NST (poly)', 30, 33, 33, bird=0.6),
        ],
        baseline='Baseline',
    )


def test_a_row_has_the_mean_and_the_sample_standard_deviation(table):
    lines = table.cells()
    assert lines[0] == ['method', 'mAP, mean ± std', 'bird', 'cat']
    assert lines[2] == ['Baseline', '22.0 ± 2.0', '50.0', '50.0']
    assert lines[1][1] == '50.0'  # one seed has no spread


def test_the_best_of_each_column_is_bold_and_a_teacher_never_is(table):
    text = table.markdown()
    assert '| NST (poly) | **32.0 ± 1.7** | **60.0** | **50.0** |' in text
    assert text.count('**') == 8  # the cats are equal


def test_equal_best_values_are_all_bold():
    table = ResultsTable([row('Baseline', 20), row('KD', 20.04), row('AT', 19)], 'Baseline')
    assert {line for line, column in table.best() if column == 1} == {1, 2}


def test_the_gain_is_paired_over_the_seeds_that_both_have():
    table = ResultsTable([row('Baseline', 20, 30, 40), row('KD', 21, 33)], 'Baseline')
    gain = table.gain(table.rows[1])
    assert (gain.mean, gain.seeds) == (pytest.approx(2), 2)

    late, early = row('Baseline', 20, 30, 40), row('KD', 21, 33)
    del late.results[0]
    gain = ResultsTable([late, early], 'Baseline').gain(early)
    assert (gain.mean, gain.seeds) == (pytest.approx(3), 1)
    del early.results[1]
    assert ResultsTable([late, early], 'Baseline').gain(early) is None


def test_the_gains_are_written_with_a_verdict_in_words(table):
    _, *gains = table.gain_cells()
    assert gains == [
        ['NST (poly)', '+10.0', '+7.5 to +12.5', '0.0033', '3', 'better than the baseline']
    ]


def test_the_gain_of_one_seed_says_that_there_is_no_interval():
    table = ResultsTable([row('Baseline', 20), row('KD', 21)], 'Baseline')
    assert 'one seed: no interval' in table.markdown()


def test_the_lines_of_the_paper_appear_only_on_request_and_name_their_source(table):
    assert 'the paper' not in table.markdown()
    paper = {'Baseline': {'mAP': 75.6, **dict(zip(table.classes, (75.0, 87.0))), 'sofa': 60.0}}
    beside = ResultsTable(table.rows, 'Baseline', paper)  # no sofa in this test set
    lines = beside.cells()
    assert lines[3] == ['the paper', '75.6', '75.0', '87.0']
    assert (4, 1) in beside.best()  # never a line of the paper
    assert 'arXiv 1707.01219, not results of these runs' in beside.markdown()


def test_the_paper_has_six_methods_with_their_values():
    rows = paper_rows(common('aeroplane', 'tvmonitor'))
    assert rows['Baseline'] == {'mAP': 75.6, 'aeroplane': 77.2, 'tvmonitor': 74.9}
    assert list(rows['KD + NST (poly)'].values()) == [77.2, 75.7, 77.1]
    assert len(rows) == 6


def test_the_values_of_the_paper_equal_the_reference(shared):
    lines = (shared / 'reference' / 'voc07_table4.csv').read_text().splitlines()[1:]
    facts = [[float(value) for value in line.split(',')[1:]] for line in lines]
    rows = paper_rows(common(*VOCDataset.METAINFO['classes'])).values()
    assert [list(row.values()) for row in rows] == facts


def test_the_paper_beside_other_classes_is_refused():
    with pytest.raises(UserError, match="the 20 classes of VOC, and 'circle' is none"):
        paper_rows(common('circle', 'star'))


def test_the_paper_beside_ap_by_area_is_refused():
    with pytest.raises(UserError, match='by 11 points, .* tested by VOC area on VOCDataset: leave'):
        paper_rows(common('cat', protocol='area'))


@pytest.mark.parametrize(
    ('dataset', 'baseline', 'best', 'methods'),
    [
        ('CIFAR10Dataset', 5.80, 4.21, 9),
        ('CIFAR100', 25.63, 21.48, 9),
        ('ImageNetDataset', 25.74, 24.34, 7),  # two kernels were not tried there
    ],
)
def test_the_paper_has_the_errors_of_three_classifications(dataset, baseline, best, methods):
    rows = paper_rows(common(metric='ClassificationError', protocol='', dataset=dataset))
    assert rows['Baseline'] == {'top-1 error': baseline}
    assert rows['KD + NST (poly)'] == {'top-1 error': best}
    assert min(row['top-1 error'] for row in rows.values()) == rows['Teacher']['top-1 error']
    assert len(rows) == methods


def test_the_paper_beside_the_error_on_other_images_is_refused():
    with pytest.raises(UserError, match='tested by ClassificationError on DigitsDataset: leave'):
        paper_rows(common(metric='ClassificationError', protocol='', dataset='DigitsDataset'))


def test_the_lowest_error_is_the_best_and_a_change_upwards_is_worse():
    rows = [
        error('Teacher', 4.0, competes=False),
        error('Baseline', 5.80, 5.90, 5.85),
        error('KD', 4.40, 4.60, 4.50),
        error('AT', 6.41, 6.49, 6.45),
    ]
    paper = paper_rows(common(metric='ClassificationError', protocol='', dataset='CIFAR10'))
    text = ResultsTable(rows, 'Baseline', paper).markdown()
    assert text.startswith('top-1 error, % on the test images, lower is better. Best in bold.')
    lines = text.splitlines()
    assert lines[5:10] == [
        '| the paper | 4.04 |',
        '| Baseline | 5.85 ± 0.05 |',
        '| the paper | 5.80 |',
        '| KD | **4.50 ± 0.10** |',
        '| the paper | 4.47 |',
    ]
    assert 'Change from Baseline in points of top-1 error' in text
    verdicts = {
        line.split()[1]: line.split('|')[-2].strip()
        for line in lines
        if '-1.' in line or '+' in line
    }
    assert verdicts == {'KD': 'better than the baseline', 'AT': 'worse than the baseline'}


def test_the_title_names_the_protocol_of_ap(table):
    assert table.markdown().startswith('VOC mAP and AP (11 points, %)')
    assert ResultsTable(table.rows, 'Baseline', protocol='area').title.startswith(
        'VOC mAP and AP (area, %)'
    )


def test_the_table_names_rows_that_lack_seeds(table):
    assert 'same seeds' not in table.markdown()
    some = ResultsTable([row('Baseline', 20, 22), row('KD', 21), row('Teacher', 9)], 'Baseline')
    assert 'do not have the same seeds yet: Baseline 0 1; KD 0;' in some.markdown()


def test_the_csv_reads_back_unrounded(table):
    lines = list(csv.DictReader(io.StringIO(table.csv())))
    assert [line['method'] for line in lines] == ['Teacher', 'Baseline', 'NST (poly)']
    assert float(lines[2]['mAP']) == pytest.approx(32)
    assert float(lines[2]['gain_low']) == pytest.approx(7.515862, abs=1e-5)
    assert lines[1]['gain'] == ''
    assert lines[1]['seeds'] == '0 1 2'


def test_rows_of_different_test_sets_make_no_table():
    other = Row('KD', {0: Result(voc(0.5, dog=0.5), checkpoint='', seconds=1)})
    with pytest.raises(UserError, match='one table needs one test set'):
        ResultsTable([row('Baseline', 20), other], 'Baseline')


def test_rows_of_different_metrics_make_no_table():
    with pytest.raises(UserError, match=r'mAP \(IoU 0.50\) and KD on box mAP \(IoU 0.50:0.95\)'):
        ResultsTable([row('Baseline', 20), coco('KD', 20)], 'Baseline')


def test_the_paper_beside_another_metric_is_refused():
    with pytest.raises(UserError, match='tested by CocoMetric on VOCDataset: leave out'):
        paper_rows(common('cat', metric='CocoMetric', protocol=''))


def test_a_table_of_coco_names_its_metric_and_thresholds():
    table = ResultsTable([coco('Baseline', 20, bird=0.1), coco('KD', 21, bird=0.2)], 'Baseline')
    assert table.markdown().startswith('box mAP (IoU 0.50:0.95), % on the test images')
    assert table.cells() == [
        ['method', 'box mAP', 'bird'],
        ['Baseline', '20.0', '10.0'],
        ['KD', '21.0', '20.0'],
    ]
    assert 'in points of box mAP' in table.markdown()


def test_a_table_without_values_by_class_has_the_mean_alone():
    table = ResultsTable([coco('Baseline', 20), coco('KD', 21)], 'Baseline')
    assert table.cells()[0] == ['method', 'box mAP']


def test_a_metric_that_is_better_when_lower_has_the_lowest_value_in_bold():
    rows = [Row(name, {0: Result({'m/error': v}, '', 1)}) for name, v in (('A', 0.5), ('B', 0.25))]
    table = ResultsTable(rows, 'A')
    assert '| B | **0.25** |' in table.markdown()
    assert table.gain(rows[1]).mean == -0.25


def test_a_column_of_zeros_has_no_best_value():
    table = ResultsTable([row('Baseline', 0, bird=0), row('KD', 0.01, bird=0)], 'Baseline')
    assert {column for _, column in table.best()} == {3}  # the cats alone


def test_a_gain_of_zero_has_no_sign():
    table = ResultsTable([row('Baseline', 20.01, 30.02), row('KD', 20, 30)], 'Baseline')
    assert table.gain_cells()[1][1] == '0.0'
    assert '-0.0' not in table.markdown()


def test_no_result_makes_no_table():
    with pytest.raises(UserError, match='no result yet'):
        ResultsTable([Row('Baseline')], 'Baseline')


def test_a_picture_has_room_for_every_row(table, tmp_path):
    draw_table(table, tmp_path / 'some.png')
    assert {file.name for file in tmp_path.iterdir()} == {'some.png'}
    more = [*table.rows, *(row(f'method {i}', 20, 21, 23) for i in range(5))]
    draw_table(ResultsTable(more, 'Baseline'), tmp_path / 'more.png')
    some, more = (Image.open(tmp_path / name) for name in ('some.png', 'more.png'))
    assert some.width == more.width
    assert more.height > some.height + 5 * 60


def test_the_rows_are_compared_by_the_metric_that_is_asked_for():
    def masks(method, box, mask, small):
        values = {'coco/bbox_mAP': box, 'coco/segm_mAP': mask, 'coco/segm_mAP_s': small}
        return Row(method, {0: Result(values, '', 1)})

    rows = [masks('A', 0.4, 0.2, 0.1), masks('B', 0.3, 0.25, 0.05)]
    table = ResultsTable(rows, 'A', metrics=['coco/segm_mAP', 'coco/segm_mAP_s', 'coco/bbox_mAP'])
    assert table.title == 'mask mAP (IoU 0.50:0.95), % on the test images'
    assert table.cells() == [
        [
            'method',
            'mask mAP',
            'mask mAP (IoU 0.50:0.95, small objects)',
            'box mAP (IoU 0.50:0.95)',
        ],
        ['A', '20.0', '10.0', '40.0'],
        ['B', '25.0', '5.0', '30.0'],
    ]
    assert table.gain(rows[1]).mean == pytest.approx(5)
    assert table.best() == {(2, 1), (1, 2), (1, 3)}
    lines = list(csv.DictReader(io.StringIO(table.csv())))
    assert [float(line['coco/segm_mAP_s']) for line in lines] == [10, 5]


def test_the_classes_are_those_of_the_metric_that_is_asked_for():
    values = {'coco/bbox_mAP': 0.4, 'coco/segm_mAP': 0.2}
    values |= {'coco/bbox_AP/cat': 0.4, 'coco/segm_AP/cat': 0.2}
    row = Row('A', {0: Result(values, '', 1)})
    assert ResultsTable([row], 'A', metrics=['coco/segm_mAP']).cells()[1] == ['A', '20.0', '20.0']
    assert ResultsTable([row], 'A').cells()[1] == ['A', '40.0', '40.0']


def test_a_metric_that_a_test_does_not_report_is_an_error_with_the_nearest():
    with pytest.raises(UserError, match=r"--metric coco/bbox_map: .* mean 'coco/bbox_mAP'"):
        ResultsTable([coco('A', 20)], 'A', metrics=['coco/bbox_map'])


def test_the_thresholds_of_the_config_are_in_the_title():
    evaluators = dict(type='CocoMetric', iou_thrs=[0.5, 0.6])
    row = Row('A', {0: Result({'coco/bbox_mAP': 0.4}, '', 1, evaluators)})
    assert ResultsTable([row], 'A').title.startswith('box mAP (IoU 0.50, 0.60)')
