"""A Python that starts at once: a server imports torch and mmdet, and forks for every call.

Importing them takes each command some ten seconds of one core, and the pages have many commands.
``serve`` is run by one real Python; the program that takes ``python``'s place hands its arguments,
folder, environment and open files to it, and leaves with the status that comes back.
"""

import json
import os
import runpy
import signal
import socket
import stat
import sys
from pathlib import Path

CLIENT = """#!{python} -SE
import array, json, os, socket, sys
if len(sys.argv) < 2 or sys.argv[1][0] == '-' and sys.argv[1] not in ('-m', '-c', '-u'):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])  # nothing here is known to be quicker
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


def serve(address: str, preload: list[str], executable: str) -> None:
    """Answer calls until this process is ended."""
    for module in preload:
        __import__(module)
    sys.executable = executable  # so that what a call starts is quick as well
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    while True:
        connection, _ = listening.accept()
        if os.fork():
            connection.close()
            continue
        listening.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        answer(connection)
        return


def answer(connection: socket.socket) -> None:
    """Fork once more to do what is asked for, and say how it ended."""
    size, files, _, _ = socket.recv_fds(connection, 12, 3)
    request = b''
    while len(request) < int(size):
        request += connection.recv(int(size) - len(request))
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.sendall(str(status if status >= 0 else 128 - status).encode())
        os._exit(0)
    connection.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
    call(**json.loads(request))


def call(argv: list[str], cwd: str, environ: dict[str, str]) -> None:
    """Be ``python argv``, in a folder and an environment."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    while argv[0] == '-u':
        argv = argv[1:]
    if argv[0] == '-m':
        sys.path.insert(0, cwd)
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
    serve(sys.argv[1], sys.argv[2].split(','), sys.argv[3])
