"""Archives from elsewhere: what is safe comes out whole, everything else leaves nothing behind."""

import gzip
import io
import stat
import tarfile
import zipfile

import pytest

from image_classifier.downloads import archives
from slim_errors import RunError, UserError

CONTENT = {'top/a.txt': b'first', 'top/城市/b c.bin': bytes(range(256)) * 40, 'empty': b''}


def tar_bytes(members):
  """Returns a tar archive of (name or TarInfo, content) pairs."""
  stream = io.BytesIO()
  with tarfile.open(fileobj=stream, mode='w') as file:
    for info, content in members:
      info = info if isinstance(info, tarfile.TarInfo) else tarfile.TarInfo(info)
      info.size = len(content)
      file.addfile(info, io.BytesIO(content))
  return stream.getvalue()


def zip_bytes(members, compression=zipfile.ZIP_DEFLATED):
  """Returns a zip archive of (name or ZipInfo, content) pairs."""
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, 'w', compression) as file:
    for info, content in members:
      file.writestr(info, content)
  return stream.getvalue()


def typed(name, kind, target=''):
  info = tarfile.TarInfo(name)
  info.type, info.linkname = kind, target
  return info


def write(folder, name, data):
  path = folder / name
  path.write_bytes(data)
  return path


def files_below(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()
  }


def refused(tmp_path, name, data, error=UserError, **limits):
  """Returns the message of a refused archive, after checking that nothing is left behind."""
  (tmp_path / 'in').mkdir()
  (tmp_path / 'out').mkdir()
  path = write(tmp_path / 'in', name, data)
  with pytest.raises(error) as caught:
    archives.extract(path, tmp_path / 'out' / 'folder', **limits)
  assert not list((tmp_path / 'out').iterdir())
  assert {entry.name for entry in tmp_path.iterdir()} == {'in', 'out'}
  assert str(path) in str(caught.value)
  return str(caught.value)


ARCHIVES = {
  'a.tar': tar_bytes(CONTENT.items()),
  'a.tar.gz': gzip.compress(tar_bytes(CONTENT.items())),
  'a.tgz': gzip.compress(tar_bytes(CONTENT.items())),
  'a.zip': zip_bytes(CONTENT.items()),
}


@pytest.mark.parametrize('name', sorted(ARCHIVES))
def test_what_went_in_comes_out(name, tmp_path):
  folder = tmp_path / 'new' / '照片 2'
  assert archives.extract(write(tmp_path, name, ARCHIVES[name]), folder) == str(folder)
  assert files_below(folder) == CONTENT
  assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_folders_and_the_folder_itself_are_members(tmp_path):
  members = [
    (typed('.', tarfile.DIRTYPE), b''),
    (typed('./d', tarfile.DIRTYPE), b''),
    ('./f', b'1'),
  ]
  folder = tmp_path / 'out'
  archives.extract(write(tmp_path, 'a.tar', tar_bytes(members)), folder)
  assert sorted(path.name for path in folder.iterdir()) == ['d', 'f']
  assert (folder / 'd').is_dir()
  archives.extract(
    write(tmp_path, 'a.zip', zip_bytes([('d/', b''), ('d/f', b'2')])), tmp_path / 'z'
  )
  assert files_below(tmp_path / 'z') == {'d/f': b'2'}


def test_permissions_of_the_archive_are_not_taken_over(tmp_path):
  info = tarfile.TarInfo('setuid')
  info.mode = 0o4777
  archives.extract(write(tmp_path, 'a.tar', tar_bytes([(info, b'x')])), tmp_path / 'out')
  assert not stat.S_IMODE((tmp_path / 'out' / 'setuid').stat().st_mode) & 0o7111


@pytest.mark.parametrize('name', ['/etc/x', '../x', 'a/../../x', 'a\\..\\x', 'C:x', '..'])
@pytest.mark.parametrize('kind', ['a.tar.gz', 'a.zip'])
def test_names_outside_of_the_folder_are_refused(name, kind, tmp_path):
  members = [('good', b'1'), (name, b'2')]
  data = zip_bytes(members) if kind == 'a.zip' else gzip.compress(tar_bytes(members))
  assert 'outside' in refused(tmp_path, kind, data)


