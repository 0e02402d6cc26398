"""The links, pictures and file names in the README and the pages are right."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT, blocks, tokens
from markdown_it.token import Token


def inline(page: Path) -> Iterator[Token]:
    """The parts of the lines of a page, such as links and code."""
    return (child for token in tokens(page) for child in token.children or [])


def targets(page: Path) -> list[str]:
    """The targets of the links and pictures of a page."""
    found = [token.attrs.get('href') or token.attrs.get('src') for token in inline(page)]
    return [str(target) for target in found if target]


def anchors(page: Path) -> list[str]:
    """The anchors of the headings of a page, as a repository host makes them."""
    pairs = zip(tokens(page), tokens(page)[1:])
    titles = [text.content for token, text in pairs if token.type == 'heading_open']
    return [re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles]


def local(page: Path) -> list[tuple[Path, str]]:
    """The files and anchors that a page links to in the repository."""
    parts = [target.partition('#') for target in targets(page) if '://' not in target]
    return [((page.parent / file).resolve() if file else page, anchor) for file, _, anchor in parts]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_to_existing_files_and_anchors(page):
    for file, anchor in local(page):
        assert file.exists(), f'{page.name} links to {file}'
        assert not anchor or anchor in anchors(file), f'{page.name} links to {file}#{anchor}'


def test_every_page_can_be_reached_by_links_from_the_index():
    reached, new = set(), {ROOT / 'docs' / 'index.md'}
    while new:
        reached |= new
        linked = {file for page in new for file, _ in local(page)}
        new = {file for file in linked if file.suffix == '.md'} - reached
    assert set(PAGES) - {ROOT / 'README.md'} <= reached


def test_every_picture_of_the_docs_is_shown_in_a_page():
    shown = {file for page in PAGES for file, _ in local(page)}
    pictures = {file for file in (ROOT / 'docs').iterdir() if file.suffix in ('.png', '.svg')}
    assert pictures <= shown


def test_every_file_that_a_page_names_exists():
    named = 0
    for page in PAGES:
        for block in blocks(page):
            path = re.fullmatch(r'(configs|tools|tests|nst_det|docs|examples)/[\w./-]+', block.text)
            if block.language == '`' and path and '_build' not in block.text:
                assert (ROOT / block.text).exists(), f'{block} names {block.text}'
                named += 1
    assert named > 20
