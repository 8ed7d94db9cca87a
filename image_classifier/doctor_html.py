"""A page of thumbnails of what doctor.py found: one file, no script, nothing from elsewhere."""

import base64
import html

from image_classifier import doctor_output
from image_classifier.doctor_findings import CHECKS
from slim_text import shown

# By its first line a page is known, so that a new one may replace it.
FIRST_LINE = '<!doctype html><!-- slim-finetune doctor -->'

# Findings of one kind, and pictures of one finding, that are drawn.
_MOST_DRAWN, _MOST_PICTURES = 100, 12
_STYLE = (
  'body{font:15px sans-serif;margin:2em;max-width:75em}h2{font-size:1.1em;margin:2em 0 .3em}'
  '.error{color:#a00}.warning{color:#850}figure{display:inline-block;margin:.4em;max-width:140px;'
  'vertical-align:top}img{max-width:128px;border:1px solid #ccc}figcaption{font-size:.75em;'
  'overflow-wrap:anywhere}div{border-top:1px solid #ddd;padding:.4em 0}'
)


def page(report, preview):
  """Returns the page as text.

  Args:
    report: doctor_findings.Report.
    preview: function of a list of Places that returns {Place: bytes of a JPEG, or b''}.
  """
  groups = report.grouped()
  pictures = preview(
    sorted({place for group in groups.values() for place in _drawn_places(group) if place.path})
  )
  title = _escaped(f'{report.path}: {" and ".join(report.kinds)}')
  parts = [
    FIRST_LINE,
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
    f'<title>{title}</title><style>{_STYLE}</style></head><body>',
    f'<h1>{title}</h1><p>{doctor_output.conclusion(report)}</p>',
    *(f'<p>{_escaped(note)}</p>' for note in report.notes),
  ]
  for key, group in groups.items():
    check = CHECKS[key]
    parts.append(
      f'<h2><span class="{check.severity}">{check.severity}</span> {len(group)}: '
      f'{_escaped(check.title)}</h2><p>Fix: {_escaped(check.fix)}.</p>'
    )
    parts += [_finding(finding, pictures) for finding in group[:_MOST_DRAWN]]
    if len(group) > _MOST_DRAWN:
      parts.append(f'<p>{len(group) - _MOST_DRAWN} more.</p>')
  return '\n'.join([*parts, '</body></html>', ''])


def _drawn_places(group):
  return [place for finding in group[:_MOST_DRAWN] for place in finding.places[:_MOST_PICTURES]]


def _finding(finding, pictures):
  figures = [_figure(place, pictures.get(place)) for place in finding.places[:_MOST_PICTURES]]
  left = len(finding.places) - len(figures)
  figures += [f'{left} more'] if left else []
  return f'<div><p>{_escaped(finding.why)}</p>{"".join(figures)}</div>'


def _figure(place, picture):
  image = ''
  if picture:
    data = base64.b64encode(picture).decode('ascii')
    image = f'<img alt="" src="data:image/jpeg;base64,{data}">'
  return f'<figure>{image}<figcaption>{_escaped(place.name)}</figcaption></figure>'


def _escaped(value):
  return html.escape(shown(value))
