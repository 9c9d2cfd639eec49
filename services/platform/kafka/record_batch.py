"""Decoding a producer batch that the client library can't decode, record by record. Pure and total.

A batch (Kafka's record format 2) is 61 bytes of header and then its records, each behind its own length: what is wrong
within one record costs that record alone. Where even the lengths or offsets are wrong, the rest of the batch is one
record of which nothing is known but where it begins.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

import cramjam
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode

_HEADER: Final = Struct(">qiibIhiqqqhii")
_LOG_OVERHEAD: Final = 12
"""Bytes before what a batch's length counts: its first offset and that length."""
_CODECS: Final[dict[int, Callable[[bytes], bytes]]] = {
    1: gzip_decode,
    2: snappy_decode,
    3: lz4_decode,
    4: zstd_decode,
}
_CODEC_BITS: Final = 0x07
_LZ4: Final = 3
_GZIP: Final = 16 + zlib.MAX_WBITS
UNPACKED_BYTES_MAX: Final = 16_777_216
"""What a compressed batch may unpack to. A client packs a megabyte at most; a megabyte of zeros comes to a gigabyte."""
_APPEND_TIME_BIT: Final = 0x08
_CONTROL_BIT: Final = 0x20
FORMAT: Final = 2
VARINT_BYTES_MAX: Final = 10
"""Of a number of 64 bits, seven in each byte."""
NAME_BYTES_SHOWN: Final = 100
"""So much of a header's name goes into the sentence about it."""

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(slots=True)
class Decoded:
    """One record; what could not be decoded of it is None, empty or escaped, and `error` says so in a sentence."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    error: str | None


@dataclass(frozen=True, slots=True)
class BatchHead:
    """What a batch says of itself before its records."""

    first: int
    attributes: int
    last: int
    first_timestamp: int
    max_timestamp: int

    @property
    def timestamp_type(self) -> int:
        """1 where the broker set the time, 0 where the producer did."""
        return int(bool(self.attributes & _APPEND_TIME_BIT))


class _Broken(Exception):
    """The bytes are not what the format says; the message is the sentence's end."""


def find_batch(fetched: bytes, offset: int, position: int = 0) -> slice | None:
    """Where in `fetched`, from a batch's `position` on, the batch lies that holds `offset` or is the first behind it.

    None where there is none, or none that this decoder decodes.
    """
    while position + _HEADER.size <= len(fetched):
        fields = _HEADER.unpack_from(fetched, position)
        end = position + _LOG_OVERHEAD + max(fields[1], 0)
        if fields[3] != FORMAT or not position + _HEADER.size <= end <= len(fetched):
            return None
        if fields[0] + fields[6] >= offset:
            # Only the broker writes control batches: they hold markers, not records.
            return None if fields[5] & _CONTROL_BIT else slice(position, end)
        position = end
    return None


def packed_too_large(fetched: bytes, position: int) -> tuple[bool, int]:
    """Whether the batch at a position is compressed and unpacks to too much, and where the next one begins."""
    if position + _HEADER.size > len(fetched):
        return False, len(fetched)
    fields = _HEADER.unpack_from(fetched, position)
    end = position + _LOG_OVERHEAD + max(fields[1], 0)
    packed = fields[3] == FORMAT and fields[5] & _CODEC_BITS and end <= len(fetched)
    return bool(packed) and unpacks_too_large(fetched[position:end]), end


def head_of(batch: bytes) -> BatchHead:
    """The head of a batch that `find_batch` found."""
    first, _, _, _, _, attributes, last_delta, first_timestamp, max_timestamp, *_ = _HEADER.unpack_from(batch)
    return BatchHead(first, attributes, first + last_delta, first_timestamp, max_timestamp)


def decoded(batch: bytes, begin: int) -> Iterator[Decoded]:
    """The records of a batch from the offset `begin` on, in order, each offset at most once and none beyond the last.

    They are never more than there are bytes of records.
    """
    head = head_of(batch)
    due = head.first
    """The least offset that the next record may have."""
    try:
        records, position = _records(batch, head)
        while position < len(records):
            length, position = _varint(records, position, len(records))
            end = position + length
            if not position < end <= len(records):
                raise _Broken(f"a record of {length} bytes does not fit")
            offset = head.first + _offset_delta(records, position, end)
            if not due <= offset <= head.last:
                raise _Broken(f"an offset is {offset}, outside {due} to {head.last}")
            due = offset + 1
            if offset >= begin:
                yield _record(records, position, end, head, offset)
            position = end
    except _Broken as broken:
        if max(due, begin) <= head.last:
            what = f"The producer batch from offset {head.first} on can't be decoded here: {broken}."
            yield Decoded(max(due, begin), head.max_timestamp, None, None, (), what)


