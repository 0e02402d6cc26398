"""The pages as `make docs` builds them."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from doc_blocks import ROOT

LOADING = {'script': 'src', 'link': 'href', 'img': 'src', 'iframe': 'src', 'source': 'srcset'}


class Elements(HTMLParser):
    """The elements of a page that a browser loads something for, and all text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.names: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        attributes = dict(attrs)
        if tag in LOADING and attributes.get('rel') not in ('canonical', 'search', 'index'):
            self.loaded.append(attributes.get(LOADING[tag]) or '')


@pytest.fixture(scope='module')
def site(checkout) -> Path:
    """The folder of the pages."""
    done = checkout.run('make docs')
    assert done.status == 0, done.output[-3000:]
    return checkout.folder / 'docs' / '_build' / 'html'


@pytest.fixture(scope='module')
def pages(site) -> dict[str, Elements]:
    """Every page, read."""
    return {str(page.relative_to(site)): Elements(page) for page in sorted(site.rglob('*.html'))}


def test_every_page_is_built(pages):
    for page in (ROOT / 'docs').glob('*.md'):
        assert f'{page.stem}.html' in pages
    assert 'reference/losses.html' in pages


def test_the_pages_load_nothing_from_the_network(pages):
    for name, page in pages.items():
        assert page.loaded
        assert not [one for one in page.loaded if re.match(r'(\w+:)?//', one)], name


def test_formulas_are_drawn_by_the_browser_itself(pages):
    assert 'math' in pages['nst_in_ten_minutes.html'].names
    assert 'math' in pages['reference/losses.html'].names


def test_the_reference_has_every_name_that_a_config_can_use(site):
    from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

    text = ''.join(page.read_text() for page in (site / 'reference').glob('*.html'))
    for registry in (MODELS, HOOKS, DATASETS, TRANSFORMS, METRICS):
        for name, one in registry.module_dict.items():
            if one.__module__.startswith('nst_det.'):
                assert f'.{name}"' in text, f'docs/reference lacks {one.__module__}.{name}'


def test_the_reference_has_the_help_of_every_tool(site):
    text = (site / 'reference' / 'tools.html').read_text()
    for tool in (ROOT / 'tools').glob('*.py'):
        assert f'usage: {tool.name}' in text
