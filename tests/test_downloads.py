"""Downloads from a server on this machine that cuts, changes, lies and refuses."""

import fcntl
import hashlib
import json
import time

import loopback
import pytest

from image_classifier.downloads import fetching
from slim_errors import RunError, UserError

CONTENT = bytes(range(251)) * 40


@pytest.fixture
def server(monkeypatch):
  monkeypatch.setenv('no_proxy', '*')
  with loopback.serving(CONTENT) as server:
    yield server


@pytest.fixture
def path(tmp_path):
  return tmp_path / '模型 files' / 'net.tar.gz'


def fetch(server, path, **kwargs):
  return fetching.fetch(server.url, path, **{'pause': 0.01, 'timeout': 5, **kwargs})


def names(path):
  """Returns what lies beside the file, without its own name in front."""
  return sorted(entry.name.removeprefix(path.name) for entry in path.parent.iterdir())


def fails(server, path, error=RunError, **kwargs):
  """Returns the message of a fetch that fails without leaving the file."""
  with pytest.raises(error) as caught:
    fetch(server, path, **kwargs)
  assert not path.exists()
  return str(caught.value)


def test_a_file_arrives_and_is_announced(server, path, capsys):
  assert fetch(server, path) == str(path)
  assert path.read_bytes() == CONTENT
  assert names(path) == ['', '.sha256']
  assert capsys.readouterr().err == f'Fetching net.tar.gz (10.0 kB): {server.url}\n'


def test_the_checksum_is_recorded_as_sha256sum_writes_it(server, path):
  fetch(server, path)
  digest = hashlib.sha256(CONTENT).hexdigest()
  assert path.with_name('net.tar.gz.sha256').read_text() == f'{digest}  net.tar.gz\n'


def test_a_file_that_is_there_is_not_fetched_again(server, path):
  fetch(server, path)
  fetch(server, path)
  assert len(server.requests) == 1


def test_a_file_put_there_by_hand_is_taken_and_recorded(server, path):
  path.parent.mkdir()
  path.write_bytes(b'by hand')
  fetch(server, path)
  assert path.read_bytes() == b'by hand' and not server.requests
  assert names(path) == ['', '.sha256']


def test_a_file_that_changed_since_its_first_use_is_refused(server, path):
  fetch(server, path)
  path.write_bytes(b'other')
  with pytest.raises(RunError, match=r'\.sha256 says'):
    fetch(server, path)
  assert path.read_bytes() == b'other'


def test_another_file_than_the_recorded_one_is_not_kept(server, path):
  fetch(server, path)
  path.unlink()
  server.content = CONTENT[::-1]
  assert 'is not kept' in fails(server, path)
  assert names(path) == ['.sha256']


def test_a_known_checksum_is_compared(server, path):
  assert 'publisher' in fails(server, path, sha256='0' * 64)
  assert names(path) == []
  fetch(server, path, sha256=hashlib.sha256(CONTENT).hexdigest().upper())


def test_cut_connections_are_resumed(server, path, capsys):
  server.cuts = [3000, 4000]
  fetch(server, path)
  assert path.read_bytes() == CONTENT
  assert [request.get('Range') for request in server.requests] == [
    *(None, 'bytes=3000-', 'bytes=7000-'),
  ]
  assert server.requests[1]['If-Range'] == '"one"'
  err = capsys.readouterr().err
  assert 'it ended after 3000 of 10040 bytes' in err
  assert '(10.0 kB, from 3.0 kB on)' in err


def test_a_later_call_goes_on_where_the_first_stopped(server, path):
  server.cuts = [3000]
  assert '.part is kept' in fails(server, path, attempts=1)
  assert names(path) == ['.part', '.part.json']
  fetch(server, path)
  assert server.requests[1]['Range'] == 'bytes=3000-'
  assert path.read_bytes() == CONTENT and names(path) == ['', '.sha256']


def test_a_date_serves_where_the_tag_is_weak(server, path):
  server.etag, server.date = 'W/"one"', 'Tue, 22 Nov 2016 10:00:00 GMT'
  server.cuts = [3000]
  fetch(server, path)
  assert server.requests[1]['If-Range'] == server.date
  assert path.read_bytes() == CONTENT


def test_without_a_tag_a_cut_file_begins_anew(server, path):
  server.etag, server.cuts = None, [3000]
  fetch(server, path)
  assert 'Range' not in server.requests[1]
  assert path.read_bytes() == CONTENT


def test_a_later_call_does_not_go_on_without_a_tag(server, path):
  server.etag, server.cuts = None, [3000]
  fails(server, path, attempts=1)
  fetch(server, path)
  assert 'Range' not in server.requests[1]
  assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(server, path):
  server.ranges, server.cuts = False, [3000]
  fetch(server, path)
  assert path.read_bytes() == CONTENT


@pytest.mark.parametrize('ignores_if_range', [False, True])
@pytest.mark.parametrize('content', [CONTENT[::-1], CONTENT[:5000], CONTENT[:2000]])
def test_a_file_that_changes_in_the_middle_is_not_mixed(server, path, ignores_if_range, content):
  def change():
    server.content, server.etag = content, '"two"'

  server.cuts, server.after_request = [3000], change
  server.ignores_if_range = ignores_if_range
  fetch(server, path)
  assert path.read_bytes() == content


