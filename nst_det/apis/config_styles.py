"""The two styles of mmengine's configs: types named as text, and pure Python that imports them."""

import inspect
import os
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config

import nst_det.engine.hooks
import nst_det.models
from nst_det.config.find import SCOPE, find_config, shipped_config
from nst_det.errors import UserError

HOOK = 'FiniteLossHook'


def is_pure(config: str) -> bool:
    """Tell whether a config is in the pure Python style, with ``read_base`` or imported classes.

    Args:
        config (str): Its path, or ``'mmdet::…'``.

    Returns:
        bool: Whether it is.
    """
    file = find_config(config)
    return file is not None and Config._is_lazy_import(str(file))


class TextStyle:
    """A config that inherits another by ``_base_`` and names its types as text.

    Args:
        student (str): The config to inherit.
        base (Config): What it holds.
        folder (Path): The folder of the new config.
    """

    inherited = '_base_.'
    delete = '\n    _delete_=True,'
    folder_of_config = '{{ fileDirname }}'

    def __init__(self, student: str, base: Config, folder: Path) -> None:
        self.student, self.config, self.folder = student, base, folder

    def base(self) -> str:
        """Write the lines that inherit the student's config."""
        student = self.student
        if student.startswith(SCOPE):  # mmdet's tools would look it up before nst_det is imported
            student = str(shipped_config(student).resolve())
        return f'_base_ = {place(student, self.folder, ".")!r}\n'

    def kind(self, name: str) -> str:
        """Write a type."""
        return repr(name)

    def imports(self) -> str:
        """Write the line that imports nst_det; a list in a config replaces the list of its base."""
        if 'custom_imports' not in self.config:
            return "custom_imports = dict(imports=['nst_det'], allow_failed_imports=False)\n"
        names = self.config.custom_imports.imports
        names = [names] if isinstance(names, str) else list(names)
        if 'nst_det' in names:
            return ''
        return f'custom_imports = dict(imports={[*names, "nst_det"]})\n'

    def hooks(self) -> str:
        """Write the lines that stop the training at a NaN or infinite loss, beside other hooks."""
        hooks = self.config.get('custom_hooks') or []
        kinds = [hook.get('type') for hook in hooks]
        names = [kind.__name__ if isinstance(kind, type) else str(kind) for kind in kinds]
        if any(name.rpartition('.')[2] == HOOK for name in names):
            return ''
        others = f'*{self.inherited}custom_hooks, ' if hooks else ''
        return (
            '# Stop before a NaN or infinite loss reaches the weights.\n'
            f'custom_hooks = [{others}dict(type={self.kind(HOOK)})]\n'
        )


class PurePythonStyle(TextStyle):
    """A config that inherits another by ``read_base`` and imports its types."""

    inherited = ''
    delete = ''
    folder_of_config = ''  # such a config cannot ask for its folder

    def __init__(self, student: str, base: Config, folder: Path) -> None:
        super().__init__(student, base, folder)
        self.used: dict[str, set[str]] = {}

    def base(self) -> str:
        """Write the lines that import the student's config and the types."""
        return (
            'from mmengine.config import read_base\n\n'
            f'{self._imported_types()}\n'
            'with read_base():\n'
            f'    from {self._module()} import *\n'
        )

    def kind(self, name: str) -> str:
        """Write a type: the class if nst_det has it."""
        for module in (nst_det.models, nst_det.engine.hooks):
            if inspect.isclass(getattr(module, name, None)):
                self.used.setdefault(module.__name__, set()).add(name)
                return name
        return repr(name)

    def _imported_types(self) -> str:
        """Write the imports of the types that were written so far."""
        return ''.join(
            f'from {module} import {", ".join(sorted(names))}\n'
            for module, names in sorted(self.used.items())
        )

    def imports(self) -> str:
        """Write nothing: the imported classes register themselves."""
        return ''

    def _module(self) -> str:
        """Name the student's config as ``read_base`` imports it: from a package, or relatively.

        Raises:
            UserError: If a folder on the way has a name that Python cannot import.
        """
        file = Path(os.path.abspath(Path(self.student).expanduser()))
        spec = find_spec('mmdet')
        package = Path(spec.origin).parent if spec and spec.origin else None
        if package in file.parents:
            parts = [package.name, *file.relative_to(package).with_suffix('').parts]
            dots = ''
        else:
            way = Path(os.path.relpath(file.with_suffix(''), self.folder)).parts
            dots = '.' * (1 + way.count('..'))
            parts = [part for part in way if part != '..']
        wrong = next((part for part in parts if not part.isidentifier()), None)
        if wrong is not None:
            raise UserError(
                f'{self.student} is in the pure Python style, and a config in {self.folder} cannot '
                f"import it, because '{wrong}' is no name of Python: rename it, or write the "
                'config beside it with -o'
            )
        return dots + '.'.join(parts)


def place(path: str, folder: Path, start: str) -> str:
    """Name a file as a config in a folder does; other addresses than files stay as they are.

    Args:
        path (str): The file, a URL, a package's config or ``'random'``.
        folder (Path): The folder of the config.
        start (str): What names that folder in the config, such as ``'.'``; empty if nothing does.

    Returns:
        str: The name.
    """
    if '::' in path or '://' in path or path == 'random':
        return path
    file = Path(os.path.abspath(Path(path).expanduser()))  # unlike resolve() it keeps links
    if start and folder in file.parents:
        return f'{start}/{file.relative_to(folder).as_posix()}'
    return str(file)
