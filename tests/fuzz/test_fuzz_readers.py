"""Some thousand inputs of the fuzzing of the readers; `make fuzz INPUTS=…` tries any number."""

import importlib.util
import io
import itertools
import random
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_spec = importlib.util.spec_from_file_location(
    'fuzz_readers', Path(__file__).with_name('fuzz_readers.py')
)
fuzzing = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fuzzing)

PROGRAMS = st.lists(st.sampled_from(fuzzing.OPCODES), max_size=30).map(b''.join)
COUNTS = dict(annotation=4000, checkpoint=600, mxnet=4000)


@pytest.mark.parametrize('reader', fuzzing.READERS)
def test_damaged_files_are_read_or_refused_in_one_line(reader, tmp_path):
    found = {True: 0, False: 0}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        damaged = itertools.islice(fuzzing.inputs(reader, random.Random(0)), COUNTS[reader])
        for content in damaged:
            found[fuzzing.judge(reader, content, tmp_path)] += 1
    assert min(found.values()) > 10  # some mutations do no harm, and some destroy the file


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAMS | st.binary(max_size=60))
@pytest.mark.filterwarnings('ignore')
def test_any_pickle_in_a_checkpoint_is_read_or_refused_in_one_line(program):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, 'w') as parts:
        parts.writestr('archive/data.pkl', b'\x80\2' + program + b'.')
        parts.writestr('archive/version', '3\n')
        parts.writestr('archive/byteorder', 'little')
    with tempfile.TemporaryDirectory() as folder:
        fuzzing.judge('checkpoint', archive.getvalue(), Path(folder))
