"""The map of the code, docs/architecture.md, is true, and the imports keep to its order."""

import re
import sys

import pytest
from locations import DOCS, ROOT

sys.path.insert(0, str(DOCS / '_figures'))
from read_imports import PACKAGE, imports, modules, room, room_imports
from rooms import BASE, ROWS, caption, edges_in

PAGE = DOCS / 'architecture.md'
RANKS = {name: len(ROWS) - row for row, rooms in enumerate(ROWS) for name in rooms}
MOST_ENTRIES = 14
# Pairs of modules that may break the order or close a circle, each with its reason.
EXCEPTIONS = {
    ('nst_det', 'nst_det_tool'),  # asks whether a tool wants to register later; nothing else
}


@pytest.fixture(scope='module')
def pairs() -> set[tuple[str, str]]:
    """Pairs of an importing and an imported module, without the exceptions."""
    return imports() - EXCEPTIONS


def rank(module: str) -> int:
    """The height of a module; what opens all rooms, such as nst_det/__init__.py, is at the top."""
    return RANKS.get(room(module), max(RANKS.values()))


def folder(module: str) -> str:
    """The folder of a module's file; for a file at the package's root, the file itself."""
    path = modules()[module].relative_to(ROOT)
    return str(path if path.parent.name in ('', 'nst_det') else path.parent)


def circles(pairs: set[tuple[str, str]]) -> list[list[str]]:
    """The groups of names that import each other in a circle; the cause is among each group."""
    reached = {
        name: {end for start, end in pairs if start == name} for pair in pairs for name in pair
    }
    grown = True
    while grown:
        longer = {
            name: near | {far for through in near for far in reached[through]}
            for name, near in reached.items()
        }
        grown, reached = longer != reached, longer
    groups = {
        tuple(sorted(far for far in reached[name] if name in reached[far]))
        for name in reached
        if name in reached[name]
    }
    return [list(group) for group in sorted(groups)]


def test_imports_are_read_at_all(pairs):
    assert ('nst_det.apis.build', 'nst_det.errors') in pairs
    assert ('nst_det.models.losses', 'nst_det.models.losses.nst_loss') in pairs  # relative
    assert ('tools.train', 'nst_det.cli') in pairs
    assert len(pairs) > 200


def test_every_room_has_its_place_in_the_order():
    assert {room(module) for module in modules()} - {None} == set(RANKS)


def test_no_module_imports_upwards(pairs):
    assert {(start, end) for start, end in pairs if rank(start) < rank(end)} == set()


def test_every_exception_is_an_import_of_today():
    assert imports() >= EXCEPTIONS


def test_no_files_import_each_other_in_a_circle(pairs):
    assert circles(pairs) == []


def test_no_folders_import_each_other_in_a_circle(pairs):
    folders = {(folder(start), folder(end)) for start, end in pairs}
    assert circles({(start, end) for start, end in folders if start != end}) == []


def test_the_package_has_few_entries_at_its_root():
    always = {'__init__.py', '__main__.py', 'version.py', 'errors.py', 'py.typed', '__pycache__'}
    entries = {entry.name for entry in PACKAGE.iterdir()} - always
    assert 'models' in entries
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_every_file_that_the_page_names_exists():
    code = re.findall(r'`([^`\s]+)`', PAGE.read_text())
    paths = [text for text in code if '/' in text or text.endswith('.py')]
    assert len(paths) > 40
    missing = [path for path in paths if not any((at / path).exists() for at in (ROOT, PACKAGE))]
    assert missing == []


def test_the_picture_shows_the_imports_of_today():
    picture = (DOCS / 'rooms.svg').read_text()
    today = room_imports()
    shown = {(start, end) for start, end in today if end not in BASE}
    assert edges_in(picture) == shown, 'draw it anew: .venv/bin/python docs/_figures/rooms.py'
    assert caption(today).replace('"', '&quot;') in picture
