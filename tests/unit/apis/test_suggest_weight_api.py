"""The table of suggested weights."""

from nst_det.apis.suggest_weight import Measurement, table


def cells(measurements):
    lines = [line for line in table(measurements, 0.5).splitlines() if '|' in line]
    return [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines]


def test_the_column_of_the_distance_has_the_name_that_the_losses_give_it():
    head, row = cells([Measurement('neck[0]', 50.0, [0.1, 0.3, 0.2], [0.02], 'MMD²')])
    assert head == ['', 'MMD²', 'gradient ratio at λ=1', 'λ now (ratio)', 'λ for 0.5']
    assert row[:2] == ['transfers[0] neck[0]', '0.2 [0.1, 0.3]']
    assert row[3:] == ['50 (1)', '25']


def test_transfers_with_different_losses_each_name_their_distance():
    head, *rows = cells(
        [
            Measurement('neck[0]', 50.0, [0.1], [0.02], 'MMD²'),
            Measurement('neck[1]', 1.0, [2.0], [0.1], 'KL divergence'),
        ]
    )
    assert head[1] == 'distance'
    assert [row[1] for row in rows] == ['MMD² 0.1 [0.1, 0.1]', 'KL divergence 2 [2, 2]']


def test_a_layer_without_a_detection_gradient_is_flagged_and_gets_no_weight():
    found, starved = (
        Measurement('neck[0]', 50.0, [0.1], [0.02], 'MMD²'),
        Measurement('neck[2]', 50.0, [0.1], [float('inf')], 'MMD²'),
    )
    rows = cells([found, starved])[1:]
    assert [row[-1] for row in rows] == ['25', 'none']
    assert found.fault() is None
    assert "could be measured at 'neck[2]'" in starved.fault()
