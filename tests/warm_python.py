"""A Python that starts at once: a server has imported torch and mmdet, and forks for every call.

Importing them takes each command some seconds of one core, and the tests run many commands. The
program that takes the place of ``python`` hands its arguments, folder, environment and open files
to the server, and exits with the status that comes back.
"""

import json
import os
import runpy
import signal
import socket
import stat
import sys
import traceback
from multiprocessing.util import _exit_function as end_own_children
from pathlib import Path

CLIENT = """#!{python} -SE
import array, json, os, socket, sys
if len(sys.argv) < 2 or sys.argv[1][0] == '-' and sys.argv[1] not in ('-m', '-c', '-u'):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])  # the server could not do it any quicker
request = dict(argv=sys.argv[1:], cwd=os.getcwd(), environ=dict(os.environ))
request = json.dumps(request).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    server.sendmsg([b'%12d' % len(request)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                               array.array('i', [0, 1, 2]))])
    server.sendall(request)
    sys.exit(int(server.recv(16) or 1))
"""


def write_client(file: Path, address: Path) -> None:
    """Write the program that takes the place of ``python``."""
    file.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


class WarmPython:
    """A server that is forked from this process, with all that this process has imported.

    Args:
        folder (Path): An empty folder for the program that takes the place of ``python``.
    """

    def __init__(self, folder: Path) -> None:
        self.python = folder / 'python'
        address = folder / 'address'
        write_client(self.python, address)
        listening = listen(str(address))
        self.process = os.fork()
        if not self.process:
            try:
                os.setsid()
                serve(listening, str(self.python))
            finally:
                os._exit(1)  # only the fork gets here, and must not return into pytest
        listening.close()

    def close(self) -> None:
        """End the server and all processes that it started."""
        os.killpg(self.process, signal.SIGTERM)
        os.waitpid(self.process, 0)


def listen(address: str) -> socket.socket:
    """Open the socket to which the clients connect."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    listening.settimeout(1)
    return listening


def serve(listening: socket.socket, executable: str) -> None:
    """Answer calls until this process is ended, or the process that started it."""
    sys.executable = executable  # the processes that a call starts shall be quick as well
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    parent = os.getppid()
    while os.getppid() == parent:
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        if os.fork():
            connection.close()
            continue
        listening.close()
        connection.setblocking(True)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        answer(connection)


def answer(connection: socket.socket) -> None:
    """Fork once more to do what is asked for, report how it ended, and end this process."""
    size, files, _, _ = socket.recv_fds(connection, 12, 3)
    request = b''
    while len(request) < int(size):
        request += connection.recv(int(size) - len(request))
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.sendall(str(status if status >= 0 else 128 - status).encode())
        os._exit(0)
    status = 1
    try:
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
        for number, name in enumerate(('stdin', 'stdout', 'stderr')):
            setattr(sys, name, os.fdopen(number, 'w' if number else 'r', closefd=False))
        status = call(**json.loads(request))
    finally:
        os._exit(status)


def call(argv: list[str], cwd: str, environ: dict[str, str]) -> int:
    """Be ``python argv``, in a folder and an environment; give its exit status."""
    status = 0
    try:
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environ)
        sys.path[:0] = filter(None, environ.get('PYTHONPATH', '').split(':'))
        run(argv)
    except SystemExit as end:
        status = end.code
        if status is None or not isinstance(status, int):
            print(*[] if status is None else [status], end='', file=sys.stderr)
            status = int(status is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    end_own_children()  # such as data workers
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def run(argv: list[str]) -> None:
    """Run a module, a text or a file as ``python`` does."""
    while argv[0] == '-u':
        argv = argv[1:]
    if argv[0] == '-m':
        sys.path.insert(0, os.getcwd())
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name='__main__', alter_sys=True)
    elif argv[0] == '-c':
        sys.argv = ['-c', *argv[2:]]
        exec(compile(argv[1], '<string>', 'exec'), {'__name__': '__main__'})
    elif argv[0].endswith('.py'):
        sys.argv = argv
        sys.path.insert(0, str(Path(argv[0]).resolve().parent))
        runpy.run_path(argv[0], run_name='__main__')
    else:
        raise SystemExit(f'warm_python: python {" ".join(argv)} is not understood')


if __name__ == '__main__':
    for module in sys.argv[2].split(','):
        __import__(module)
    serve(listen(sys.argv[1]), sys.argv[3])
