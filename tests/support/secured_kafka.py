"""A broker of its own that asks who is there in each of the ways that companies' brokers do, and a token address.

It knows who may do what: nobody but USER and whoever asks nothing, until rights are given.
"""

import asyncio
import base64
import datetime as dt
import json
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from kafka.admin import KafkaAdminClient, UserScramCredentialUpsertion

from deploy.embedded import jars
from deploy.embedded.kafka import SETTINGS, answers, find_java, prepare
from deploy.embedded.trouble import free_port
from services.platform.settings import Settings
from tests.support.msk_door import REGION, Door, msk_door

USER: Final = "till"
READER: Final = "till-reporting"
"""Who has the rights that it is given and no others."""
SECRET: Final = "s3cret, with:odd/characters"
READY_S: Final = 90
DAY: Final = dt.timedelta(days=1)

ASKING: Final = """\
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAIN:SASL_PLAINTEXT,\
SCRAM:SASL_PLAINTEXT,OAUTH:SASL_SSL,MTLS:SSL,MSK:PLAINTEXT
listener.name.plain.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.plain.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.plain.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{secret}" user_{reader}="{secret}";
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.scram.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.oauth.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.oauth.sasl.oauthbearer.jwks.endpoint.url=file://{folder}/jwks.json
listener.name.oauth.sasl.oauthbearer.expected.audience=kafka
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mtls.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user};User:CN=client
"""


@dataclass
class TokenAddress:
    """Where tokens are had over https; counts how often."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class SecuredKafka:
    """The broker, its certificates, and settings for each way in."""

    folder: Path
    address: TokenAddress
    plaintext: str
    plain: str
    scram: str
    oauth: str
    mtls: str
    door: Door

    @property
    def msk(self) -> str:
        """Where Amazon's broker would be."""
        return self.door.address

    def settings(self, way: str, **more: Any) -> Settings:
        """Settings that come in by `way`: plain, scram-256, scram-512, oauth, mtls or msk."""
        folder, password = self.folder, self.folder / "secret"
        ways: dict[str, dict[str, Any]] = {
            "plain": {"kafka_security": "sasl_plaintext", "kafka_sasl_mechanism": "PLAIN"},
            "scram-256": {"kafka_security": "sasl_plaintext", "kafka_sasl_mechanism": "SCRAM-SHA-256"},
            "scram-512": {"kafka_security": "sasl_plaintext", "kafka_sasl_mechanism": "SCRAM-SHA-512"},
            "oauth": {
                "kafka_security": "sasl_ssl",
                "kafka_sasl_mechanism": "OAUTHBEARER",
                "kafka_token_url": self.address.url,
                "kafka_token_ca_file": folder / "ca.pem",
                "kafka_token_scope": "kafka",
            },
            "msk": {
                "kafka_security": "sasl_ssl",
                "kafka_sasl_mechanism": "AWS_MSK_IAM",
                "kafka_aws_region": REGION,
            },
            "mtls": {
                "kafka_security": "ssl",
                "kafka_cert_file": folder / "client.pem",
                "kafka_key_file": folder / "client-key.pem",
            },
        }
        by_name = way in {"plain", "scram-256", "scram-512", "oauth"}
        log_in = {"kafka_user": USER, "kafka_password_file": password} if by_name else {}
        trust = {"kafka_ca_file": folder / "ca.pem"} if way in {"oauth", "mtls", "msk"} else {}
        return Settings(**({"kafka": getattr(self, way.partition("-")[0])} | ways[way] | log_in | trust | more))


