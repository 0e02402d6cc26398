"""The tool that writes the report, after the tools that it reports on."""

import json

import pytest


def test_a_training_and_its_test_are_reported_on(tool, write, tiny_config, tmp_path):
    # A visualiser is kept by its name, with the folder of whoever asked for it first.
    changes = {'train_cfg.max_epochs': 1, 'visualizer.name': 'reported'}
    config = write(tiny_config('student', **changes))
    folder = tmp_path / 'student'
    assert tool('train', config, '--work-dir', folder)[0] == 0
    out = ['--work-dir', folder / 'test', '--out', folder / 'predictions.pkl']
    assert tool('test', config, folder / 'epoch_1.pth', *out)[0] == 0
    status, out, err = tool('report', folder, '-o', 'report.html', '--title', 'Mine')
    assert status == 0, err
    assert out.splitlines()[-1] == 'Wrote report.html'
    text = (tmp_path / 'report.html').read_text()
    (file,) = (folder / 'test').glob('*/*.json')
    score = json.loads(file.read_text())['pascal_voc/mAP']
    assert f'data-run="student" data-value="{score}"' in text
    assert '<title>Mine</title>' in text
    assert 'What is missing' not in text


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(['gone'], 'there is no work dir'), (['.', '-o', 'report.pdf'], 'expected the name of an .h')],
)
def test_a_mistake_is_one_clear_line(tool, arguments, message):
    status, _, err = tool('report', *arguments)
    assert status == 2
    assert err.startswith('error: ') and message in err
    assert len(err.splitlines()) == 1
