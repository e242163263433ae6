"""Opens a file on the web. A redirect never leads from an address that the user chose into a private network."""

import http.client
import ipaddress
import socket
import urllib.request
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import urlsplit

from deepsing.local.failures import USAGE, CommandError

__all__ = ["open_url"]

Address = tuple[str, int]


def open_url(url: str, headers: Mapping[str, str], timeout_s: float) -> http.client.HTTPResponse:
    """Sends a GET and follows redirects.

    Args:
        url: http or https, chosen by the user; it may be in a private network.
        headers: of the request.
        timeout_s: without a byte.

    Raises:
        CommandError: a redirect leads away from https, or to another host whose address is not public.
        OSError: it cannot be reached, or answers with an error (urllib.error.HTTPError).
    """
    opener = urllib.request.build_opener(_Redirects, _PublicHttp, _PublicHttps)
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 - http and https only come here
    answer: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    return answer


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Marks requests that go to another host than the user chose."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
            raise CommandError(
                f"{req.full_url} leads to {newurl}, which is not encrypted; give an https address", USAGE
            )
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            moved = new.netloc.lower() != old.netloc.lower()
            setattr(request, MOVED, moved or getattr(req, MOVED, False))
            host = (new.hostname or "").strip("[]")
            if moved and _is_address(host):  # also where a proxy makes the connection
                _check_address(host, newurl)
        return request


MOVED = "deepsing_moved"  # attribute of a request that a redirect made


class _PublicHttp(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_choose(http.client.HTTPConnection, req), req)


class _PublicHttps(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_choose(http.client.HTTPSConnection, req), req)


def _choose(kind: type[http.client.HTTPConnection], request: urllib.request.Request) -> Any:
    """The maker of a request's connection: after a redirect, and without a proxy, to public addresses only."""

    def connect(host: str, **options: Any) -> http.client.HTTPConnection:
        connection = kind(host, **options)
        if getattr(request, MOVED, False) and not request.has_proxy():
            connection._create_connection = _connect_publicly  # type: ignore[attr-defined]
        return connection

    return connect


def _connect_publicly(address: Address, timeout: float, source: Address | None = None) -> socket.socket:
    """As socket.create_connection; the address that is checked is the one that is used, whatever DNS says next."""
    host, port = address
    addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for one in addresses:
        _check_address(one, host)
    failure = OSError(f"{host} has no address")
    for one in addresses:
        try:
            return socket.create_connection((one, port), timeout, source)
        except OSError as error:
            failure = error
    raise failure


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_address(address: str, where: str) -> None:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    if not (mapped or found).is_global or found.is_multicast:
        message = f"a redirect leads to {where}, which is in a private network ({address}); give that address to --from"
        raise CommandError(f"{message} if it is meant", USAGE)
