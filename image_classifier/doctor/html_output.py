"""A page of thumbnails of what the doctor found: one file, no script, nothing from elsewhere."""

from image_classifier.doctor import output
from image_classifier.doctor.findings import CHECKS
from image_classifier.html_page import escaped, figure
from image_classifier.html_page import page as html_page

# By its first line a page is known, so that a new one may replace it.
FIRST_LINE = '<!doctype html><!-- slim-finetune doctor -->'

# Findings of one kind, and pictures of one finding, that are drawn.
_MOST_DRAWN, _MOST_PICTURES = 100, 12


def page(report, preview):
  """Returns the page as text.

  Args:
    report: findings.Report.
    preview: function of a list of Places that returns {Place: bytes of a JPEG, or b''}.
  """
  groups = report.grouped()
  pictures = preview(
    sorted({place for group in groups.values() for place in _drawn_places(group) if place.path})
  )
  parts = [
    f'<p>{output.conclusion(report)}</p>',
    *(f'<p>{escaped(note)}</p>' for note in report.notes),
  ]
  for key, group in groups.items():
    check = CHECKS[key]
    parts.append(
      f'<h2><span class="{check.severity}">{check.severity}</span> {len(group)}: '
      f'{escaped(check.title)}</h2><p>Fix: {escaped(check.fix)}.</p>'
    )
    parts += [_finding(finding, pictures) for finding in group[:_MOST_DRAWN]]
    if len(group) > _MOST_DRAWN:
      parts.append(f'<p>{len(group) - _MOST_DRAWN} more.</p>')
  return html_page(FIRST_LINE, f'{report.path}: {" and ".join(report.kinds)}', parts)


def _drawn_places(group):
  return [place for finding in group[:_MOST_DRAWN] for place in finding.places[:_MOST_PICTURES]]


def _finding(finding, pictures):
  figures = [figure(pictures.get(place), place.name) for place in finding.places[:_MOST_PICTURES]]
  left = len(finding.places) - len(figures)
  figures += [f'{left} more'] if left else []
  return f'<div><p>{escaped(finding.why)}</p>{"".join(figures)}</div>'
