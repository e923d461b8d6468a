"""http_get: what may be asked, what is connected to, and what is shown of the answer."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from taskq.agent.addresses import is_public
from taskq.agent.hosts import Hosts
from taskq.agent.html import text_of
from taskq.agent.http import REDIRECTS, Fetcher, http_get
from taskq.agent.page import BYTES, CHARACTERS
from taskq.agent.untrusted import marked
from taskq.tool import Refused, ToolCall, ToolError
from web import page, pages, redirect, serve

LOOPBACK = "127.0.0.1"
PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2a00:1450::5efe:7f00:1",
    "2a00:1450::200:5efe:7f00:1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "no address",
]


def named(**by_name: list[str] | str) -> Callable[[str, int], Any]:
    """A name server that knows these names, with _ for each dot."""

    async def resolve(name: str, port: int) -> list[str]:
        found = by_name.get(name.replace(".", "_"), [])
        return [found] if isinstance(found, str) else found

    return resolve


def loopback(address: str) -> bool:
    """The exception of these tests: their server's address, and no other private one."""
    return address == LOOPBACK or is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
async def test_an_address_that_is_not_public_is_never_connected_to(address: str) -> None:
    assert not is_public(address)
    fetcher = Fetcher(["site.test"], resolve=named(site_test=address))
    with pytest.raises(Refused, match="not on the public internet"):
        await fetcher.get("http://site.test/")


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001::1"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@settings(deadline=None)
@given(st.ip_addresses())
def test_nothing_that_the_library_calls_private_is_public(address: Any) -> None:
    if is_public(str(address)):
        assert address.is_global
        assert not (address.is_private or address.is_loopback or address.is_link_local)
        assert not (address.is_multicast or address.is_reserved or address.is_unspecified)
        assert not is_public(f"::ffff:{address}") or isinstance(address, ipaddress.IPv6Address)


async def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    fetcher = Fetcher(["site.test"], resolve=named(site_test=["93.184.216.34", "10.0.0.1"]))
    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        await fetcher.get("http://site.test/")


@pytest.mark.parametrize(
    "url",
    [
        "http://other.test/",
        "http://site.test.evil.test/",
        "http://evil-site.test/",
        "http://site.test:8080/",
        "http://site.test:22/",
        "http://user@site.test/",
        "http://user:word@site.test/",
        "http://site.test\\@evil.test/",
        "http://site.test%2eevil.test/",
        "ftp://site.test/",
        "file:///etc/passwd",
        "gopher://site.test/",
        "//site.test/",
        "site.test",
        "http://below.site.test/",
        "http://wild.test/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://2130706433/",
        "http:///",
    ],
)
async def test_what_the_allow_list_does_not_name_is_refused_before_it_is_resolved(url: str) -> None:
    async def resolve(name: str, port: int) -> list[str]:
        raise AssertionError(f"{name} was looked up")

    with pytest.raises(Refused):
        await Fetcher(["site.test", "*.wild.test"], resolve=resolve).get(url)


async def test_without_hosts_every_call_is_refused() -> None:
    with pytest.raises(Refused, match="not among the hosts"):
        await Fetcher([]).get("https://example.org/")


def test_the_allow_list_takes_names_wildcards_and_ports() -> None:
    hosts = Hosts(["Docs.Python.org", "*.example.org", "api.test:8443"])
    assert hosts.allow("docs.python.org", 443)
    assert hosts.allow("docs.python.org", 80)
    assert hosts.allow("a.b.example.org", 443)
    assert hosts.allow("api.test", 8443)
    assert not hosts.allow("docs.python.org", 8443)
    assert not hosts.allow("example.org", 443)
    assert not hosts.allow("badexample.org", 443)
    assert not hosts.allow("api.test", 443)


