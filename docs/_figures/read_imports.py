"""Read which file of nst_det and tools imports which, without importing any of them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'nst_det'


@cache
def modules() -> dict[str, Path]:
    """The files of the package and of the tools by module name, such as ``nst_det.apis.build``."""
    files = [path for path in PACKAGE.rglob('*.py') if '.mim' not in path.parts]
    files += [*(ROOT / 'tools').glob('*.py'), ROOT / 'nst_det_tool.py']
    return {module_name(path): path for path in sorted(files)}


def module_name(path: Path) -> str:
    """The name by which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports() -> set[tuple[str, str]]:
    """Pairs of an importing and an imported module; imports inside functions count too."""
    known = modules()
    return {
        (module, imported) for module, path in known.items() for imported in imports_of(path, known)
    }


def imports_of(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules among the known ones that a file imports."""
    package = module_name(path).split('.')
    if path.name != '__init__.py':
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = '.'.join([*above, *([node.module] if node.module else [])])
            # `from package import name` imports the module `package.name` if there is one.
            whole = [f'{source}.{alias.name}' for alias in node.names]
            names = [name if name in known else source for name in whole]
        else:
            continue
        yield from (name for name in names if name in known)


def room(module: str) -> str | None:
    """The room of a module: its folder or file at the package's root; None at the entrance."""
    first, *rest = module.split('.')
    if first == 'tools':
        return 'tools'
    if not rest or rest[0] == '__main__':
        return None  # nst_det_tool.py, nst_det/__init__.py, nst_det/__main__.py
    return rest[0]


def room_imports() -> set[tuple[str, str]]:
    """Pairs of an importing and an imported room."""
    pairs = {(room(importer), room(imported)) for importer, imported in imports()}
    return {(start, end) for start, end in pairs if start and end and start != end}