@asynccontextmanager
async def secured_kafka(folder: Path) -> AsyncIterator[SecuredKafka]:
    """The broker, for as long as the block lasts."""
    write_certificates(folder)
    (folder / "secret").write_text(SECRET)
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    (folder / "jwks.json").write_text(json.dumps({"keys": [public | {"kid": "k1", "use": "sig", "alg": "ES256"}]}))
    ports: list[int] = []
    while len(ports) < 8:
        ports.append(free_port(set(ports)))
    names = ("PLAINTEXT", "PLAIN", "SCRAM", "OAUTH", "MTLS")
    controller, behind_door, door_port = ports[5:]
    java, classes = find_java(), jars.class_path(lambda _: None)
    await prepare(folder, java, classes, _run)
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in zip(names, ports, strict=False))
    text = SETTINGS.format(port=ports[0], controller=controller, data=folder / "kafka" / "data")
    own = f"listeners=PLAINTEXT://127.0.0.1:{ports[0]}"
    # Whoever asks where the broker is at the door is told the door.
    for name, port in (("advertised.", door_port), ("", behind_door)):
        text = text.replace(f"\n{name}{own}", f"\n{name}listeners={listeners},MSK://127.0.0.1:{port}")
    (folder / "server.properties").write_text(
        text + ASKING.format(user=USER, reader=READER, secret=SECRET, folder=folder)
    )
    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{folder}/jwks.json"
    logging = f"-Dlog4j2.configurationFile={folder}/kafka/log4j2.properties"
    argv = [java, "-Xmx384m", "-XX:TieredStopAtLevel=1", allowed, logging, "-cp", classes, "kafka.Kafka"]
    with (folder / "broker.log").open("wb") as log, _token_address(folder, key) as address:
        broker = await asyncio.create_subprocess_exec(
            *argv, str(folder / "server.properties"), stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL
        )
        try:
            until = time.monotonic() + READY_S
            while not await answers(ports[0]):
                if broker.returncode is not None or time.monotonic() > until:
                    raise AssertionError((folder / "broker.log").read_text()[-3_000:])
                await asyncio.sleep(0.1)
            await asyncio.to_thread(_name_user, f"127.0.0.1:{ports[0]}")
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trust.load_cert_chain(folder / "broker.pem")
            async with msk_door(door_port, behind_door, trust) as door:
                yield SecuredKafka(folder, address, *(f"127.0.0.1:{port}" for port in ports[:5]), door)
        finally:
            if broker.returncode is None:
                broker.kill()
            await broker.wait()


async def _run(name: str, argv: list[str], *, user: str | None = None, folder: Path | None = None) -> None:
    ran = await asyncio.create_subprocess_exec(
        *argv, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await ran.communicate()
    assert (ran.returncode, user) == (0, None), f"{name}: {output.decode()[-2_000:]}"


def _name_user(bootstrap: str) -> None:
    """Whom the broker knows by SCRAM is in its own log, not in its settings."""
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            reply = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, mechanism, SECRET)])
            assert not any(reply.values()), reply


def write_certificates(folder: Path) -> None:
    """An authority, and what it signed for the broker and for a client; keys as PKCS #8, as Kafka reads them."""
    authority = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("authority", authority, "authority", authority, is_ca=True)
    (folder / "ca.pem").write_bytes(ca)
    for name in ("broker", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        certificate = _certificate(name, key, "authority", authority)
        (folder / f"{name}-key.pem").write_bytes(pem)
        (folder / f"{name}.pem").write_bytes(pem + certificate if name == "broker" else certificate)


def _certificate(name: str, key: Any, issuer: str, signer: Any, *, is_ca: bool = False) -> bytes:
    def named(common: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return built.public_bytes(Encoding.PEM)


@contextmanager
def _token_address(folder: Path, key: Any) -> Iterator[TokenAddress]:
    address = TokenAddress("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            basic = base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()
            address.asked.append({"basic": basic, **{name: values[0] for name, values in form.items()}})
            now = int(time.time())
            claims = {"sub": USER, "aud": "kafka", "iat": now, "exp": now + 3_600, "scope": "kafka"}
            token = jwt.encode(claims, key, "ES256", headers={"kid": "k1"})
            reply = json.dumps({"access_token": token, "expires_in": 3_600, "token_type": "Bearer"}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: Any) -> None:
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "broker.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    address.url = f"https://127.0.0.1:{server.server_port}/oauth/token"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
