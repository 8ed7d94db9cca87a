"""What downloads may open: http and https addresses alone, and what their answers say."""

import re
import urllib.parse
import urllib.request

from slim_errors import RunError, UserError


def check_address(url):
  """Raises UserError for anything but a complete http or https address."""
  try:
    parts = urllib.parse.urlsplit(url)
    is_whole = parts.scheme in ('http', 'https') and parts.hostname and parts.port != 0
  except ValueError:  # of a port or brackets that cannot be
    is_whole = False
  if not (is_whole and url.isascii() and url.isprintable() and ' ' not in url):
    raise UserError(f'{url} is no address to fetch from: it must begin with https:// or http://.')


class _Redirects(urllib.request.HTTPRedirectHandler):
  """Follows to http and https alone, and from https to https alone."""

  def redirect_request(self, req, fp, code, msg, headers, newurl):
    scheme = urllib.parse.urlsplit(newurl).scheme
    if scheme != 'https' and scheme != req.type:
      fp.close()
      raise RunError(f'{req.full_url} leads to {newurl}, which is not fetched: it is not https.')
    return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener():
  """Returns what opens http and https addresses, and no file, ftp or data address."""
  director = urllib.request.OpenerDirector()
  for handler in (
    urllib.request.ProxyHandler,
    urllib.request.UnknownHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
    _Redirects,
  ):
    director.add_handler(handler())
  return director


def validator(response):
  """Returns what If-Range may hold: a strong ETag, else the date of the last change, else None."""
  etag = response.headers.get('ETag', '')
  return etag if etag.startswith('"') else response.headers.get('Last-Modified')


def content_range(response):
  """Returns the first byte and the whole size of a partial answer, (None, None) without them."""
  match = re.fullmatch(r'bytes (\d+)-\d+/(\d+)', response.headers.get('Content-Range', ''))
  return (int(match[1]), int(match[2])) if match else (None, None)