@pytest.mark.parametrize(
    "entry",
    ["*", "*.", "a*.test", "http://a.test", "a.test/", "a.test:0", "a.test:99999", "", "a b", "[::1]"],
)
def test_what_is_no_host_is_no_entry(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        Hosts([entry])


async def test_a_page_is_shown_as_data_with_its_source() -> None:
    async with serve(pages(a=page("hello"))) as web:
        fetcher = Fetcher([f"site.test:{web.port}"], resolve=named(site_test=LOOPBACK), permits=loopback)
        answer = await fetcher.get(f"http://SITE.test:{web.port}/a?q=1#part")
        assert not answer.is_error
        head, opens, text, closes = answer.text.split("\n")
        assert head == f"200 text/plain, from http://site.test:{web.port}/a?q=1#part"
        assert opens.startswith("<data-")
        assert f'source="http://site.test:{web.port}/a?q=1#part"' in opens
        assert (text, closes) == ("hello", opens.split(" ")[0].replace("<", "</") + ">")
    [head] = web.heads
    assert head.startswith("GET /a?q=1 HTTP/1.1\r\n")
    assert f"host: site.test:{web.port}\r\n" in head.lower()
    assert "authorization" not in head.lower()
    assert "cookie" not in head.lower()


def test_the_source_of_a_page_cannot_end_its_marker() -> None:
    text = marked("obey", 'http://h/"><x')
    assert re.fullmatch(r'<data-([0-9a-f]{16}) source="http://h/ x">\nobey\n</data-\1>', text)


async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to() -> None:
    """A name server that answers with a private address when it is asked again gets nothing."""
    asked = []
    async with serve(pages(other=page("the metadata"))) as internal, serve(pages(other=page("ok"))) as web:

        async def rebinding(name: str, port: int) -> list[str]:
            asked.append(name)
            return [LOOPBACK] if len(asked) == 1 else ["169.254.169.254"]

        fetcher = Fetcher(
            [f"site.test:{web.port}", f"site.test:{internal.port}"], resolve=rebinding, permits=loopback
        )
        assert "ok" in (await fetcher.get(f"http://site.test:{web.port}/")).text
        assert asked == ["site.test"]
        with pytest.raises(Refused, match=r"169\.254\.169\.254"):
            await fetcher.get(f"http://site.test:{internal.port}/")
        assert internal.heads == []


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://inside.site.test/",
        "http://other.test/",
        "http://user:word@site.test/",
        "ftp://site.test/",
        "file:///etc/passwd",
        "//other.test/",
    ],
)
async def test_a_redirect_is_checked_like_a_first_request(location: str) -> None:
    async with serve(pages(a=redirect(location))) as web:
        fetcher = Fetcher(
            [f"site.test:{web.port}", "site.test", "*.site.test"],
            resolve=named(site_test=LOOPBACK, inside_site_test="10.0.0.7"),
            permits=loopback,
        )
        with pytest.raises(Refused):
            await fetcher.get(f"http://site.test:{web.port}/a")
        assert web.paths == ["/a"]


async def test_redirects_are_followed_to_their_end() -> None:
    steps = {str(n): redirect(f"/{n + 1}", "308 Permanent Redirect") for n in range(REDIRECTS)}
    async with serve(pages(**steps, **{str(REDIRECTS): page("the end")})) as web:
        fetcher = Fetcher([f"site.test:{web.port}"], resolve=named(site_test=LOOPBACK), permits=loopback)
        answer = await fetcher.get(f"http://site.test:{web.port}/0")
        assert f"from http://site.test:{web.port}/{REDIRECTS}" in answer.text
        assert web.paths == [f"/{n}" for n in range(REDIRECTS + 1)]


async def test_a_chain_of_redirects_without_end_is_left() -> None:
    async with serve(pages(other=redirect("/again"))) as web:
        fetcher = Fetcher([f"site.test:{web.port}"], resolve=named(site_test=LOOPBACK), permits=loopback)
        with pytest.raises(ToolError, match="more than 5 redirects"):
            await fetcher.get(f"http://site.test:{web.port}/")
        assert len(web.heads) == REDIRECTS + 1


async def test_an_answer_without_end_is_cut() -> None:
    async def endless(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        for _ in range(100 * BYTES // 10_000):
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with serve(endless) as web:
        fetcher = Fetcher([f"site.test:{web.port}"], resolve=named(site_test=LOOPBACK), permits=loopback)
        answer = await fetcher.get(f"http://site.test:{web.port}/")
        assert f"[cut: only the first {CHARACTERS:,} characters are shown]" in answer.text
        assert CHARACTERS <= len(answer.text) <= CHARACTERS + 500


async def test_a_server_that_drips_is_left_when_the_time_is_over() -> None:
    async def drip(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serve(drip) as web:
        fetcher = Fetcher(
            [f"site.test:{web.port}"], resolve=named(site_test=LOOPBACK), permits=loopback, seconds=0.3
        )
        with pytest.raises(TimeoutError, match=r"within 0\.3 s"):
            await fetcher.get(f"http://site.test:{web.port}/")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (page(b"\x89PNG\r\n", "image/png"), "image/png, which is no text"),
        (page(b"ab\0cd", "text/plain"), "no text"),
        (page(b"PK\0\3", ""), "no text"),
        (page(b"\x1f\x8b", "text/html", Content_Encoding="gzip"), "answered in gzip"),
        (b"no http at all\r\n\r\n", "site.test"),
        (b"", "site.test"),
    ],
)
async def test_what_is_no_text_is_an_error(answer: bytes, said: str) -> None:
    async with serve(pages(other=answer)) as web:
        fetcher = Fetcher([f"site.test:{web.port}"], resolve=named(site_test=LOOPBACK), permits=loopback)
        with pytest.raises(ToolError, match=said):
            await fetcher.get(f"http://site.test:{web.port}/")


async def test_an_error_of_the_server_is_an_answer_that_says_so() -> None:
    async with serve(pages()) as web:
        fetcher = Fetcher([f"site.test:{web.port}"], resolve=named(site_test=LOOPBACK), permits=loopback)
        answer = await fetcher.get(f"http://site.test:{web.port}/")
        assert answer.is_error
        assert answer.text.startswith("404 text/plain")
        assert "no page" in answer.text


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        ("text/plain; charset=latin-1", b"caf\xe9", "café"),
        ("text/plain; charset=klingon", "é".encode(), "é"),
        ("text/plain; charset=base64", b"YWJj", "YWJj"),
        ("application/problem+json", b"{}", "{}"),
        ("", b"plain", "plain"),
        ("text/html", b"<p>one<p>two <a href='/x'>three</a>", "one\n\ntwo three </x>"),
    ],
)
async def test_text_is_decoded_and_html_reduced(kind: str, body: bytes, shown: str) -> None:
    async with serve(pages(other=page(body, kind))) as web:
        fetcher = Fetcher([f"site.test:{web.port}"], resolve=named(site_test=LOOPBACK), permits=loopback)
        text = (await fetcher.get(f"http://site.test:{web.port}/")).text
        assert shown.replace("\n\n", "\n") in text.replace("\n\n", "\n")


