"""Annotations, which may come from strangers."""

import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nst_det.datasets.voc_annotation import (
    LARGEST_FILE,
    VOCObject,
    parse_annotation,
    read_annotation,
)
from nst_det.errors import UserError

OBJECT = (
    '<object><name>{name}</name>{difficult}<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>'
    '<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>'
)
BOX = dict(name='cat', difficult='', xmin=10, ymin=20, xmax=30, ymax=40)


def annotation(*objects, width=100, height=50, filename='000001.jpg'):
    parts = ''.join(OBJECT.format(**{**BOX, **changes}) for changes in objects)
    return (
        f'<annotation><filename>{filename}</filename><size><width>{width}</width>'
        f'<height>{height}</height></size>{parts}</annotation>'
    ).encode()


def fault_of(content):
    with pytest.raises(UserError, match=r'^the annotation /[^\n]*some\.xml [^\n]+$') as caught:
        parse_annotation(content, 'some.xml')
    return str(caught.value)


def test_missing_fields_and_other_classes_are_read_as_documented():
    content = annotation({}, dict(name='tiger'), dict(difficult='<difficult>1</difficult>'))
    read = parse_annotation(content, 'some.xml', classes={'cat'})
    assert (read.width, read.height) == (100, 50)
    box = (10, 20, 30, 40)
    assert read.objects == [VOCObject('cat', box, False), VOCObject('cat', box, True)]
    assert read.others == ['tiger']


def test_parts_of_a_person_whose_boxes_have_decimals_as_in_voc_change_nothing():
    sides = dict(xmin=12.3004, ymin=21.36, xmax=19.0, ymax=33.8197)
    box = ''.join(f'<{side}>{value}</{side}>' for side, value in sides.items())
    part = f'<part><name>head</name><bndbox>{box}</bndbox></part></object>'.encode()
    with_part = annotation({}).replace(b'</object>', part)
    assert parse_annotation(with_part, 'some.xml') == parse_annotation(annotation({}), 'some.xml')


def test_an_image_may_have_no_objects():
    assert parse_annotation(annotation(), 'some.xml').objects == []


@pytest.mark.parametrize(
    'filename', ['../../../etc/passwd', '/etc/passwd', 'C:\\boot.ini', '\u202e']
)
def test_the_file_name_in_an_annotation_is_not_used(filename):
    assert parse_annotation(annotation({}, filename=filename), 'some.xml').objects


NO_FILES = {
    'pipe': os.mkfifo,
    'endless': lambda path: path.symlink_to('/dev/zero'),
    'folder': lambda path: path.mkdir(),
}


@pytest.mark.parametrize('kind', NO_FILES)
def test_a_pipe_or_folder_is_refused_without_waiting(tmp_path, kind):
    NO_FILES[kind](tmp_path / 'some.xml')
    with pytest.raises(UserError, match=r'^the annotation /\S*some\.xml is no plain file$'):
        read_annotation(str(tmp_path / 'some.xml'))


LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY l0 "lol">'
    + ''.join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    + ']><annotation><size><width>&l9;</width><height>1</height></size></annotation>'
)
QUADRATIC = (
    f'<!DOCTYPE a [<!ENTITY a "{"a" * 100_000}">]><annotation>{"&a;" * 100_000}</annotation>'
)
EXTERNAL = (
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><object><name>&x;</name>'
    '</object></annotation>'
)
REMOTE = '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><annotation/>'


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-16'])
@pytest.mark.parametrize(
    'content', [LAUGHS, QUADRATIC, EXTERNAL, REMOTE], ids=['laughs', 'quadratic', 'file', 'web']
)
def test_entities_are_neither_expanded_nor_fetched(content, encoding):
    start = time.thread_time()  # its own work: a busy machine is no fault of the reader
    fault_of(content.encode(encoding))
    assert time.thread_time() - start < 1


def test_a_document_type_is_refused():
    assert 'declares a document type' in fault_of(EXTERNAL.encode())


def test_every_object_is_found_whatever_the_case_of_its_tags():
    content = annotation({}, dict(difficult='<Difficult>1</Difficult>'))
    content = content.replace(b'object>', b'Object>').replace(b'bndbox>', b'BndBox>')
    read = parse_annotation(content.replace(b'annotation>', b'Annotation>'), 'some.xml')
    assert [obj.difficult for obj in read.objects] == [False, True]


@pytest.mark.parametrize('root', ['annotations', 'html', 'x:annotation xmlns:x="urn:x"'])
def test_another_format_is_not_taken_for_an_image_without_objects(root):
    assert 'expected <annotation>' in fault_of(f'<{root}></{root.split()[0]}>'.encode())


