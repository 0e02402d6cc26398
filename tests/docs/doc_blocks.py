"""What the README and the pages hold: commands, what is printed, Python, links and anchors."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from locations import ROOT
from markdown_it import MarkdownIt
from markdown_it.token import Token

PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
PROGRAM = (
    r'(make|pip|python|pytest|torchrun|git|bash|(\S+/)?\.venv/bin/\w+|(\./)?tools/\w+\.(py|sh)'
    r'|nst_det|tensorboard|wandb|jupyter\S*|curl|cd|export)'
)
COMMAND = re.compile(rf'(\w+=\S+ )*{PROGRAM} \S')
SHELLS = ('sh', 'bash', 'shell', 'console')


@dataclass(frozen=True)
class Block:
    """A piece of code of a page.

    Args:
        page (str): The page's path in the repository.
        line (int): Where it begins, from 1.
        language (str): What its fence names; '' of an indented block, '`' of code within a line.
        text (str): The code.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f'{self.page}:{self.line}'


def tokens(page: Path) -> list[Token]:
    return MarkdownIt('commonmark').enable('table').parse(page.read_text())


def blocks(page: Path) -> Iterator[Block]:
    """All code of a page: fenced, indented, and within lines."""
    name = str(page.relative_to(ROOT))
    for token in tokens(page):
        line = token.map[0] + 1 if token.map else 0
        if token.type == 'fence':
            yield Block(name, line, token.info.split(' ')[0] or 'text', token.content)
        elif token.type == 'code_block':
            yield Block(name, line, '', token.content)
        for child in token.children or []:
            if child.type == 'code_inline':
                yield Block(name, line, '`', child.content)


def commands(block: Block) -> list[str]:
    """The commands of a block, each on one line and with single spaces; none if it holds none."""
    joined = re.sub(r'\\\n\s*', '', block.text)
    lines = [' '.join(line.split()) for line in joined.splitlines() if line.strip()]
    if block.language in SHELLS:
        return [line for line in lines if not line.startswith('#')]
    if block.language in ('', '`') and lines and COMMAND.match(lines[0]):
        return lines
    return []


def all_commands() -> dict[str, list[str]]:
    """Where each command of the pages stands."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for block in blocks(page):
            for command in commands(block):
                found.setdefault(command, []).append(str(block))
    return found
