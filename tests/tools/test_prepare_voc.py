"""The tool that makes and checks VOC devkits."""

import shutil


def test_the_check_prints_tables_and_fails_with_the_number_of_faults(shapes, tmp_path, tool):
    devkit = shutil.copytree(shapes, tmp_path / 'VOCdevkit')
    status, out, _ = tool('prepare_voc', '--check', devkit)
    assert status == 0 and 'no faults' in out and '| difficult |' in out
    assert "\nmetainfo = dict(classes=('circle', " in out
    (devkit / 'VOC2007' / 'Annotations' / '000003.xml').unlink()
    status, out, err = tool('prepare_voc', '--check', devkit)
    assert status == 2 and 'has 1 faults' in err and 'add --negatives-without-xml' in out
    status, out, _ = tool('prepare_voc', '--check', devkit, '--negatives-without-xml')
    assert status == 0 and ', negatives_without_xml=True, ' in out


def test_a_folder_without_a_devkit_is_one_line(tmp_path, tool):
    status, _, err = tool('prepare_voc', '--check', tmp_path)
    assert status == 2 and err.startswith('error: ') and 'holds no devkit' in err