def test_a_part_of_another_address_is_not_taken_up(server, path):
  server.cuts = [3000]
  fails(server, path, attempts=1)
  note = path.with_name('net.tar.gz.part.json')
  note.write_text(json.dumps({**json.loads(note.read_text()), 'url': 'http://other/file'}))
  fetch(server, path)
  assert 'Range' not in server.requests[1]
  assert path.read_bytes() == CONTENT


def test_a_complete_part_is_just_renamed(server, path):
  fetch(server, path)
  path.rename(f'{path}.part')
  note = {'url': server.url, 'validator': '"one"', 'size': len(CONTENT)}
  path.with_name('net.tar.gz.part.json').write_text(json.dumps(note))
  fetch(server, path)
  assert len(server.requests) == 1 and path.read_bytes() == CONTENT


def test_a_length_that_is_too_long_ends_with_a_sentence(server, path):
  server.length, server.ranges = 20_000, False
  assert 'it ended after 10040 of 20000 bytes' in fails(server, path, attempts=3)
  assert len(server.requests) == 3


def test_a_known_size_is_compared(server, path):
  assert 'where 9 are expected' in fails(server, path, size=9)
  assert names(path) == []
  fetch(server, path, size=len(CONTENT))


def test_chunks_need_no_length(server, path, capsys):
  server.chunked, server.cuts = True, [3000]
  fetch(server, path)
  assert path.read_bytes() == CONTENT
  assert '(size unknown)' in capsys.readouterr().err


def test_an_answer_of_no_length_at_all_is_refused(server, path):
  server.without_length = True
  assert 'without its size' in fails(server, path)
  assert names(path) == []


@pytest.mark.parametrize('chunked', [False, True])
def test_a_file_above_the_limit_is_refused(server, path, chunked):
  server.chunked = chunked
  assert 'above the limit of 1.0 kB' in fails(server, path, UserError, max_bytes=1000)
  assert names(path) == []


def test_a_file_that_is_nowhere_is_said_at_once(server, path):
  server.statuses = [404]
  message = fails(server, path)
  assert 'answers 404 Not Found' in message and 'fetch it by hand and put it at' in message
  assert str(path) in message and server.url in message
  assert len(server.requests) == 1 and names(path) == []


def test_a_busy_server_is_asked_again(server, path):
  server.statuses = [500, 503]
  fetch(server, path)
  assert path.read_bytes() == CONTENT


def test_a_server_that_stays_busy_ends_with_a_sentence(server, path):
  server.statuses = [500] * 3
  assert 'answers 500' in fails(server, path, attempts=3)


def test_a_server_that_stands_still_is_left_and_resumed(server, path):
  server.stall = 60
  fetch(server, path, timeout=2)
  assert path.read_bytes() == CONTENT
  assert server.requests[1]['Range'] == f'bytes={len(CONTENT) // 2}-'


def test_no_network_ends_at_once_and_says_what_to_do(server, path, monkeypatch):
  server.cuts = [3000]
  fails(server, path, attempts=1)
  url = server.url
  server.shutdown()
  server.server_close()
  started = time.monotonic()
  with pytest.raises(RunError) as caught:
    fetching.fetch(url, path, pause=10)
  assert time.monotonic() - started < 5
  assert f'fetch it by hand (10.0 kB) and put it at {path}' in str(caught.value)


def test_a_web_page_is_not_taken_for_the_file(server, path):
  server.content_type = 'text/html; charset=utf-8'
  assert 'web page' in fails(server, path)
  assert names(path) == []


@pytest.mark.parametrize(
  'url',
  ['file:///etc/passwd', 'ftp://host/file', 'data:,x', 'net.tar.gz', 'http://', 'http://[x/f']
  + ['https://host/a b', 'https://host/ä', 'https://host/\n', 'http://host:99999/x'],
)
def test_odd_addresses_are_refused(url, path):
  with pytest.raises(UserError, match='https://'):
    fetching.fetch(url, path)
  assert not path.parent.exists()


@pytest.mark.parametrize('location', ['file:///etc/passwd', 'ftp://127.0.0.1/x'])
def test_redirects_to_odd_addresses_are_refused(server, path, location):
  server.location = location
  fails(server, path)
  assert names(path) == []


def test_a_folder_in_the_way_is_said(server, path):
  path.mkdir(parents=True)
  with pytest.raises(UserError, match='is a folder'):
    fetch(server, path)


def test_a_folder_that_cannot_be_made_is_said(server, tmp_path):
  (tmp_path / 'file').write_bytes(b'')
  with pytest.raises(UserError, match=r'cannot be written to \(.*\): choose another folder'):
    fetch(server, tmp_path / 'file' / 'a.tar.gz')
  assert not server.requests


def test_two_at_once_do_not_mix(server, path):
  path.parent.mkdir()
  with open(f'{path}.part', 'wb') as other:
    fcntl.flock(other, fcntl.LOCK_EX)
    assert 'Another process' in fails(server, path, UserError)
  fetch(server, path)
  assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
  ('size', 'words'),
  [(0, '0 bytes'), (999, '999 bytes'), (95_100_000, '95.1 MB'), (6_400_000_000, '6.4 GB')],
)
def test_sizes_are_said_in_words(size, words):
  assert fetching.describe_size(size) == words
