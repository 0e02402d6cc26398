"""Where the tests find the project's own files, and the files of the packages it builds on."""

from pathlib import Path

import mmdet

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'
# The demo's three: the student alone, its teacher, and the student taught by NST.
DEMO = dict(
    student=CONFIGS / 'faster_rcnn' / 'faster-rcnn_inception-bn-w0.25_5e_shapes.py',
    teacher=CONFIGS / 'faster_rcnn' / 'faster-rcnn_inception-bn-w0.375_14e_shapes.py',
    nst_student=CONFIGS
    / 'nst'
    / 'nst_faster-rcnn_inception-bn-w0.25_inception-bn-w0.375_5e_shapes.py',
)
TOOLS = ROOT / 'tools'
DOCS = ROOT / 'docs'
FIXTURES = ROOT / 'tests' / 'fixtures'
SHARED = ROOT.parent / 'shared'  # reference data, which a lone checkout lacks
MMDET_TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'
