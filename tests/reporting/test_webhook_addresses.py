"""Where a webhook may be sent to: the public internet, and what the settings allow beyond it."""

import pytest

from services.platform.settings import Settings
from services.reporting.webhooks.addresses import BadUrl, is_allowed, read_url

PUBLIC = (
    "93.184.216.34",
    "8.8.8.8",
    "100.63.255.255",
    "172.32.0.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
)
INSIDE = (
    "127.0.0.1", "127.255.255.254", "0.0.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "169.254.170.2", "192.0.0.192", "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200", "192.88.99.1",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001::1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "100::1", "3fff::1",
    "::ffff:0:127.0.0.1", "::ffff:0:10.0.0.1", "5f00::1", "4000::1", "1fff::1", "64:ff9b::10.0.0.1", "2002:a9fe:a9fe::",
)  # fmt: skip
PRIVATE = Settings(webhooks_private_networks="10.1.0.0/16,127.0.0.1,fd12::/16").private_networks


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_is_allowed(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize("address", INSIDE)
def test_what_only_the_sender_reaches_is_not(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "fd12::9"])
def test_the_settings_allow_networks_by_name(address: str) -> None:
    assert is_allowed(address, PRIVATE)


@pytest.mark.parametrize("address", ["10.2.0.1", "127.0.0.2", "169.254.169.254", "fd13::1", "::1"])
def test_and_no_others(address: str) -> None:
    assert not is_allowed(address, PRIVATE)


@pytest.mark.parametrize(
    "url",
    [
        "http://books.example/till",
        "ftp://books.example/",
        "//books.example/",
        "https://",
        "https:///path",
        "https://ana:secret@books.example/",
        "https://books.example/#here",
        "https://books.example\\@10.0.0.1/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://books.example:99999/",
        "https://[::1/",
        "https://books.example/a b",
        "https://bücher.example/",
        "https://books.example/\r\nx: y",
        "https://books.example/" + "a" * 2_048,
    ],
)
def test_what_is_no_receiver_is_refused(url: str) -> None:
    with pytest.raises(BadUrl, match=r"\.$"):
        read_url(url)


@pytest.mark.parametrize(
    "url", ["https://books.example/till?code=1", "https://books.example:8443", "https://93.184.216.34/"]
)
def test_a_receiver_is_read(url: str) -> None:
    assert read_url(url).geturl() == url


def test_plain_http_is_for_allowed_networks_alone() -> None:
    assert read_url("http://10.1.0.1:8080/in", PRIVATE).port == 8080
    with pytest.raises(BadUrl, match=r"10\.2\.0\.1 is not on the public internet"):
        read_url("http://10.2.0.1/in", PRIVATE)
