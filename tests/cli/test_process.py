"""What only a real process shows: start-up time, imports, pipes, terminals, files that are none."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from arpc_codec.cli.common import write_bytes
from arpc_codec.codecs.hpac import HpacCodec
from arpc_codec.container import Codec, Container, Header, read, write
from arpc_codec.container.varint import encode_varint
from arpc_codec.errors import ArpcError
from arpc_codec.imageio import ExactPicture
from arpc_codec.prior.adapter import shapes, write_adapter

ARPC = [sys.executable, "-m", "arpc_codec"]
CODED = write(Container(Header(Codec.ARPC, 1, 768, 512, 3), (b"a", b"bb", b"c" * 30)))
HEAVY = ("torch", "numpy", "PIL", "rich", "safetensors", "constriction")
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX terminals, pipes and links")


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    path = tmp_path / "x.arpc"
    path.write_bytes(CODED)
    return path


def run(*args: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*ARPC, *map(str, args)], capture_output=True, timeout=60, check=False, **options)


@pytest.mark.parametrize("command", [["info"], ["truncate", "-o", "-", "-k", "1"], ["--help"], ["encode", "--help"]])
def test_light_commands_import_nothing_heavy(coded: Path, command: list[str]) -> None:
    words = [*command, *([str(coded)] if command[0] in ("info", "truncate") else [])]
    code = (
        "import sys\nfrom arpc_codec.cli.main import main\n"
        f"try:\n    main({words!r}, prog_name='arpc')\n"
        f"finally:\n    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert result.returncode == 0
    assert result.stderr.splitlines()[-1] == b"[]"


def test_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, arpc_codec, arpc_codec.container; print([n for n in {HEAVY!r} if n in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert result.stdout.strip() == b"[]"


def adapted_file(samples_hw1: np.ndarray) -> bytes:
    """A lossless file with an adapter, whether or not it makes the file smaller."""
    model = HpacCodec.load().model
    prior = model.coders[1]
    adapter = {
        part: np.full(shape, part.endswith("taps"), np.int8)
        for part, shape in shapes(prior.config, prior.state).items()
    }
    fitted = HpacCodec(replace(model, coders={1: prior.adapted(adapter)}))
    container = read(fitted.encode(ExactPicture(samples_hw1)))
    (payload,), written = container.segments, write_adapter(adapter)
    assert payload[4:7] == b"\x07\0\0"  # 7 bits, no table, no adapter
    payload = payload[:6] + bytes(encode_varint(len(written))) + written + payload[7:]
    return write(replace(container, segments=(payload,)))


@pytest.mark.parametrize("native", ["", "0"])
def test_lossless_files_are_coded_without_torch(native: str, tmp_path: Path) -> None:
    """By commands and in Python, with the compiled wavefront and without; and decoding one with an adapter."""
    samples = (np.add.outer(3 * np.arange(20), np.arange(24))[..., None] + np.arange(3)).astype(np.uint8)
    # Without noise no prior would be needed.
    noisy = samples[..., :1] + np.random.default_rng(0).integers(0, 6, (20, 24, 1), np.uint8)
    np.savez(tmp_path / "samples.npz", samples=samples, noisy=noisy)
    (tmp_path / "adapted.arpc").write_bytes(adapted_file(noisy))
    code = f"""
import os, sys
os.environ["ARPC_NATIVE"] = {native!r}
os.chdir({str(tmp_path)!r})
import numpy as np, arpc_codec
from arpc_codec.cli.main import main
samples, noisy = np.load("samples.npz").values()
assert (arpc_codec.decode_array("adapted.arpc") == noisy).all()
data = arpc_codec.encode(samples, lossless=True)
assert (arpc_codec.decode_array(data) == samples).all()
arpc_codec.decode(data).save("a.png")
for words in (["encode", "a.png", "--lossless"], ["decode", "a.arpc", "-o", "b.png"], ["verify", "a.arpc"]):
    try:
        main(words, prog_name="arpc")
    except SystemExit as end:
        assert not end.code, (words, end.code)
assert "torch" not in sys.modules
if {native!r} == "":
    adapted = arpc_codec.encode(samples, lossless=True, adapt=1)
    assert "torch" in sys.modules
print("done")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == b"done"


@posix
def test_info_takes_little_more_than_its_command_line(coded: Path) -> None:
    """A tenth of a second on an idle machine; NumPy or torch alone would be more."""

    def seconds(*words: str) -> float:
        """Processor time of a process: other processes may be busy."""
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_utime + used.ru_stime

    spent = []
    for _ in range(8):
        spent.append(seconds(*ARPC, "info", str(coded)) / seconds(sys.executable, "-c", "import click"))
        if min(spent) < 4:
            return
    pytest.fail(f"arpc info took {min(spent):.1f} times as long as the import of click")


