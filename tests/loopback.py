"""A server of one file on this machine, which cuts, changes, lies and refuses as a test asks."""

import contextlib
import http.server
import re
import threading
import time


@contextlib.contextmanager
def serving(content):
  """Runs a Server of these bytes meanwhile, and yields it."""
  server = Server(content)
  thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01})
  thread.start()
  try:
    yield server
  finally:
    server.shutdown()
    thread.join()
    server.server_close()


class Server(http.server.ThreadingHTTPServer):
  """Serves `content` at every path; the attributes say how badly."""

  daemon_threads = True

  def __init__(self, content):
    super().__init__(('127.0.0.1', 0), Handler)
    self.content, self.etag, self.date = content, '"one"', None
    self.cuts = []  # bytes after which the next connections end
    self.statuses = []  # what the next requests are answered
    self.ranges = True
    self.ignores_if_range = False
    self.length = None  # what Content-Length says, None for the truth
    self.chunked = self.without_length = False
    self.content_type = 'application/octet-stream'
    self.location = None  # where a redirect leads
    self.stall = 0  # seconds that the next connection stands still after half of the content
    self.after_request = lambda: None
    self.requests = []  # headers of the requests so far

  @property
  def url(self):
    return f'http://127.0.0.1:{self.server_address[1]}/models/net.tar.gz'


class Handler(http.server.BaseHTTPRequestHandler):
  def log_message(self, *_):
    pass

  def do_GET(self):
    server = self.server
    server.requests.append(dict(self.headers))
    if server.statuses:
      self.send_error(server.statuses.pop(0))
      return
    if server.location:
      self.send_response(302)
      self.send_header('Location', server.location)
      self.end_headers()
      return
    body = self._headers(server.content)
    cut = server.cuts.pop(0) if server.cuts else len(body)
    half = len(body) // 2 if server.stall else 0
    self._send(body[:half])
    stall, server.stall = server.stall, 0
    time.sleep(stall)
    self._send(body[half:cut])
    if server.chunked and cut == len(body):
      self.wfile.write(b'0\r\n\r\n')
    server.after_request()

  def _headers(self, content):
    """Sends the headers and returns the body to send."""
    server, start = self.server, self._start()
    if start is not None and start >= len(content):
      self.send_response(416)
      self.send_header('Content-Length', '0')
      self.end_headers()
      return b''
    if server.chunked:
      self.protocol_version = 'HTTP/1.1'
    self.send_response(200 if start is None else 206)
    if start is not None:
      self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
    body = content[start or 0 :]
    if server.chunked:
      self.send_header('Transfer-Encoding', 'chunked')
    elif not server.without_length:
      self.send_header('Content-Length', str(server.length or len(body)))
    for name, value in (('ETag', server.etag), ('Last-Modified', server.date)):
      if value:
        self.send_header(name, value)
    self.send_header('Content-Type', server.content_type)
    self.send_header('Connection', 'close')
    self.end_headers()
    return body

  def _start(self):
    match = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range', ''))
    known = self.headers.get('If-Range') in (self.server.etag, self.server.date)
    if match and self.server.ranges and (known or self.server.ignores_if_range):
      return int(match[1])
    return None

  def _send(self, data):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client has given up
      if self.server.chunked:
        for block in (data[i : i + 1000] for i in range(0, len(data), 1000)):
          self.wfile.write(b'%x\r\n%s\r\n' % (len(block), block))
      else:
        self.wfile.write(data)