def test_objects_are_not_lost_inside_another_element():
    content = annotation({}, {}).replace(b'<object>', b'<objects><object>', 1)
    content = content.replace(b'</annotation>', b'</objects></annotation>')
    assert 'has an <object> inside another element' in fault_of(content)


SIZES = {
    'none': '',
    'zero': '<size><width>0</width><height>0</height></size>',
    'half': '<size><width>100</width><height/></size>',
    'empty': '<size/>',
    'minus': '<size><width>-1</width><height>-1</height></size>',
    'None': '<size><width>None</width><height>None</height></size>',
}


@pytest.mark.parametrize('size', SIZES)
def test_a_size_that_is_not_usable_is_that_of_the_image(size):
    usable = b'<size><width>100</width><height>50</height></size>'
    content = annotation({}).replace(usable, SIZES[size].encode())
    read = parse_annotation(content, 'some.xml', image_size=lambda: (100, 50))
    assert (read.width, read.height) == (100, 50)
    assert read.objects == [VOCObject('cat', (10, 20, 30, 40), False)]
    assert read.readings == ['annotations without a usable <size>, which was read from the image']
    fault_of(content)


@pytest.mark.parametrize(
    ('text', 'difficult'),
    [
        *((text, False) for text in ('Unspecified', '', 'False', ' no ', '0.0', 'None')),
        *((text, True) for text in ('True', 'yes', '1.0')),
    ],
)
def test_words_for_difficult_are_read_and_noted(text, difficult):
    content = annotation({}, dict(difficult=f'<difficult>{text}</difficult>'))
    read = parse_annotation(content, 'some.xml')
    assert [obj.difficult for obj in read.objects] == [False, difficult]
    (note,) = read.readings
    assert f'as <difficult>, read as {difficult:d}' in note


def test_the_plain_values_of_difficult_are_not_noted():
    content = annotation(
        {}, *(dict(difficult=f'<difficult>{text}</difficult>') for text in ['', '0', '1'])
    )
    assert len(parse_annotation(content, 'some.xml').readings) == 1  # the empty one


@pytest.mark.parametrize('written', [' cat', 'cat\n\t', '\xa0cat ', '\ncat\n'])
def test_white_space_around_a_class_does_not_count(written):
    content = annotation(dict(name=written), dict(name='dog'))
    read = parse_annotation(content, 'some.xml', classes=['cat'])
    assert [obj.name for obj in read.objects] == ['cat'] and read.others == ['dog']
    assert read.readings == ["objects with white space in their class, read as 'cat'"]


def test_a_class_whose_own_name_has_white_space_keeps_it():
    read = parse_annotation(annotation(dict(name=' cat')), 'some.xml', classes=[' cat'])
    assert [obj.name for obj in read.objects] == [' cat'] and not read.readings


def test_an_accent_may_be_a_character_of_its_own():
    content = annotation(dict(name='cafe\u0301'))
    assert parse_annotation(content, 'some.xml', classes=['caf\xe9']).objects[0].name == 'caf\xe9'


def test_decimals_are_cut_and_counted():
    read = parse_annotation(annotation(dict(xmin='10.9', ymax='40.0')), 'some.xml')
    assert read.objects[0].box == (10, 20, 30, 40)
    assert read.readings == ['boxes with decimals, cut to whole pixels']


ENCODINGS = {  # how it is declared, and how it is written
    'plain': ('', 'utf-8'),
    'byte order mark': ('', 'utf-8-sig'),
    'UTF-16': ('', 'utf-16'),
    'UTF-16 without a mark': ('', 'utf-16-le'),
    'UTF-8 declared as UTF-16': ('utf-16', 'utf-8'),
    'UTF-8 declared as Klingon': ('klingon', 'utf-8'),
    'UTF-8 declared as ASCII': ('ascii', 'utf-8'),
    'Latin-1': ('iso-8859-1', 'latin-1'),
    'GBK': ('gbk', 'gbk'),
    'Latin-1 undeclared': ('', 'latin-1'),
    'Latin-1 declared as UTF-8': ('utf-8', 'latin-1'),
    'GBK undeclared': ('', 'gbk'),
    'Shift JIS undeclared': ('', 'shift_jis'),
}


@pytest.mark.parametrize('kind', ENCODINGS)
def test_an_annotation_of_any_encoding_is_read_where_the_classes_tell_it(kind):
    declared, encoding = ENCODINGS[kind]
    name = {'gbk': '\u732b', 'shift_jis': '\u732b'}.get(encoding, 'k\xf6ter')
    text = annotation(dict(name=name), {}, filename=f'{name}.jpg').decode()
    if declared:
        text = f'<?xml version="1.0" encoding="{declared}"?>' + text
    read = parse_annotation(text.encode(encoding), 'some.xml', classes=[name, 'cat'])
    assert [obj.name for obj in read.objects] == [name, 'cat']


