"""Ways in without servers: records of the topics, batches as the broker hands them over, and files."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from struct import pack_into
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c

import contracts
from contracts.access import read_access
from contracts.jsontext import BODY_BYTES_MAX, Unreadable, compact
from contracts.topics import ACCESS_BYTES_MAX, RECORD_BYTES_MAX
from services.platform.auth.claims import ANYBODY, Claims, Flaw
from services.platform.auth.revocations import Revocations
from services.platform.auth.signing_keys import JWKS_BYTES_MAX, ensure_key, read_jwks
from services.platform.auth.tokens import Verifier, mint
from services.platform.kafka.record_batch import decoded
from services.platform.kafka.undecodable import FetchedRecords, PartitionRecords
from services.platform.settings import Settings
from services.reporting.records import Unreadable as UnreadableClosing
from services.reporting.records import read_record as read_closing
from services.sessions.ledger.profiles import BadRow, read_profiles
from services.sessions.tools.external_proofs import read_anchor
from services.sessions.worker.read_record import Headers, read, verify_with
from tests.costs.cost_fuzzer import Target, Work
from tests.support.dear_bodies import dear_bodies
from tests.support.full_commands import ADDED, body
from tests.support.headers import NotUtf8
from tests.support.till import TOPIC, Raw

JSON_TOKENS: Final = (
    *(b"[]", b"{}", b'""', b"0", b"-1", b"1e5", b"1.50", b"true", b"null", b'"a"', b"[[]]", b"[{}]", b"9" * 20),
    *(b'"\\ud800"', b'"\\u0041"', '"\U0001f600"'.encode(), b'"\xff"', b'{"\\ud800":1}', b"1e999999", b"-0", b"\\\\"),
    *(b",", b":", b" ", b"\n", b'"', b"[", b"]", b"{", b"}", b"NaN", b'{"a":1,"a":1}', b'"actor":', b'"counted":'),
    *(b'"denominations":', b'"payments":', b'"notes":', b'"sales_report":', b'"x":', b"9" * 5_000),
)
SMALL: Final = 4_000
"""Seeds among the known dear bodies have so many bytes: the search lets them grow."""
HEADER_BYTES: Final = 61
RECORDS: Final = 20
FILE_BYTES_MAX: Final = 1_000_000
HEADERS_BYTES: Final = 32_768
AT: Final = 1_772_438_400.0
GOOD: Final = compact(body("record_order"))
PROFILES: Final = (
    b"store_id,profile_id,name,currency,tenders,enabled\n"
    b'parrot,caja-2,Caja 2,MXN,"[{""id"":""cash"",""name"":""Efectivo"",""type"":""cash"",""currency"":""MXN"",'
    b'""exchange_rate"":""1""}]",true\n'
) + b"".join(b"parrot,caja-%d,Caja,MXN,,true\n" % number for number in range(3, 30))
ANCHOR: Final = b"".join(b"parrot/caja-%d 12 %s\n" % (number, b"0" * 64) for number in range(10))


GOLDEN: Final = Path(contracts.__path__[0]) / "golden"
PUBLIC_KEY: Final = {
    "kty": "OKP",
    "crv": "Ed25519",
    "use": "sig",
    "alg": "EdDSA",
    "kid": "",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}


def nobody(_headers: Headers, _at_ms: int, _store_id: str) -> Claims | Flaw:
    return "missing"


def anybody(_headers: Headers, _at_ms: int, _store_id: str) -> Claims | Flaw:
    return ANYBODY


def record(value: bytes, headers: Headers = ()) -> Any:
    return Raw(TOPIC, 0, 0, int(AT * 1_000), None, value, headers)


def record_targets(home: Path) -> list[Target]:
    """A record's value, without and with a good token, and its headers, where each token is seen the first time."""
    good, seeds = GOOD, [*dear_bodies(SMALL).values(), *(compact(body(kind)) for kind in ADDED)]
    settings = Settings(home=home)
    ensure_key(settings)
    token = mint(settings, sub="ana", role="admin", stores=("*",), ttl_s=3_600, now=AT)
    verifier = Verifier(settings.jwks, settings.token_issuer)
    verify = verify_with(verifier, Revocations)

    def with_headers(data: bytes) -> Work:
        lines = [line.partition(b":") for line in data.splitlines()]
        headers = tuple((name.decode("latin-1"), value.strip()) for name, _, value in lines)

        def work() -> None:
            verifier._known.clear()
            read(record(good, headers), verify)

        return work

    headers = b"authorization: Bearer %s\ntraceparent: 00-%b-%b-01" % (token.encode(), b"a" * 32, b"b" * 16)
    shapes = [b"authorization: Bearer " + part * 1_000 for part in (b".", b"a.", b"e30.")]
    tokens = (
        *JSON_TOKENS,
        b".",
        b"eyJhbGciOiJFZERTQSJ9",
        b"Bearer ",
        b"authorization: ",
        b"traceparent: ",
        b"e30",
        b"=",
    )
    return [
        Target(
            "record, no token",
            good,
            lambda v: partial(read, record(v), nobody),
            BODY_BYTES_MAX,
            12,
            200,
            1,
            JSON_TOKENS,
            seeds,
            (partial(read, record(good), anybody), len(good)),
        ),
        Target(
            "record, good token",
            good,
            lambda v: partial(read, record(v), anybody),
            BODY_BYTES_MAX,
            12,
            200,
            1,
            JSON_TOKENS,
            seeds,
        ),
        Target("record, headers", headers, with_headers, HEADERS_BYTES, 4, 60, 4, tokens, shapes),
    ]