def test_pipes_between_commands(coded: Path) -> None:
    first = subprocess.Popen([*ARPC, "truncate", str(coded), "-o", "-", "-k", "2"], stdout=subprocess.PIPE)
    second = run("info", "-", "--json", stdin=first.stdout)
    assert first.wait() == second.returncode == 0
    assert b'"scales_declared": 2' in second.stdout


@posix
def test_a_reader_that_leaves_is_no_noise(tmp_path: Path) -> None:
    for args in (["truncate", "-", "-o", "-", "-k", "1"], ["info", "-", "-v"]):
        data = write(Container(Header(Codec.ARPC, 1, 768, 512, 1), (bytes(1 << 20),)))
        process = subprocess.Popen(
            [*ARPC, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.write(data)
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1
        process.stderr.close()


@posix
def test_binary_data_goes_to_a_terminal_only_when_asked(coded: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    code = (
        "import sys\nfrom pathlib import Path\nfrom arpc_codec.cli.common import Outputs\n"
        "out = Outputs(sys.argv[1] or None, None)\nout.write(b'data', out.target('-', '.png'))\n"
    )
    for asked, expected in (("-", 0), ("", 1)):
        master, slave = pty.openpty()
        result = subprocess.run(
            [sys.executable, "-c", code, asked], stdout=slave, stderr=subprocess.PIPE, timeout=60, check=False
        )
        os.close(slave)
        os.close(master)
        assert result.returncode == expected
        assert (b"will not write binary data to a terminal" in result.stderr) == bool(expected)


@posix
def test_progress_on_a_terminal_respects_quiet(coded: Path) -> None:
    pty = pytest.importorskip("pty")
    for flag, speaks in (("-v", True), ("-q", False)):
        master, slave = pty.openpty()
        words = [*ARPC, "truncate", str(coded), "-o", os.devnull, "-k", "1", flag]
        assert subprocess.run(words, stderr=slave, timeout=60, check=False).returncode == 0
        os.close(slave)
        seen = b""
        try:
            while part := os.read(master, 4096):
                seen += part
        except OSError:
            pass
        os.close(master)
        assert (b"1 of 3 scales" in seen) == speaks
        assert bool(seen) == speaks


def test_no_traceback_but_on_request(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    result = run("info", missing)
    assert result.stderr.decode().strip() == f"arpc: {missing}: No such file or directory"
    result = run("info", missing, env={**os.environ, "ARPC_DEBUG": "1"})
    assert b"Traceback" in result.stderr
    assert result.returncode == 1


def test_names_and_captions_in_any_terminal(tmp_path: Path) -> None:
    path = tmp_path / "bäd 图.arpc"
    path.write_bytes(write(Container(Header(Codec.ARPC, 1, 8, 8, 1, caption="图 \x1b]0;x\x07"), (b"a",))))
    result = run("info", path, env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert result.returncode == 0
    assert b"\x1b" not in result.stdout


def test_writing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a"
    write_bytes(b"1", target, force=False)
    with pytest.raises(ArpcError, match="exists"):
        write_bytes(b"2", target, force=False)
    write_bytes(b"3", target, force=True)
    assert target.read_bytes() == b"3"

    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ArpcError, match=r"cannot write .*: No space left on device"):
        write_bytes(b"4", target, force=True)
    with pytest.raises(ArpcError, match="there is no folder"):
        write_bytes(b"4", tmp_path / "nowhere" / "a", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert target.read_bytes() == b"3"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a"
    real = os.link

    def race(source: object, path: object) -> None:
        target.write_bytes(b"other")
        real(source, path)

    monkeypatch.setattr(os, "link", race)
    with pytest.raises(ArpcError, match="exists"):
        write_bytes(b"mine", target, force=False)
    assert target.read_bytes() == b"other"
    assert len(list(tmp_path.iterdir())) == 1


def test_file_systems_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    write_bytes(b"1", tmp_path / "a", force=False)
    with pytest.raises(ArpcError, match="exists"):
        write_bytes(b"2", tmp_path / "a", force=False)
    assert (tmp_path / "a").read_bytes() == b"1"


@posix
def test_devices_and_links_are_written_through(tmp_path: Path) -> None:
    write_bytes(b"x", "/dev/null", force=False)
    assert not Path("/dev/null").is_file()
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_bytes(b"new", tmp_path / "link", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
