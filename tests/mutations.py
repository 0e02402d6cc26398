"""Check that the tests notice mistakes: make one mistake after another in a copy of the package.

Each mutation of ``mutations.json`` replaces one text in one file: a sign, a factor, a check. For
each, the tests that are named for it run on the copy, and one of them must fail: it kills the
mutation. A mutation that no test kills has survived, and shows a claim that no test makes. Before
the mutations, all these tests run once on the unchanged copy, and must pass.

It is not part of ``make test``. Run it after tests were moved or rewritten::

    .venv/bin/python tests/mutations.py [--only N ...] [--list]
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_suffix('.json')
FOREIGN_COPY = 70  # the exit status of a run whose nst_det is not that of the copy
NO_TESTS = 5  # pytest's own


@dataclass(frozen=True)
class Mutation:
    """A mistake that the tests must notice.

    Args:
        what (str): What becomes wrong, in a few words.
        file (str): The file, relative to the repository.
        text (str): The text to replace. It stands exactly once in the file.
        becomes (str): The text in its place.
        tests (tuple[str, ...]): The test files, or single tests, that run.
    """

    what: str
    file: str
    text: str
    becomes: str
    tests: tuple[str, ...]

    def apply(self, root: Path) -> None:
        """Make the mistake in a copy of the repository."""
        path = root / self.file
        path.write_text(path.read_text().replace(self.text, self.becomes))

    def check(self, root: Path) -> None:
        """End the program if the text does not stand once in the file, or a test file is gone."""
        path = root / self.file
        count = path.read_text().count(self.text) if path.exists() else 0
        if count != 1:
            sys.exit(f'error: {self.file} has {self.text!r} {count} times, expected once')
        for test in self.tests:
            if not (root / test.partition('::')[0]).exists():
                sys.exit(f'error: there is no {test}, which is to notice: {self.what}')


def main() -> None:
    """Run the mutations, and exit with 1 if one survives."""
    args = parse_arguments()
    mutations = read_mutations(args.mutations)
    chosen = args.only or list(mutations)
    unknown = [number for number in chosen if number not in mutations]
    if unknown:
        sys.exit(f'error: --only {unknown[0]}: expected numbers from 1 to {len(mutations)}')
    for mutation in mutations.values():
        mutation.check(args.root)
    if args.list:
        for number in chosen:
            print(f'{number:3}  {mutations[number].file}: {mutations[number].what}')
        return
    import_libraries()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder).resolve() / 'repository'
        copy_files(args.root, copy)
        survivors = run_mutations(copy, {number: mutations[number] for number in chosen})
    print(f'{len(chosen) - len(survivors)} of {len(chosen)} mutations were killed')
    sys.exit(bool(survivors))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--only', type=int, nargs='+', metavar='N', help='numbers of mutations')
    parser.add_argument('--list', action='store_true', help='list the mutations, and run nothing')
    parser.add_argument(
        '--root', type=Path, default=LIST.parents[1], help='the repository (default: this one)'
    )
    parser.add_argument(
        '--mutations', type=Path, default=LIST, help='the list (default: mutations.json)'
    )
    return parser.parse_args()


def read_mutations(file: Path) -> dict[int, Mutation]:
    """Read the list of mutations, numbered from 1."""
    entries = json.loads(file.read_text())
    return {
        number: Mutation(**{**entry, 'tests': tuple(entry['tests'])})
        for number, entry in enumerate(entries, 1)
    }


def import_libraries() -> None:
    """Import what every run of pytest needs, once for all; nst_det itself is not among it."""
    import matplotlib.figure  # noqa: F401
    import mmdet.registry  # noqa: F401
    import mmengine.runner  # noqa: F401
    import pytest  # noqa: F401
    import torchvision  # noqa: F401

    assert 'nst_det' not in sys.modules


def copy_files(root: Path, copy: Path) -> None:
    """Copy the files that git tracks or does not ignore; links stay links."""
    listing = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
    names = subprocess.check_output(listing, cwd=root, text=True)
    for name in filter(None, names.split('\0')):
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # deleted, but not committed yet
            shutil.copy2(root / name, target, follow_symlinks=False)


def run_mutations(copy: Path, mutations: dict[int, Mutation]) -> list[int]:
    """Run the tests without and with each mutation; give the numbers of those that survive."""
    started = time.monotonic()
    tests = list(dict.fromkeys(test for chosen in mutations.values() for test in chosen.tests))
    status, output = run_tests(copy, tests)
    if status:
        sys.exit(f'{output[-5000:]}\nerror: the tests fail without any mutation')
    print(f'{len(tests)} test files pass without a mutation', flush=True)
    os.environ['PYTHONDONTWRITEBYTECODE'] = '1'  # that of a mutation must never be read again
    sys.dont_write_bytecode = True
    survivors = []
    begun = time.monotonic()
    for done, (number, mutation) in enumerate(mutations.items(), 1):
        path = copy / mutation.file
        before = path.read_bytes()
        mutation.apply(copy)
        status, output = run_tests(copy, mutation.tests)
        path.write_bytes(before)
        if status == NO_TESTS:
            sys.exit(f'{output[-5000:]}\nerror: there are no tests {" ".join(mutation.tests)}')
        if not status:
            survivors.append(number)
        left = (time.monotonic() - begun) / done * (len(mutations) - done)
        verdict = f'killed by {killer(output)}' if status else 'SURVIVED'
        print(
            f'[{done}/{len(mutations)}] {number}. {mutation.file}: {mutation.what}: {verdict} '
            f'({left / 60:.0f} min left)',
            flush=True,
        )
    print(f'{(time.monotonic() - started) / 60:.1f} minutes')
    return survivors


def run_tests(copy: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run tests in a process forked from this one, which has the libraries imported.

    Args:
        copy (Path): The copy of the repository.
        tests (Sequence[str]): The test files, or single tests.

    Returns:
        tuple[int, str]: The exit status of pytest, and what it printed.
    """
    with tempfile.TemporaryFile('w+') as log:
        child = os.fork()
        if not child:
            status = 1
            try:
                for stream in (1, 2):
                    os.dup2(log.fileno(), stream)
                status = pytest_status(copy, tests)
            finally:
                sys.stdout.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        log.seek(0)
        output = log.read()
    if status == FOREIGN_COPY:
        sys.exit(f'{output[-5000:]}\nerror: the tests import an nst_det outside the copy')
    return status, output


def pytest_status(copy: Path, tests: Sequence[str]) -> int:
    """Run pytest in this process, and check that the tests imported the nst_det of the copy."""
    import pytest

    os.chdir(copy)
    sys.path.insert(0, str(copy))
    os.environ.update(PYTHONPATH=str(copy), OMP_NUM_THREADS='1')
    status = int(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', *tests]))
    imported = sys.modules.get('nst_det')
    if imported is not None and copy not in Path(imported.__file__).resolve().parents:
        print(imported.__file__)
        return FOREIGN_COPY
    return status


def killer(output: str) -> str:
    """Find the name of the test that failed in what pytest printed."""
    found = re.search(r'^(?:FAILED|ERROR) (\S+)', output, re.MULTILINE)
    return found[1] if found else output.strip()[-200:]


if __name__ == '__main__':
    main()
