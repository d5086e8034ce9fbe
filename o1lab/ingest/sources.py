"""Open a data file as UTF-8: compressed files are decompressed, UTF-16 and UTF-32 are converted.

The content decides, not the name. Damage does not raise: the bytes before it are read, and ``Source.fault`` says what
happened.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

CHUNK = 1 << 20
_BOM = codecs.BOM_UTF8


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _open_zstd(file: BinaryIO) -> Any:
    zstd = _zstd()
    # Archives made with `zstd --long=31` are common for large dumps; the library refuses them by default.
    return zstd.ZstdFile(file, options={zstd.DecompressionParameter.window_log_max: 31})


class _Compression(NamedTuple):
    name: str
    magic: bytes
    open: Callable[[BinaryIO], Any]


_COMPRESSIONS = (
    _Compression("gzip", b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    _Compression("bzip2", b"BZh", bz2.BZ2File),
    _Compression("xz", b"\xfd7zXZ\0", lzma.LZMAFile),
    _Compression("zstd", b"\x28\xb5\x2f\xfd", _open_zstd),
    *(_Compression("zstd", bytes([first, 0x2A, 0x4D, 0x18]), _open_zstd) for first in range(0x50, 0x60)),
)
_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd")
_ARCHIVES = {
    b"PK\x03\x04": "a ZIP archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x04\x22\x4d\x18": "compressed with LZ4",
    b"Rar!": "a RAR archive",
}
_TAR = (257, b"ustar")


def plain_name(path: Path) -> Path:
    """Return ``path`` without the suffix of a compression."""
    return path.with_suffix("") if path.suffix.lower() in _SUFFIXES else path


class Source:
    """A data file that is open for reading.

    Attributes:
        stream: the content, decompressed, as UTF-8 without a byte order mark (Parquet: as it is).
        compression: its name, empty for a plain file.
        fault: why reading ended before the end of the content, in a few words; empty if it did not.
    """

    stream: BinaryIO

    def __init__(self, path: Path) -> None:
        """Open ``path``.

        Raises:
            OSError: it cannot be opened.
        """
        self.fault = ""
        self._file = path.open("rb", buffering=CHUNK)
        head = self._file.read(8)
        self._file.seek(0)
        found = next((one for one in _COMPRESSIONS if head.startswith(one.magic)), None)
        self.compression = found.name if found else ""
        self.stream = self._file
        if found:
            self.stream = _buffered(self._decompressed(found))
            head = self.stream.peek(8)[:8]  # type: ignore[attr-defined]  # BinaryIO lacks the method
        encoding = _encoding(head)
        if encoding:
            self.stream = _buffered(self._recoded(self.stream, encoding))
        elif head.startswith(_BOM):
            self.stream.read(len(_BOM))

    @property
    def position(self) -> int:
        """The number of bytes of the file that are read, for progress."""
        return self._file.tell()

    def archive(self) -> str:
        """Return what kind of archive the content is, in a few words; empty if it is none. Reads from the start."""
        head = self.stream.read(512)
        at, mark = _TAR
        if head[at : at + len(mark)] == mark:
            return "a tar archive"
        return next((name for magic, name in _ARCHIVES.items() if head.startswith(magic)), "")

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _decompressed(self, how: _Compression) -> Iterator[bytes]:
        damage: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error, lzma.LZMAError)
        if how.name == "zstd":
            damage = (*damage, _zstd().ZstdError)
        try:
            file = how.open(self._file)
            while data := file.read1(CHUNK):
                yield data
        except damage as error:
            reason = "it is cut off" if isinstance(error, EOFError) else str(error) or type(error).__name__
            self.fault = f"the {how.name} data is damaged here ({reason}); what follows cannot be read"

    def _recoded(self, stream: BinaryIO, encoding: str) -> Iterator[bytes]:
        # surrogatepass: a lone surrogate is a character of the text, as it is in UTF-8 files.
        decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        try:
            while data := stream.read(CHUNK):
                yield decoder.decode(data).encode("utf-8", "surrogatepass")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            name = encoding.upper().removesuffix("-LE").removesuffix("-BE")
            self.fault = f"not {name} from here on ({error.reason}); what follows cannot be read"


def _encoding(head: bytes) -> str:
    """Return the encoding of a text that begins with ``head``: one with two or four bytes a character, or empty."""
    encoding = json.detect_encoding(head)
    if not encoding.startswith(("utf-16", "utf-32")):
        return ""
    if encoding in ("utf-16", "utf-32"):  # it has a byte order mark, which the decoder removes
        return encoding
    # Without a mark many binary files look like UTF-16 to this function. Data files begin with a bracket.
    return encoding if head.replace(b"\0", b"")[:1] in (b"{", b"[") else ""


class _Chunks(io.RawIOBase):
    """A raw stream of the bytes that an iterator yields."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            data = next(self._chunks, None)
            if data is None:
                return 0
            self._rest = memoryview(data)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _buffered(chunks: Iterator[bytes]) -> BinaryIO:
    return io.BufferedReader(_Chunks(chunks), buffer_size=CHUNK)