def batch_targets() -> list[Target]:
    """Batches whose records are any bytes behind a head that fits: as they are fetched, and by our own decoder alone.

    Their records are uncompressed, as the broker stores them whatever was sent.
    """
    good, bad = _records(set()), _records({3, 7})
    tokens = (
        b"\x00",
        b"\x01",
        b"\x02",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\x80" * 9 + b"\x01",
        b"\x02\xff\x00",
        b"\xff" * 10,
    )
    seeds = [bad, _records(set(range(RECORDS))), bytes(SMALL), b"\x0c\x00\x00\x02\x01\x01\x00" * 500, b"\x02" * SMALL]

    def fetched(data: bytes) -> Work:
        batch = with_head(data)
        partition = TopicPartition(TOPIC, 0)

        def work() -> None:
            try:
                for _ in PartitionRecords(partition, FetchedRecords(batch), None, 0, None, None, True, 1):
                    pass
            except CorruptRecordException:
                pass  # These bytes are not what anybody sent: the library reads less than there is.

        return work

    return [
        Target("batch, as fetched", bad, fetched, BODY_BYTES_MAX, 12, 400, 1, tokens, [good, *seeds]),
        Target("batch, own decoder", good, _decoding, BODY_BYTES_MAX, 12, 400, 1, tokens, seeds),
    ]


def _decoding(data: bytes) -> Work:
    batch = with_head(data)
    return lambda: sum(1 for _ in decoded(batch, 0))


def _records(bad: set[int]) -> bytes:
    """The records of a batch; in the names of headers of the `bad` ones are bytes that are no UTF-8."""
    builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1_000_000)
    for offset in range(RECORDS):
        headers = [("authorization", b"Bearer x"), (NotUtf8("x") if offset in bad else "x", b"1")]
        builder.append(offset, 1_000, b"key", b'{"kind":"record_order"}', headers)
    return bytes(builder.build())[HEADER_BYTES:]


HEAD: Final = bytes(_DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 100).build())[:HEADER_BYTES]


def with_head(records: bytes) -> bytes:
    """A batch of these bytes that claims as many records as its bytes allow, with its length and checksum."""
    batch = bytearray(HEAD + records)
    pack_into(">i", batch, 8, len(batch) - 12)
    pack_into(">i", batch, 23, len(records))
    pack_into(">i", batch, 57, len(records))
    pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
    assert DefaultRecordBatch(bytes(batch)).validate_crc()
    return bytes(batch)


def other_record_targets() -> list[Target]:
    """Values of the access topic, which every process reads, and of the closings topic, which its readers do."""
    closings = [path.read_bytes() for path in sorted(GOLDEN.glob("closing*.json"))]
    rows = b'{"kind":"closing","tenders":[%b]}' % b",".join([b"{}"] * 150)
    access = (GOLDEN / "revoked.json").read_bytes()
    tokens = (*JSON_TOKENS, b'"kind":"closing"', b'"kind":"closing_correction"', b'"subject":', b'"store_id":"*"')
    good, read_value = closings[0], partial(_unless, UnreadableClosing, read_closing)
    return [
        Target(
            *("record of access", access, partial(_unless, Unreadable, read_access), ACCESS_BYTES_MAX, 12, 200, 1),
            *(tokens, [access, *dear_bodies(SMALL).values()]),
        ),
        Target(
            *("record of closings", good, read_value, RECORD_BYTES_MAX, 12, 200, 1),
            *(tokens, [*closings, rows, *dear_bodies(SMALL).values()]),
        ),
    ]


def _unless(unreadable: type[Exception], reads: Callable[[bytes], object], data: bytes) -> Work:
    def work() -> None:
        with suppress(unreadable):
            reads(data)

    return work


def file_targets(folder: Path) -> list[Target]:
    """Files that people give the command line, tills to import and heads that were noted, and a file of public keys."""
    tokens = (
        *JSON_TOKENS,
        *(b",", b"\n", b"\r", b'"', b'""', b"\x00", b"MXN", b"store_id", b"parrot", b"true", b"\xef\xbb\xbf"),
        *(b'"[""a""]"', b'"[{}]"', b'"[[]]"', b"[1]", b"[" * 30, b"\xe2\x80\xa8", b"/", b"0" * 64, b"1"),
    )
    keys = compact({"keys": [PUBLIC_KEY | {"kid": f"key-{number}"} for number in range(5)]})
    nested, rows = b"[" * 5_000, b",".join([b"{}"] * 5_000)
    seeds = [
        PROFILES,
        PROFILES.replace(b",,true", b",[%b],true" % nested, 1),
        PROFILES.replace(b",,true", b',"[%b]",true' % rows, 1),
        PROFILES.replace(b",,true", b',"[%b"' % b"9" * 5_000, 1),
    ]
    return [
        Target(
            "file of profiles", PROFILES, _from_file(folder, read_profiles), FILE_BYTES_MAX, 12, 200, 1, tokens, seeds
        ),
        Target("file of public keys", keys, _from_file(folder, read_jwks), JWKS_BYTES_MAX, 12, 200, 1, tokens),
        Target("file of noted heads", ANCHOR, _from_file(folder, read_anchor), FILE_BYTES_MAX, 12, 200, 1, tokens),
    ]


def _from_file(folder: Path, reads: Callable[[Path], object]) -> Callable[[bytes], Work]:
    path = folder / reads.__name__

    def work() -> None:
        try:
            reads(path)
        except BadRow:
            pass
        except ValueError as sentence:
            # A sentence for a person, and no other error that happens to be one.
            if type(sentence) is not ValueError:
                raise

    def prepare(data: bytes) -> Work:
        path.write_bytes(data)
        return work

    return prepare