def test_an_encoding_that_only_the_file_name_needs_does_not_matter():
    content = annotation({}, filename='\xfcber.jpg').decode().encode('cp1252')
    read = parse_annotation(content, 'some.xml')
    assert read.objects and 'not valid as' in read.readings[0]


def test_a_class_of_unknown_encoding_is_an_error_that_names_encodings():
    content = annotation(dict(name='k\xf6ter')).decode().encode('cp1252')
    assert "'köter' in cp1252" in fault_of(content)


@pytest.mark.parametrize('before', [b'\n', b' \r\n', b'\xef\xbb\xbf\n'])
def test_white_space_before_and_zeros_after_the_xml_do_not_matter(before):
    content = before + b'<?xml version="1.0"?>' + annotation({}) + bytes(10)
    assert parse_annotation(content, 'some.xml').objects


@pytest.mark.parametrize(
    'side', ['0', '-5', '1e308', '65536', '10.5', 'nan', 'inf', '', '9' * 5000]
)
def test_an_impossible_size_of_the_image_is_refused(side):
    assert 'width' in fault_of(annotation({}, width=side))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(xmin=30), 'without area'),
        (dict(ymin=41), 'without area'),
        (dict(xmin=101, xmax=110), 'outside the image'),
        (dict(xmin=-50, xmax=-5), 'outside the image'),
        (dict(xmin=-101), 'far beyond'),
        (dict(ymax=101), 'far beyond'),
        (dict(xmax='1e300'), 'far beyond'),
        (dict(xmax='nan'), 'expected a number'),
        (dict(xmax='-inf'), 'expected a number'),
        (dict(xmax='0x20'), 'expected a number'),
        (dict(difficult='<difficult>2</difficult>'), 'expected 0 or 1'),
        (dict(name=''), 'has no <name>'),
    ],
)
def test_an_impossible_box_is_refused(changes, message):
    assert message in fault_of(annotation({}, changes))


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / 'some.xml').open('wb') as file:
        file.truncate(LARGEST_FILE * 1000)
    with pytest.raises(UserError, match='is larger than'):
        read_annotation(str(tmp_path / 'some.xml'))


def test_deep_nesting_is_harmless():
    fault_of(b'<a>' * 300_000)
    fault_of(b'<a>' * 300_000 + b'</a>' * 300_000)


# Any bytes at all: an annotation or a UserError.

texts = st.sampled_from(
    ['1', '0', '-1', '50', '1e9', 'nan', 'inf', '', ' 7 ', 'cat', '&lt;', '\u0661', '1_0', '٣']
) | st.text(max_size=5).map(lambda text: text.replace('<', '').replace('&', ''))
tags = st.sampled_from(
    [
        *('annotation', 'size', 'width', 'height', 'object', 'name', 'difficult', 'bndbox'),
        *('xmin', 'ymin', 'xmax', 'ymax', 'part'),
    ]
)
elements = st.recursive(
    st.tuples(tags, texts).map(lambda pair: f'<{pair[0]}>{pair[1]}</{pair[0]}>'),
    lambda inner: st.tuples(tags, st.lists(inner, max_size=6)).map(
        lambda pair: f'<{pair[0]}>{"".join(pair[1])}</{pair[0]}>'
    ),
    max_leaves=25,
)
fields = st.fixed_dictionaries(
    {}, optional=dict(name=texts, xmin=texts, ymin=texts, xmax=texts, ymax=texts, difficult=texts)
)
documents = (
    elements.map(str.encode)
    | st.builds(lambda objects: annotation(*objects), st.lists(fields, max_size=3))
    | st.binary(max_size=200)
    | st.tuples(st.integers(0, 400), st.binary(max_size=4)).map(
        lambda cut: annotation({}, {})[: cut[0]] + cut[1] + annotation({}, {})[cut[0] + 1 :]
    )
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents)
def test_any_bytes_are_an_annotation_or_one_clear_line(content):
    try:
        read = parse_annotation(content, 'some.xml')
    except UserError as error:
        assert '\n' not in str(error) and 'some.xml' in str(error)
    else:
        for obj in read.objects:
            xmin, ymin, xmax, ymax = obj.box
            assert -read.width <= xmin < xmax <= 2 * read.width <= 2 * 65535
            assert -read.height <= ymin < ymax <= 2 * read.height <= 2 * 65535
