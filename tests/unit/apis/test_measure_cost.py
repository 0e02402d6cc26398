"""The cost of running detectors."""

import pytest
from locations import DEMO
from mmengine.analysis import get_model_complexity_info

from nst_det.apis.build import build_detector
from nst_det.apis.list_layers import list_layers
from nst_det.apis.measure_cost import DetectorCost, cost_table, measure_costs
from nst_det.config.load import load_config


@pytest.fixture
def detectors(tiny_config):
    student, teacher = tiny_config('student'), load_config(str(DEMO['teacher']))
    return dict(student=build_detector(student), teacher=build_detector(teacher))


def test_both_detectors_are_measured_on_the_same_image(detectors):
    costs = measure_costs(detectors, (60, 80), repeats=3)
    assert list(costs) == ['student', 'teacher']
    assert {cost.batch_input_shape for cost in costs.values()} == {(64, 80)}
    for cost in costs.values():
        assert 0 < cost.quartiles[0] <= cost.latency <= cost.quartiles[1]
    assert costs['student'].parameters < costs['teacher'].parameters
    assert costs['student'].flops < costs['teacher'].flops


def test_an_operation_is_half_a_multiply_add_as_mmengine_counts(tiny_config):
    detector = build_detector(tiny_config('student'))
    counted = list_layers(detector, (64, 64), body_only=True)
    info = get_model_complexity_info(
        detector.backbone, (3, 64, 64), show_table=False, show_arch=False
    )
    # mmengine adds up batch norms and pooling as well.
    assert counted.flops / 2 == pytest.approx(info['flops'], rel=0.1)


def test_the_table_compares_with_the_first():
    costs = {
        'student': DetectorCost(1_500_000, 2_000_000_000, 0.01, (0.0095, 0.012), (64, 64)),
        'teacher': DetectorCost(6_000_000, 10_000_000_000, 0.025, (0.02, 0.03), (64, 64)),
    }
    lines = cost_table(costs).splitlines()
    cells = ['student', '1.5', '2', '10', '9.5 to 12']
    assert [cell.strip() for cell in lines[3].split('|')[1:-1]] == cells
    cells = ['teacher', '6 (4.00 ×)', '10 (5.00 ×)', '25 (2.50 ×)', '20 to 30']
    assert [cell.strip() for cell in lines[4].split('|')[1:-1]] == cells
