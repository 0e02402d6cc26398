"""Where the tests find the project's own files, and the files of the packages it builds on."""

from pathlib import Path

import mmdet

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'
TOOLS = ROOT / 'tools'
DOCS = ROOT / 'docs'
FIXTURES = ROOT / 'tests' / 'fixtures'
SHARED = ROOT.parent / 'shared'  # reference data, which a lone checkout lacks
MMDET_TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'
