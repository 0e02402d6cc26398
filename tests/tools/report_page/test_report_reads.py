"""A report reads the checkpoint of each run from disk once."""

from nst_det.experiments.report import pattern_figures, read_runs, write_report


def test_a_report_reads_student_teacher_and_distilled_student_once(
    work_dirs, tmp_path, reads, monkeypatch
):
    drawn = []
    monkeypatch.setattr(pattern_figures, '_figures_of', lambda view: drawn.append(view) or [])
    write_report(read_runs(list(work_dirs.values())), tmp_path / 'report.html', 'R', lambda _: None)
    assert drawn
    assert reads == {
        'student/epoch_2.pth': 1,
        'nst_student/epoch_2.pth': 1,
        'teacher/epoch_2.pth': 1,
    }
