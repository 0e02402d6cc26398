"""Downloading over a genuine connection, broken connections included."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nst_det.errors import UserError
from nst_det.fileio.download import check_digest, download

CONTENT = bytes(range(256)) * 1000


class Server(ThreadingHTTPServer):
    """Serves one file; ``breaks`` holds after how many bytes each next answer breaks off."""

    def __init__(self, ranges=True):
        super().__init__(('127.0.0.1', 0), Answer)
        self.content, self.ranges, self.breaks, self.asked = CONTENT, ranges, [], []
        self.url = f'http://127.0.0.1:{self.server_port}/file.bin'


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get('Range'))
        if not self.path.startswith('/file'):
            self.send_error(404)
            return
        start = 0
        if server.ranges and self.headers.get('Range'):
            start = int(self.headers['Range'].removeprefix('bytes=').removesuffix('-'))
            if start >= len(server.content):
                self.send_response(416)
                self.send_header('Content-Range', f'bytes */{len(server.content)}')
                self.end_headers()
                return
        self.send_response(206 if start else 200)
        self.send_header('Content-Length', str(len(server.content) - start))
        self.end_headers()
        end = start + server.breaks.pop(0) if server.breaks else None
        self.wfile.write(server.content[start:end])

    def log_message(self, *args):
        pass


@pytest.fixture(params=[True], ids=['ranges'])
def server(request):
    server = Server(ranges=request.param)
    thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_arrives_complete_and_without_its_part(server, tmp_path):
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert download(server.url, tmp_path / 'in' / 'a.bin', digest).read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / 'in').iterdir()] == ['a.bin']


def test_a_broken_connection_continues_where_it_broke(server, tmp_path):
    server.breaks = [1000, 5000]
    assert download(server.url, tmp_path / 'a.bin').read_bytes() == CONTENT
    assert server.asked == [None, 'bytes=1000-', 'bytes=6000-']


@pytest.mark.parametrize('server', [False], indirect=True, ids=['no ranges'])
def test_a_server_that_cannot_continue_starts_again(server, tmp_path):
    server.breaks = [1000]
    assert download(server.url, tmp_path / 'a.bin').read_bytes() == CONTENT


def test_a_download_that_stays_broken_leaves_only_its_part(server, tmp_path):
    server.breaks = [1000] * 3
    with pytest.raises(UserError, match=r'broke after 3000 of 256000 bytes; 3000 bytes are kept'):
        download(server.url, tmp_path / 'a.bin')
    assert not (tmp_path / 'a.bin').exists()
    assert download(server.url, tmp_path / 'a.bin').read_bytes() == CONTENT
    assert server.asked[3] == 'bytes=3000-'


def test_a_complete_part_is_used(server, tmp_path):
    (tmp_path / 'a.bin.part').write_bytes(CONTENT)
    assert download(server.url, tmp_path / 'a.bin').read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(server, tmp_path):
    (tmp_path / 'a.bin.part').write_bytes(CONTENT * 2)
    assert download(server.url, tmp_path / 'a.bin').read_bytes() == CONTENT


def test_a_file_with_another_digest_is_not_kept(server, tmp_path):
    with pytest.raises(UserError, match='is not the expected file: its sha256 is'):
        download(server.url, tmp_path / 'a.bin', 'deadbeef')
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_never_changed(server, tmp_path):
    (tmp_path / 'a.bin').write_text('mine')
    with pytest.raises(UserError, match='exists already'):
        download(server.url, tmp_path / 'a.bin')
    assert (tmp_path / 'a.bin').read_text() == 'mine' and not server.asked


@pytest.mark.parametrize('url', ['{}/none', 'http://127.0.0.1:1/', 'http://[', 'nothing'])
def test_a_missing_file_is_one_line(server, tmp_path, url):
    with pytest.raises(UserError, match=r'^cannot download [^\n]+$'):
        download(url.format(server.url.rpartition('/')[0]), tmp_path / 'a.bin', attempts=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('digest', ['', 'abc', 'sha256:00', 5, 'g' * 64])
def test_a_misspelled_digest_is_an_error(tmp_path, digest):
    (tmp_path / 'a').write_bytes(b'')
    with pytest.raises(UserError, match='is no digest'):
        check_digest(tmp_path / 'a', digest)


@pytest.mark.parametrize('algorithm', ['md5', 'sha1', 'sha256'])
def test_the_length_of_a_digest_gives_its_algorithm(tmp_path, algorithm):
    (tmp_path / 'a').write_bytes(CONTENT)
    check_digest(tmp_path / 'a', hashlib.new(algorithm, CONTENT).hexdigest().upper())