@pytest.mark.parametrize(
  'kind',
  [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE],
)
def test_links_devices_and_pipes_are_refused(kind, tmp_path):
  members = [('good', b'1'), (typed('odd', kind, 'good'), b'')]
  assert "'odd'" in refused(tmp_path, 'a.tar', tar_bytes(members))


def test_links_in_zips_are_refused(tmp_path):
  link = zipfile.ZipInfo('odd')
  link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
  assert "'odd'" in refused(tmp_path, 'a.zip', zip_bytes([(link, b'/etc/passwd')]))


def test_limits_hold(tmp_path):
  for number, limits in enumerate(({'max_files': 2}, {'max_bytes': 10_000})):
    for name, data in ARCHIVES.items():
      folder = tmp_path / f'{number}{name}'
      folder.mkdir()
      assert 'more than' in refused(folder, name, data, **limits)


@pytest.mark.parametrize('name', ['a.tar.gz', 'a.zip'])
def test_a_small_archive_that_grows_without_end_is_refused(name, tmp_path):
  members = [('zeros', bytes(70 * 1024**2))]  # 70 MB come out of about 70 kB
  data = zip_bytes(members) if name == 'a.zip' else gzip.compress(tar_bytes(members), 1)
  assert 'would grow' in refused(tmp_path, name, data)


def test_what_follows_the_end_of_a_tar_counts_too(tmp_path):
  data = gzip.compress(tar_bytes([('a', b'1')]) + bytes(70 * 1024**2), 1)
  assert 'would grow' in refused(tmp_path, 'a.tgz', data)


@pytest.mark.parametrize('name', sorted(ARCHIVES))
@pytest.mark.parametrize('share', [0, 0.3, 0.6, 0.9])
def test_a_cut_archive_is_damaged(name, share, tmp_path):
  data = ARCHIVES[name] if name != 'a.tar' else ARCHIVES[name][: 512 * 26]  # without its filling
  assert 'damaged' in refused(tmp_path, name, data[: int(share * len(data))], RunError)


def test_a_changed_byte_is_damage(tmp_path):
  data = bytearray(ARCHIVES['a.tar'])
  data[data.index(b'empty') + 1] ^= 1  # in the last header, where tarfile just ends
  assert 'damaged' in refused(tmp_path, 'a.tar', bytes(data), RunError)


def test_a_changed_byte_of_content_is_damage(tmp_path):
  data = bytearray(zip_bytes([('a', bytes(range(200)))], zipfile.ZIP_STORED))
  data[100] ^= 1
  assert 'damaged' in refused(tmp_path, 'a.zip', bytes(data), RunError)


def test_a_name_that_comes_twice_is_refused(tmp_path):
  assert 'twice' in refused(tmp_path, 'a.tar', tar_bytes([('a', b'1'), ('a', b'2')]))


def test_a_file_that_is_a_folder_too_is_refused(tmp_path):
  assert 'twice' in refused(tmp_path, 'a.tar', tar_bytes([('a', b'1'), ('a/b', b'2')]))


def test_unusual_compression_is_refused(tmp_path):
  data = zip_bytes([('a', b'1')], zipfile.ZIP_LZMA)
  assert 'by hand' in refused(tmp_path, 'a.zip', data)


@pytest.mark.parametrize('name', ['a.rar', 'a.tar.bz2', 'tar'])
def test_other_kinds_are_refused(name, tmp_path):
  assert '.tgz' in refused(tmp_path, name, b'x')


def test_a_missing_archive_is_said(tmp_path):
  with pytest.raises(UserError, match='There is no archive'):
    archives.extract(tmp_path / 'a.zip', tmp_path / 'out')


def test_nothing_is_overwritten(tmp_path):
  path = write(tmp_path, 'a.zip', ARCHIVES['a.zip'])
  (tmp_path / 'full').mkdir()
  (tmp_path / 'full' / 'mine').write_text('x')
  for target in ('full', 'a.zip'):
    with pytest.raises(UserError, match='already there'):
      archives.extract(path, tmp_path / target)
  assert files_below(tmp_path / 'full') == {'mine': b'x'}
  (tmp_path / 'void').mkdir()
  archives.extract(path, tmp_path / 'void')
  assert files_below(tmp_path / 'void') == CONTENT
