"""The decoder for what the client library can't decode: on good batches it agrees with it, on any bytes it is total."""

from aiokafka.record.default_records import (
    DefaultRecordBatch,
    DefaultRecordBatchBuilder,
    _DefaultRecordBatchBuilderPy,
)
from hypothesis import given
from hypothesis import strategies as st

from services.platform.kafka.record_batch import decoded, find_batch, head_of
from tests.support.headers import NotUtf8

HEADER_BYTES = 61

texts = st.text(max_size=8).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)
contents = st.none() | st.binary(max_size=200)
records = st.tuples(contents, contents, st.lists(st.tuples(texts, contents), max_size=4))
batches = st.lists(records, min_size=1, max_size=20)
Records = list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]]


def built(records: Records, codec: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1_000_000)
    for offset, (key, value, headers) in enumerate(records):
        assert builder.append(offset, 1_000 + offset, key, value, headers) is not None
    return bytes(builder.build())


def with_bad_names(offsets: set[int], count: int) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1_000_000)
    for offset in range(count):
        name = NotUtf8("x") if offset in offsets else "x"
        builder.append(offset, 1_000, b"key", b"%d" % offset, [("first", b"1"), (name, None)])
    return bytes(builder.build())


@given(batches, st.integers(0, 4))
def test_good_batches_are_decoded_as_the_library_decodes_them(records: Records, codec: int) -> None:
    batch = built(records, codec)
    expected = [(r.offset, r.timestamp, r.key, r.value, tuple(r.headers), None) for r in DefaultRecordBatch(batch)]
    assert [(d.offset, d.timestamp, d.key, d.value, d.headers, d.error) for d in decoded(batch, 0)] == expected


@given(batches, st.integers(0, 25))
def test_records_before_the_one_that_is_asked_for_are_left_out(records: Records, begin: int) -> None:
    assert [one.offset for one in decoded(built(records), begin)] == list(range(begin, len(records)))


@given(batches, st.data())
def test_whatever_the_bytes_are_decoding_ends_with_records_in_order(records: Records, data: st.DataObject) -> None:
    batch = bytearray(built(records))
    for _ in range(data.draw(st.integers(1, 6))):
        batch[data.draw(st.integers(HEADER_BYTES, len(batch) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(batch[: data.draw(st.integers(HEADER_BYTES, len(batch)))])
    offsets = [one.offset for one in decoded(cut, 0)]
    assert offsets == sorted(set(offsets))
    assert all(0 <= offset < len(records) for offset in offsets)


@given(st.binary(max_size=300), st.integers(0, 255))
def test_a_head_of_any_bytes_is_survived(some: bytes, attributes: int) -> None:
    batch = bytearray(built([(None, some, [])]))
    batch[22] = attributes
    batch[HEADER_BYTES:] = some
    assert len(list(decoded(bytes(batch), 0))) <= len(some) + 1


@given(st.binary(max_size=400), st.integers(-5, 5), st.integers(0, 400))
def test_looking_for_a_batch_ends_within_the_bytes(fetched: bytes, offset: int, position: int) -> None:
    span = find_batch(fetched, offset, position)
    assert span is None or position <= span.start < span.stop <= len(fetched)


def test_a_bad_header_name_is_escaped_and_named_and_harms_no_other_record() -> None:
    decoding = list(decoded(with_bad_names({1}, 3), 0))
    assert [one.value for one in decoding] == [b"0", b"1", b"2"]
    assert decoding[1].headers == (("first", b"1"), ("\\xff\\xfe", None))
    assert [one.error for one in (decoding[0], decoding[2])] == [None, None]
    assert decoding[1].error == "The name of header 2 is not UTF-8: b'\\xff\\xfe'. Such names are escaped here."


def test_a_record_that_does_not_fit_ends_its_batch_as_one_record_of_which_only_the_place_is_known() -> None:
    batch = built([(b"k", b"v" * 10, [])] * 5)
    decoding = list(decoded(batch[:-7], 0))
    assert [(one.offset, one.value, one.error is None) for one in decoding[:4]] == [
        (n, b"v" * 10, True) for n in range(4)
    ]
    assert (decoding[4].offset, decoding[4].value) == (4, None)
    assert decoding[4].error is not None
    assert "does not fit" in decoding[4].error
    assert head_of(batch).last == 4