def _records(batch: bytes, head: BatchHead) -> tuple[bytes, int]:
    """The bytes that hold the records, and where in them these begin."""
    codec = head.attributes & _CODEC_BITS
    if codec == 0:
        return batch, _HEADER.size
    # The commands topic has none: its broker stores uncompressed, so a batch is not larger than the topic allows.
    if codec not in _CODECS:
        raise _Broken(f"there is no compression {codec}")
    if unpacks_too_large(batch):
        raise _Broken(f"it unpacks to more than {UNPACKED_BYTES_MAX} bytes")
    try:
        return bytes(_CODECS[codec](batch[_HEADER.size :])), 0
    except Exception as error:
        raise _Broken(f"it can't be decompressed ({type(error).__name__})") from error


def unpacks_too_large(batch: bytes) -> bool:
    """Whether a batch unpacks to more than anybody should hold; never unpacks more than that to know it."""
    payload = batch[_HEADER.size :]
    match _HEADER.unpack_from(batch)[5] & _CODEC_BITS:
        case 1:
            try:
                return len(zlib.decompressobj(_GZIP).decompress(payload, UNPACKED_BYTES_MAX + 1)) > UNPACKED_BYTES_MAX
            except zlib.error:
                return False
        case 3 | 4 as codec:
            unpacker = cramjam.lz4 if codec == _LZ4 else cramjam.zstd
            try:
                unpacker.decompress_into(payload, bytearray(UNPACKED_BYTES_MAX))
            except Exception as error:  # noqa: BLE001 - what is garbled is for reading to tell
                return "whole buffer" in str(error)
    # Snappy makes at most 22 bytes of one, and a fetch is a megabyte.
    return False


def _offset_delta(records: bytes, position: int, end: int) -> int:
    """A record begins with a byte of attributes and its time; then it says which one it is."""
    _, position = _varint(records, position + 1, end)
    return _varint(records, position, end)[0]


def _record(records: bytes, position: int, end: int, head: BatchHead, offset: int) -> Decoded:
    timestamp = head.max_timestamp
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes | None]] = []
    error: str | None = None
    try:
        delta, position = _varint(records, position + 1, end)
        if not head.timestamp_type:
            timestamp = head.first_timestamp + delta
        _, position = _varint(records, position, end)
        key, position = _bytes(records, position, end)
        value, position = _bytes(records, position, end)
        count, position = _varint(records, position, end)
        for number in range(count):
            name, position = _bytes(records, position, end)
            content, position = _bytes(records, position, end)
            text, wrong = _name(name)
            headers.append((text, content))
            if wrong and error is None:
                error = f"The name of header {number + 1} is not UTF-8: {wrong}. Such names are escaped here."
        if count < 0 or position != end:
            raise _Broken(f"{count} headers end {end - position} bytes too early")
    except _Broken as broken:
        error = f"The record can't be decoded whole: {broken}."
    return Decoded(offset, timestamp, key, value, tuple(headers), error)


def _name(name: bytes | None) -> tuple[str, str | None]:
    """A header's name, escaped where it is no UTF-8, and then also what it is."""
    if name is None:
        raise _Broken("a header has no name")
    try:
        return name.decode(), None
    except UnicodeDecodeError:
        return name.decode("utf-8", "backslashreplace"), repr(name[:NAME_BYTES_SHOWN])


def _bytes(records: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    """Bytes behind their length; None where that is negative."""
    length, position = _varint(records, position, end)
    if length < 0:
        return None, position
    if position + length > end:
        raise _Broken(f"a field of {length} bytes does not fit")
    return records[position : position + length], position + length


def _varint(records: bytes, position: int, end: int) -> tuple[int, int]:
    """A zigzag number, and where it ends."""
    if position < end and records[position] < 0x80:
        # Nearly all are so short, and there are ten in a record.
        return (records[position] >> 1) ^ -(records[position] & 1), position + 1
    number = shift = 0
    for at in range(position, min(end, position + VARINT_BYTES_MAX)):
        byte = records[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at + 1
        shift += 7
    raise _Broken("a number has no end")