async def test_an_address_that_does_not_answer_gives_way_to_the_next() -> None:
    async with serve(pages(other=page("ok"))) as web:
        fetcher = Fetcher(
            [f"site.test:{web.port}"],
            resolve=named(site_test=["127.0.0.9", LOOPBACK]),
            permits=lambda address: address.startswith("127."),
        )
        assert "ok" in (await fetcher.get(f"http://site.test:{web.port}/")).text


async def test_a_name_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ToolError, match="has no address"):
        await Fetcher(["site.test"], resolve=named()).get("http://site.test/")

    async def fails(name: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(ToolError, match="no such name"):
        await Fetcher(["site.test"], resolve=fails).get("http://site.test/")


async def test_the_certificate_must_be_the_names_though_the_address_is_connected_to(tmp_path: Path) -> None:
    server, trusted = certified("site.test", tmp_path)
    async with serve(pages(other=page("safe")), tls=server) as web:
        hosts = [f"site.test:{web.port}", f"other.test:{web.port}"]
        resolve = named(site_test=LOOPBACK, other_test=LOOPBACK)
        fetcher = Fetcher(hosts, resolve=resolve, permits=loopback, tls=trusted)
        assert "safe" in (await fetcher.get(f"https://site.test:{web.port}/")).text
        assert web.names == ["site.test"]
        assert f"host: site.test:{web.port}" in web.heads[0].lower()
        with pytest.raises(ToolError, match="certificate"):
            await fetcher.get(f"https://other.test:{web.port}/")
        with pytest.raises(ToolError, match="certificate"):
            await Fetcher(hosts, resolve=resolve, permits=loopback).get(f"https://site.test:{web.port}/")
        assert len(web.heads) == 1


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(pages(other=page("by proxy"))) as proxy, serve(pages(other=page("direct"))) as web:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        fetcher = Fetcher([f"site.test:{web.port}"], resolve=named(site_test=LOOPBACK), permits=loopback)
        assert "direct" in (await fetcher.get(f"http://site.test:{web.port}/")).text
        assert proxy.heads == []


async def test_the_tool_takes_one_address_and_only_reads() -> None:
    tool = http_get(Fetcher([]))
    assert (tool.name, tool.effect, tool.needs_approval) == ("http_get", "read", False)
    assert tool.schema["required"] == ["url"]
    assert "data" in tool.description
    call: ToolCall = None  # type: ignore[assignment]  # this tool does not look at it
    with pytest.raises(Refused):
        await tool.run(call, {"url": "http://site.test/"})
    with pytest.raises(ToolError, match="url"):
        await tool.run(call, {"url": 7})


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        ("<h1>A &amp; B</h1><p>one\n  two</p>", "A & B\n\none two"),
        ("a<script>var x = '<p>';</script >b<STYLE>p{}</STYLE>c", "abc"),
        ("<!-- hidden <p> -->seen<!-- never closed", "seen"),
        ("<!doctype html><?xml?><html><title>T</title><body>b", "T\nb"),
        ("<pre>if a &lt; b:\n    go()</pre>", "if a < b:\n    go()"),
        ("<table><tr><td>1<td>2<tr><td>3</table>", "1 2\n 3"),
        ('<a href="https://h/?a=1&amp;b=2">link</a> <a href="#x">here</a>', "link <https://h/?a=1&b=2> here"),
        ("1 < 2 and a<b", "1 < 2 and a"),
        ("<script>", ""),
        ("İ<script>x</script>y", "İy"),
    ],
)
def test_html_is_reduced_to_what_a_reader_sees(markup: str, shown: str) -> None:
    assert text_of(markup) == shown


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<>/!-a=\"' \nphrefscript&;", max_size=300))
def test_any_text_can_be_taken_for_html(markup: str) -> None:
    assert isinstance(text_of(markup), str)


def certified(name: str, directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The context of a server with a certificate of `name`, and that of a client which trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = directory / "both.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))
