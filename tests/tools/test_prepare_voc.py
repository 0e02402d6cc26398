"""The tool that makes and checks VOC devkits."""


def test_the_check_prints_a_table_and_fails_with_the_number_of_faults(shapes, tool):
    status, out, _ = tool('prepare_voc', '--check', shapes, '--subset')
    assert status == 0 and 'no faults' in out and '| difficult |' in out
    status, out, err = tool('prepare_voc', '--check', shapes)
    assert status == 2 and 'has 4 faults' in err and "VOC's own 5011" in out


def test_a_folder_without_a_devkit_is_one_line(tmp_path, tool):
    status, _, err = tool('prepare_voc', '--check', tmp_path)
    assert status == 2 and err.startswith('error: ') and 'holds no devkit' in err
