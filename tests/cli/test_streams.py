"""Outputs that are no files, standard streams that are closed, and files that must not be replaced by mistake."""

import itertools
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from arpc_codec import files
from arpc_codec.batch import Batch, walk
from arpc_codec.batch.encoding import Encoding
from arpc_codec.container import Codec, Container, Header, write
from arpc_codec.container import truncate as cut
from arpc_codec.files import descriptor, is_stream, write_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descriptors in /proc, permissions, /dev/full")
Run = Callable[..., Result]
ARPC = [sys.executable, "-m", "arpc_codec"]
CODED = write(Container(Header(Codec.ARPC, 1, 768, 512, 3), (b"a", b"bb", b"c" * 30)))
SHORT = cut(CODED, scales=1)


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    path = tmp_path / "x.arpc"
    path.write_bytes(CODED)
    return path


def truncate(source: str | Path, *args: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    words = [*ARPC, "truncate", source, "-k", "1", *args]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(list(map(str, words)), timeout=60, check=False, **options)


# -- what is no regular file is written to -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_names_of_stdout_are_stdout(coded: Path, tmp_path: Path, name: str) -> None:
    if not os.path.exists(name):
        pytest.skip(f"no {name} here")
    piped = truncate(coded, "-o", name)
    assert (piped.returncode, piped.stdout) == (0, SHORT)
    # A file behind what a shell has written there already: it is neither "in the way" nor replaced.
    with (tmp_path / "all").open("wb") as file:
        file.write(b"before ")
        file.flush()
        number = os.fstat(file.fileno()).st_ino
        assert truncate(coded, "-o", name, "-q", stdout=file).returncode == 0
    assert (tmp_path / "all").read_bytes() == b"before " + SHORT
    assert (tmp_path / "all").stat().st_ino == number


def test_other_descriptors_links_to_them_and_process_substitution(coded: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    link = tmp_path / "link"
    link.symlink_to(f"/dev/fd/{writer}")
    for name in (f"/dev/fd/{writer}", link):
        assert truncate(coded, "-o", name, pass_fds=(writer,)).returncode == 0
        assert os.read(reader, 100) == SHORT
    os.close(reader)
    os.close(writer)
    # As bash does it; the pipe has gone when it reads the file.
    shell = f"{' '.join(ARPC)} truncate {coded} -k 1 -q -o >(cat > {tmp_path}/got; echo done); wait $!"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"done\n", b"")
    assert (tmp_path / "got").read_bytes() == SHORT


def test_named_pipes_and_devices(coded: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        assert truncate(coded, "-o", pipe, "-f").returncode == 0
        assert reader.communicate()[0] == SHORT
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    full = truncate(coded, "-o", "/dev/full")
    assert full.returncode == 1
    assert full.stderr.endswith(b"cannot write /dev/full: No space left on device\n")


def test_a_descriptor_that_is_none_is_one_line(coded: Path) -> None:
    for name in ("/dev/fd/77", "/dev/stdin"):
        with coded.open("rb") as file:
            failed = truncate(coded, "-o", name, stdin=file)
        assert failed.returncode == 1
        assert failed.stderr.endswith(f"cannot write {name}: Bad file descriptor\n".encode())


def test_which_names_are_streams(tmp_path: Path) -> None:
    (tmp_path / "1").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert (descriptor("/dev/fd/7"), descriptor("/dev/fd/x"), descriptor(tmp_path / "1")) == (7, None, None)
    assert [is_stream(tmp_path / name) for name in ("1", "new", "loop")] == [False, False, False]
    assert is_stream("/dev/null")


def test_pictures_for_streams_are_png_unless_a_name_says_otherwise(
    arpc: Run, stand_in: object, tmp_path: Path, photo: Path
) -> None:
    coded = tmp_path / "a.arpc"
    assert arpc("encode", photo, "-o", coded).exit_code == 0
    for name, beginning in (("pipe", b"\x89PNG"), ("pipe.ppm", b"P6")):
        os.mkfifo(tmp_path / name)
        with subprocess.Popen(["cat", tmp_path / name], stdout=subprocess.PIPE) as reader:
            assert arpc("decode", coded, "-o", tmp_path / name, "--skip-existing").exit_code == 0
            assert reader.communicate()[0].startswith(beginning)
    assert arpc("decode", coded, "-o", "/dev/null").exit_code == 0
    assert arpc("decode", coded, "-o", tmp_path / "new").exit_code == 2


# -- closed and full streams -------------------------------------------------------------------------------------------


def shell(line: str) -> subprocess.CompletedProcess[bytes]:
    line = line.replace("arpc ", f"{' '.join(ARPC)} ", 1)
    return subprocess.run(["sh", "-c", line], capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full"])
def test_files_are_right_whatever_is_closed(coded: Path, tmp_path: Path, closed: str) -> None:
    done = shell(f"arpc truncate {coded} -k 1 -o {tmp_path}/y {closed}")
    assert done.returncode == 0
    assert (tmp_path / "y").read_bytes() == SHORT
    assert done.stdout == b""
    assert len(done.stderr.splitlines()) == ("2>" not in closed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.arpc", "y"]


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("arpc truncate - -k 1 -o {folder}/y <&-", 1, "stdin: Bad file descriptor"),
        ("arpc truncate {coded} -k 1 -o - >&-", 1, "{coded}: cannot write stdout: Bad file descriptor"),
        ("arpc truncate {coded} -k 1 -o - >/dev/full", 1, "{coded}: cannot write stdout: No space left on device"),
        ("arpc truncate {coded} -k 1 -o /dev/stdout >&-", 1, "{coded}: cannot write /dev/stdout: Bad file descriptor"),
        ("arpc info {coded} >&-", 1, "{coded}: Bad file descriptor"),
        ("arpc info {coded} >/dev/full", 1, "{coded}: No space left on device"),
        ("arpc --help >&-", 1, "Bad file descriptor"),
        ("arpc info {folder}/none 2>&-", 1, None),
        ("arpc info {folder}/none 2>/dev/full", 1, None),
        ("arpc info --nonsense 2>&-", 2, None),
        ("arpc truncate {coded} -k 1 -o {coded} 2>&-", 1, None),
    ],
)
def test_what_cannot_be_read_or_written_fails(
    coded: Path, tmp_path: Path, line: str, code: int, said: str | None
) -> None:
    done = shell(line.format(coded=coded, folder=tmp_path))
    expected = "" if said is None else f"arpc: {said.format(coded=coded)}\n"
    assert (done.returncode, done.stdout, done.stderr.decode()) == (code, b"", expected)
    assert [path.name for path in tmp_path.iterdir()] == ["x.arpc"]


def test_results_come_without_stderr(coded: Path) -> None:
    assert b"768x512" in shell(f"arpc info {coded} 2>&-").stdout


# -- files that are replaced -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444])
def test_a_replaced_file_keeps_its_permissions(coded: Path, tmp_path: Path, arpc: Run, mode: int) -> None:
    target = tmp_path / "y"
    target.write_bytes(b"secret")
    target.chmod(mode)
    (tmp_path / "link").symlink_to(target)
    for name in ("y", "link"):
        assert arpc("truncate", coded, "-o", tmp_path / name, "-k", "1", "-f").exit_code == 0
        assert (stat.S_IMODE(target.stat().st_mode), target.read_bytes()) == (mode, SHORT)
    assert (tmp_path / "link").is_symlink()


def test_a_secret_is_never_open_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, modes = tmp_path / "y", []
    target.touch(0o600)
    real = os.replace

    def replace(source: Path, path: Path) -> None:
        modes.append(stat.S_IMODE(source.stat().st_mode))
        real(source, path)

    def take_over(source: Path, new: Path) -> None:
        # Nothing is in it yet that others could read.
        assert new.stat().st_size == 0
        own(source, new)
        modes.append(stat.S_IMODE(new.stat().st_mode))

    own = files._take_over
    monkeypatch.setattr(files, "_take_over", take_over)
    monkeypatch.setattr(os, "replace", replace)
    write_file(b"new", target, force=True, ready=lambda found: modes.append(stat.S_IMODE(found.st_mode)))
    assert modes == [0o600] * 3


def test_new_files_follow_the_umask(coded: Path, tmp_path: Path, arpc: Run) -> None:
    before = os.umask(0o027)
    try:
        arpc("truncate", coded, "-o", tmp_path / "y", "-k", "1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "y").stat().st_mode) == 0o640


@pytest.fixture(params=["same", "dotted", "symbolic", "hard"])
def alias(request: pytest.FixtureRequest, coded: Path, tmp_path: Path) -> Path:
    """Another name of the file `coded`."""
    path = {"same": coded, "dotted": tmp_path / "." / "d" / ".." / coded.name}.get(request.param, tmp_path / "alias")
    (tmp_path / "d").mkdir()
    if request.param == "symbolic":
        path.symlink_to(coded)
    elif request.param == "hard":
        path.hardlink_to(coded)
    return path


def test_the_input_is_replaced_only_when_that_is_said(coded: Path, alias: Path, arpc: Run) -> None:
    for source, options in itertools.product((coded, coded.as_uri()), ([], ["-f"])):
        refused = arpc("truncate", source, "-o", alias, "-k", "1", *options)
        assert refused.exit_code == 1
        assert refused.stderr == f"arpc: {source}: {alias} is an input of this run (--overwrite-input replaces it)\n"
        assert coded.read_bytes() == CODED
    assert arpc("truncate", coded, "-o", alias, "-k", "1", "--overwrite-input").exit_code == 0
    assert alias.read_bytes() == SHORT


def test_stdin_is_an_input_too(coded: Path) -> None:
    for options, code, there in ((["-f"], 1, CODED), (["--overwrite-input"], 0, SHORT)):
        with coded.open("rb") as file:
            assert truncate("-", "-o", coded, *options, stdin=file).returncode == code
        assert coded.read_bytes() == there


def test_other_commands_guard_their_inputs(arpc: Run, stand_in: object, photo: Path, tmp_path: Path) -> None:
    picture, coded = photo.read_bytes(), tmp_path / "photo.arpc"
    assert arpc("encode", photo, "-o", photo, "-f").exit_code == 1
    assert arpc("encode", photo).exit_code == 0
    file = coded.read_bytes()
    (tmp_path / "out").mkdir()
    # Of another input of the same run, by the name that a result would get.
    (tmp_path / "out" / "photo.arpc").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").write_bytes(picture)
    assert arpc("encode", photo, tmp_path / "b.png", "--out-dir", tmp_path / "out", "-f").exit_code == 1
    (tmp_path / "coded-06.png").hardlink_to(coded)
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "photo-03.png").symlink_to(coded)
    for words in (["decode", "-o", coded, "--format", "png"], ["decode", "--steps", tmp_path / "steps"]):
        assert arpc(words[0], coded, *words[1:], "-f").exit_code == 1
    assert arpc("preview", coded, "-o", coded, "-f").exit_code == 1
    assert (photo.read_bytes(), (tmp_path / "b.png").read_bytes(), coded.read_bytes()) == (picture, picture, file)


def test_packets_guard_their_inputs(arpc: Run, coded: Path, tmp_path: Path) -> None:
    assert arpc("packets", "split", coded, "-o", tmp_path / "p", "--mtu", "60", "-q").exit_code == 0
    first = min((tmp_path / "p").iterdir())
    packet = first.read_bytes()
    assert arpc("packets", "join", tmp_path / "p", "-o", first, "-f").exit_code == 1
    assert first.read_bytes() == packet
    # A file that lies there and is no packet was read, but is none of those that count.
    for _ in range(2):
        assert arpc("packets", "join", tmp_path / "p", "-o", tmp_path / "p" / "joined", "-f").exit_code == 0
    assert (tmp_path / "p" / "joined").read_bytes() == CODED


def test_folders_guard_their_inputs(tmp_path: Path, photo: Path) -> None:
    task = Encoding(codec="arpc", model="tiny")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "photo.arpc").hardlink_to(photo)
    jobs = walk([photo], (".png",), ".arpc")
    for allowed in (False, True):
        with Batch(task, jobs, tmp_path / "out", force=True, overwrite_input=allowed) as batch:
            assert (len(batch.refused), len(batch.todo)) == ((0, 1) if allowed else (1, 0))
