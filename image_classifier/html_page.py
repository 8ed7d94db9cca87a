"""Pages of pictures for people: one file, no script, nothing from elsewhere."""

import base64
import html

from slim_text import shown

_STYLE = (
  'body{font:15px sans-serif;margin:2em;max-width:75em}h2{font-size:1.1em;margin:2em 0 .3em}'
  '.error{color:#a00}.warning{color:#850}figure{display:inline-block;margin:.4em;max-width:140px;'
  'vertical-align:top}img{max-width:128px;border:1px solid #ccc}figcaption{font-size:.75em;'
  'overflow-wrap:anywhere}div{border-top:1px solid #ddd;padding:.4em 0}'
)


def page(first_line, title, parts):
  """Returns a page as text.

  Args:
    first_line: the document's type, and a comment by which the page is known.
    title: text, also the heading.
    parts: list of the body's HTML, in which every text is `escaped`.
  """
  title = escaped(title)
  head = [
    first_line,
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
    f'<title>{title}</title><style>{_STYLE}</style></head><body>',
    f'<h1>{title}</h1>',
  ]
  return '\n'.join([*head, *parts, '</body></html>', ''])


def figure(picture, *lines):
  """Returns a picture with lines of text under it as HTML.

  Args:
    picture: bytes of a JPEG; b'' or None for none.
    *lines: texts.
  """
  image = ''
  if picture:
    data = base64.b64encode(picture).decode('ascii')
    image = f'<img alt="" src="data:image/jpeg;base64,{data}">'
  caption = '<br>'.join(map(escaped, lines))
  return f'<figure>{image}<figcaption>{caption}</figcaption></figure>'


def escaped(value):
  """Returns a value as text that is harmless in HTML and to the eye."""
  return html.escape(shown(value))
