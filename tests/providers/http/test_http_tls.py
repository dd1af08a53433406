"""The probe `http` over TLS: whom it trusts, and what it says when it does not."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.providers.http.probe import HttpProbe, Response
from chaosrun.units import Duration
from chaosrun.web.client import Client

Files = Callable[..., str]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


def server_context(ca: trustme.CA, *names: str, **more: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, **more).configure_cert(context)
    return context


def polite(visit: Any) -> None:
    while visit.request():
        visit.answer(b"hello")


def observe(client: Client, url: str, **tls: Any) -> Response:
    return from_plain({"url": url, "tls": tls, "timeout": "3s"}, HttpProbe).observe(client)


def test_a_trusted_server_is_asked_on_one_connection(
    serve: Any, client: Client, ca: trustme.CA, ca_file: str
) -> None:
    server = serve(polite, context=server_context(ca, "127.0.0.1"))
    for _ in range(5):
        response = observe(client, server.url, ca=ca_file)
        assert (response.status, response.body, response.error) == (200, "hello", "")
    assert server.connections == 1


def test_the_days_that_a_certificate_has_left_are_seen(
    serve: Any, client: Client, ca: trustme.CA, ca_file: str
) -> None:
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=9)
    server = serve(polite, context=server_context(ca, "127.0.0.1", not_after=end))
    for _ in range(2):  # on a new connection, and on a kept one
        left = observe(client, server.url, ca=ca_file).certificate_days_left
        assert left is not None
        assert 8.9 < left <= 9
    unverified = observe(client, server.url, verify=False)
    assert unverified.status == 200
    assert unverified.certificate_days_left is None


def test_an_unknown_authority_is_a_result(serve: Any, client: Client, ca: trustme.CA) -> None:
    server = serve(polite, context=server_context(ca, "127.0.0.1"))
    response = observe(client, server.url)
    assert response.status == 0
    assert response.error.startswith("tls: unable to get local issuer")


def test_an_expired_certificate_is_a_result(
    serve: Any, client: Client, ca: trustme.CA, ca_file: str
) -> None:
    end = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    server = serve(polite, context=server_context(ca, "127.0.0.1", not_after=end))
    assert observe(client, server.url, ca=ca_file).error == "tls: certificate has expired"


def test_a_wrong_name_is_a_result_and_a_server_name_helps(
    serve: Any, client: Client, ca: trustme.CA, ca_file: str
) -> None:
    server = serve(polite, context=server_context(ca, "checkout.shop.example"))
    assert "mismatch" in observe(client, server.url, ca=ca_file).error
    named = observe(client, server.url, ca=ca_file, serverName="checkout.shop.example")
    assert named.status == 200


def test_a_client_certificate_is_shown(
    serve: Any, client: Client, ca: trustme.CA, ca_file: str, tmp_path: Path
) -> None:
    context = server_context(ca, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    server = serve(polite, context=context)
    ours = ca.issue_cert("probe@shop.example")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    ours.cert_chain_pems[0].write_to_path(cert)
    ours.private_key_pem.write_to_path(key)
    assert observe(client, server.url, ca=ca_file, cert=str(cert), key=str(key)).status == 200
    without = observe(client, server.url, ca=ca_file)
    assert without.status == 0
    assert without.error.startswith(("tls: ", "connection "))


def test_a_server_without_tls_is_a_result(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        visit.sock.recv(1000)
        visit.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = serve(behave)
    assert observe(client, server.url.replace("http:", "https:")).error.startswith("tls: ")


def test_a_handshake_that_stalls_ends_in_time(serve: Any, client: Client) -> None:
    server = serve(lambda visit: visit.wait_for_end())
    probe = HttpProbe(
        url=server.url.replace("http:", "https:"),
        timeout=Duration(0.3),
    )
    response = probe.observe(client)
    assert response.error == "timeout"
    assert response.latency.seconds < 5


def test_an_answer_that_dribbles_under_tls_ends_in_time(
    serve: Any, client: Client, ca: trustme.CA, ca_file: str
) -> None:
    def behave(visit: Any) -> None:
        visit.request()
        visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not visit.sock.settimeout(0.02):
            visit.say(b"x")
            try:
                if not visit.sock.recv(1):
                    return
            except TimeoutError:
                continue

    server = serve(behave, context=server_context(ca, "127.0.0.1"))
    written = {"url": server.url, "tls": {"ca": ca_file}, "timeout": "300ms"}
    response = from_plain(written, HttpProbe).observe(client)
    assert (response.status, response.error) == (0, "timeout")
    assert response.latency.seconds < 5


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_a_file_that_holds_no_certificate_makes_the_sample_unknown(
    client: Client, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Refused, match=r"cannot use the certificates in .*ca\.pem"):
        observe(client, "https://127.0.0.1:1/", ca=str(path))


def test_a_locked_key_is_refused_and_nobody_is_asked(
    client: Client, ca: trustme.CA, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization as form

    ours = ca.issue_cert("probe@shop.example")
    key = form.load_pem_private_key(ours.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"pw")
    )
    cert, path = tmp_path / "cert.pem", tmp_path / "key.pem"
    ours.cert_chain_pems[0].write_to_path(cert)
    path.write_bytes(locked)
    with pytest.raises(Refused):
        observe(client, "https://127.0.0.1:1/", cert=str(cert), key=str(path))


def test_a_renewed_authority_is_noticed(
    serve: Any, client: Client, ca: trustme.CA, tmp_path: Path
) -> None:
    server = serve(polite, context=server_context(ca, "127.0.0.1"))
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    assert observe(client, server.url, ca=str(path)).status == 0
    ca.cert_pem.write_to_path(path)
    assert observe(client, server.url, ca=str(path)).status == 200
