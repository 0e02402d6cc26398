"""The tables of layers."""

from dataclasses import replace

from nst_det.apis.layer_table import pair_table, summary, table
from nst_det.apis.list_layers import ForwardPass, Layer


def layer(name, stride, cost, size=(4, 6)):
    return Layer(name, 8, size, stride, cost, name == 'backbone.a', name)


STUDENT = ForwardPass(
    detector='FCOS',
    batch_input_shape=(64, 96),
    layers=[layer('backbone.a.conv', 8, 5)],
    useful=[
        layer('backbone.a', 16, 10),
        layer('backbone.b', 16, 20),
        layer('neck[0]', 16, 50),
        layer('neck[1]', 32, 50),
    ],
    flops=200,
    failure=None,
)
TEACHER = replace(
    STUDENT,
    useful=[
        layer('backbone.z', 16, 30),
        layer('neck[2]', 16, 100, (3, 6)),
        layer('pool', None, 100, (1, 1)),
    ],
)


def rows(text):
    return [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in text.splitlines()
        if line.startswith('|')
    ]


def test_a_row_has_the_size_of_a_layer_and_its_cost():
    assert rows(table(STUDENT))[1:3] == [
        ['backbone.a (frozen)', '8', '4 × 6', '16', '5.0%'],
        ['backbone.b', '8', '4 × 6', '16', '10.0%'],
    ]


def test_all_layers_are_tabulated_on_request():
    assert rows(table(STUDENT, all_layers=True))[1:] == [
        ['backbone.a.conv', '8', '4 × 6', '8', '2.5%']
    ]


def test_the_last_layers_of_equal_stride_and_part_are_side_by_side():
    pairs = [(row[0], row[5], row[6]) for row in rows(pair_table(STUDENT, TEACHER))[1:]]
    assert pairs == [
        ('', '', 'pool'),
        ('backbone.a (frozen)', '', ''),
        ('backbone.b', '=', 'backbone.z'),
        ('neck[0]', '~', 'neck[2]'),
        ('neck[1]', '', ''),
    ]


def test_a_failure_is_in_the_summary():
    text = summary(replace(STUDENT, failure='KeyError: 7'))
    assert text.startswith('FCOS: 64 × 96 pixels')
    assert 'shares of the part that ran: KeyError: 7' in text
