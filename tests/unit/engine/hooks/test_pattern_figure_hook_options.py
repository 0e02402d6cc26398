"""The options of PatternFigureHook."""

import pytest

from nst_det.engine import PatternFigureHook
from nst_det.errors import UserError


@pytest.mark.parametrize(
    ('options', 'option'),
    [
        *((dict(interval=value), 'interval') for value in (0, -1, 2.5, True, 'often')),
        (dict(by_epoch=1), 'by_epoch'),
        (dict(image=''), 'image'),
        (dict(image=5), 'image'),
    ],
)
def test_pattern_figure_hook_names_a_wrong_option(options, option):
    with pytest.raises(UserError) as caught:
        PatternFigureHook(**options)
    assert caught.value.option == option
