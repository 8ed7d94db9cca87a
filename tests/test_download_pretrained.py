"""Published checkpoints: which nets have one, and fetching it, from a server on this machine."""

import io
import re
import sys
import tarfile
import urllib.parse

import loopback
import pytest

from image_classifier import command
from image_classifier.downloads import pretrained
from nets import net_info
from nets.checkpoint_urls import CHECKPOINT_URLS
from scripts import download_pretrained

WITHOUT = ('alexnet_v2', 'overfeat', 'vgg_a', 'lenet', 'cifarnet', 'nasnet_cifar', 'i3d', 's3dg')
SINGLE_FILE = {'vgg_16.ckpt': b'weights'}
SEVERAL = {
  'v/ema/model-5.index': b'i',
  'v/ema/model-5.data-00000-of-00001': b'd',
  'v/ema/model-5.meta': b'm',
  'v/pristine/model-5.index': b'i',
  'v/pristine/model-5.data-00000-of-00001': b'd',
  'v/cut.index': b'i',
  'v/checkpoint': b'x',
}


def archive(content):
  stream = io.BytesIO()
  with tarfile.open(fileobj=stream, mode='w:gz') as file:
    for name, data in content.items():
      info = tarfile.TarInfo(name)
      info.size = len(data)
      file.addfile(info, io.BytesIO(data))
  return stream.getvalue()


@pytest.fixture
def server(monkeypatch):
  monkeypatch.setenv('no_proxy', '*')
  with loopback.serving(archive(SINGLE_FILE)) as server:
    info = net_info.NET_INFO['vgg_16']._replace(checkpoint_url=server.url)
    monkeypatch.setitem(net_info.NET_INFO, 'vgg_16', info)
    yield server


def run(*arguments):
  argv = ['download_pretrained', *map(str, arguments)]
  return command.run('', download_pretrained.FLAGS, download_pretrained.main, argv, True)


@pytest.mark.parametrize('name', sorted(CHECKPOINT_URLS))
def test_an_address_is_that_of_an_archive(name):
  parts = urllib.parse.urlsplit(net_info.NET_INFO[name].checkpoint_url)
  assert parts.scheme in ('https', 'http') and parts.hostname
  assert parts.path.endswith(('.tar.gz', '.tgz'))


def test_every_address_is_of_another_archive():
  names = [url.rsplit('/', 1)[1] for url in CHECKPOINT_URLS.values()]
  assert len(set(names)) == len(names)


def test_nets_without_a_published_checkpoint_have_no_address():
  for name, info in net_info.NET_INFO.items():
    if name in WITHOUT or name.endswith('_200'):
      assert info.checkpoint_url is None, name


def test_the_path_is_all_that_standard_output_holds(server, tmp_path, capsys):
  folder = tmp_path / '权重 1'
  assert run('vgg_16', f'--output_dir={folder}') == 0
  out, err = capsys.readouterr()
  assert out == f'{folder}/vgg_16/vgg_16.ckpt\n'
  assert server.url in err and re.search(r'\(\d+ bytes\)', err)
  assert (folder / 'vgg_16' / 'vgg_16.ckpt').read_bytes() == b'weights'
  assert (folder / 'net.tar.gz.sha256').exists()


def test_what_is_there_is_not_fetched_again(server, tmp_path, capsys):
  for _ in range(2):
    assert run('vgg_16', '--output_dir', tmp_path) == 0
  assert len(server.requests) == 1
  out = capsys.readouterr().out.splitlines()
  assert out[0] == out[1]


def test_an_archive_put_there_by_hand_is_taken(server, tmp_path, capsys):
  (tmp_path / 'net.tar.gz').write_bytes(server.content)
  assert run('vgg_16', '--output_dir', tmp_path) == 0
  assert not server.requests


def test_of_several_checkpoints_the_first_is_printed(server, tmp_path, capsys):
  server.content = archive(SEVERAL)
  assert run('vgg_16', '--output_dir', tmp_path) == 0
  out, err = capsys.readouterr()
  assert out == f'{tmp_path}/vgg_16/v/ema/model-5\n'
  assert 'pristine/model-5' in err and 'cut' not in err


def test_an_archive_without_a_checkpoint_is_said(server, tmp_path, capsys):
  server.content = archive({'readme': b'x'})
  assert run('vgg_16', '--output_dir', tmp_path) == 3
  assert 'holds no checkpoint' in capsys.readouterr().err


def test_a_folder_in_the_way_is_said_before_anything_is_fetched(server, tmp_path, capsys):
  (tmp_path / 'vgg_16').mkdir()
  (tmp_path / 'vgg_16' / 'note.txt').write_text('mine')
  assert run('vgg_16', '--output_dir', tmp_path) == 2
  assert 'vgg_16 is already there' in capsys.readouterr().err
  assert not server.requests


def test_a_damaged_archive_leaves_no_folder(server, tmp_path, capsys):
  server.content = b'no archive'
  assert run('vgg_16', '--output_dir', tmp_path) == 3
  assert 'is damaged' in capsys.readouterr().err
  assert not (tmp_path / 'vgg_16').exists()


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['vgg_a'], 'vgg_a has no published checkpoint: train it from new weights, or take one of'),
    (['vgg16'], "did you mean 'vgg_16'?"),
    ([], 'Name one net'),
    (['vgg_16', 'vgg_19'], 'Name one net'),
  ],
)
def test_mistakes_are_said_in_one_line(arguments, message, tmp_path, capsys):
  assert run(*arguments, '--output_dir', tmp_path) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert message in line
  assert not list(tmp_path.iterdir())


def test_the_list_names_every_published_checkpoint(capsys):
  assert run('--list') == 0
  lines = [line.split() for line in capsys.readouterr().out.splitlines()]
  assert dict(lines) == pretrained.published()


def test_no_tensorflow_is_needed(capsys, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  monkeypatch.setitem(sys.modules, 'slim_compat', None)
  assert run('--help') == 0
  assert '--output_dir' in capsys.readouterr().out
