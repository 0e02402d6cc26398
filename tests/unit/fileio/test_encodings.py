"""Telling the encoding of a text."""

import pytest

from nst_det.fileio.encodings import extends_ascii, legacy_readings, unicode_encoding


@pytest.mark.parametrize(
    'encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32']
)
def test_unicode_is_told_by_its_mark_or_its_bytes(encoding):
    text = 'a k\xf6ter\n'
    content = text.encode(encoding)
    assert content.decode(unicode_encoding(content)) == text


@pytest.mark.parametrize('encoding', ['latin-1', 'cp1252', 'cp1251'])
def test_other_text_is_not_taken_for_unicode(encoding):
    assert unicode_encoding('fa\xdfe \xab \xbb'.encode(encoding, 'ignore')) is None


def test_a_legacy_text_is_read_in_each_encoding_once():
    readings = legacy_readings('k\xf6ter'.encode('latin-1'))
    assert readings['cp1252'] == 'k\xf6ter'
    assert len(set(readings.values())) == len(readings)


@pytest.mark.parametrize(
    ('encoding', 'extends'),
    [
        *((name, True) for name in ('utf8', 'latin-1', 'windows-1252', 'gb2312', 'sjis', 'ascii')),
        *((name, False) for name in ('utf-16', 'utf-7', 'hz', 'iso2022_jp', 'hex', 'klingon')),
    ],
)
def test_an_encoding_that_changes_ascii_is_told(encoding, extends):
    assert extends_ascii(encoding) is extends
