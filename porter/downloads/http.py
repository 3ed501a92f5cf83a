"""One HTTP request: what is asked, redirects, and what each answer means for whoever wants a file.

requests does the talking, so that the user's proxies, certificates and ``.netrc`` hold.  Redirects are followed
here: a loop is named, and one that leads from https to http is refused.
"""

from __future__ import annotations

import email.utils
import http.client
import io
import os
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from porter.downloads.drivers.metered_pip import Metered, TooSlow
from porter.downloads.retry import WHY, RetryPolicy, is_offline
from porter.errors import redacted
from porter.output import printable
from porter.version import __version__

if TYPE_CHECKING:
    import requests

_SMALLEST, _LARGEST = 16 << 10, 512 << 10  # bytes read from the network at a time; what is larger leaves the
# processor's cache before it is written and hashed
_REDIRECTS = 10
_NUMBER = "[0-9]{1,20}"  # of bytes; more digits are no size
# Worth another try: the server is busy or confused. Everything else from 400 up is its answer.
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


class Refused(Exception):
    """The server will not give the file; the text says why."""


class Cut(Exception):
    """The request failed in a way that may not happen when it is tried again.

    Attributes:
        wait: seconds that the server asks to wait before it.
    """

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class NoSuchRange(Exception):
    """The file has no such bytes (416)."""


class _Reader(io.BufferedReader):
    """What http.client reads from: the size of a chunk may be a lie, and a negative one would mean all there is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise http.client.HTTPException("the size of a chunk is negative")
        return super().read(size)


def _meter(manager: Any, slowest: float, window: float) -> None:
    """Have the connections of one of urllib3's pool managers read at a minimum speed."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: Any, *rest: Any, **more: Any) -> None:
            super().__init__(sock, *rest, **more)
            self.fp = _Reader(Metered(self.fp.detach(), slowest, window))
            self._begun = 0

        def _read_status(self) -> Any:
            self._begun += 1
            if self._begun > _REDIRECTS:
                raise http.client.HTTPException("it says 100 Continue without end")
            return super()._read_status()  # type: ignore[misc]

    def metered(pool: Any) -> Any:
        connection = type("Connection", (pool.ConnectionCls,), {"response_class": Response})
        return type("Pool", (pool,), {"ConnectionCls": connection})

    pools = ("http", HTTPConnectionPool), ("https", HTTPSConnectionPool)
    manager.pool_classes_by_scheme = {scheme: metered(pool) for scheme, pool in pools}


class Answer:
    """A server's answer with the file, or a range of it, for a body.

    Attributes:
        partial: whether it is a range (206).
        version: the edition of the file, in the words that If-Range takes; empty if the server names none, or does not
            say that it gives ranges.
        length: of the body, if it is told.
        range: first byte, last byte and size of the whole file, as the server tells them; ``None`` if it does not.
    """

    def __init__(self, response: requests.Response, client: Client) -> None:
        self._response = response
        self._client = client
        headers = response.headers
        tag = headers.get("ETag", "")
        # a weak tag does not guarantee equal bytes; with none the date has to do
        version = tag if tag.startswith('"') else headers.get("Last-Modified", "")
        self.partial = response.status_code == 206
        self.version = version if self.partial or headers.get("Accept-Ranges", "").lower() == "bytes" else ""
        length = headers.get("Content-Length", "")
        chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self.length = int(length) if re.fullmatch(_NUMBER, length) and not chunked else None
        found = re.fullmatch(rf"bytes ({_NUMBER})-({_NUMBER})/({_NUMBER})", headers.get("Content-Range", ""))
        self.range = (int(found[1]), int(found[2]), int(found[3])) if found and self.partial else None

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()

    def chunks(self) -> Iterator[bytes]:
        """The body, piece by piece.

        Small pieces at first and from a slow server, for a piece that a cut interrupts is lost.

        Raises:
            Cut: the connection failed.
            Refused: it took too long.
        """
        import urllib3

        want = 4 * _SMALLEST
        while True:
            started = time.monotonic()
            try:
                chunk = self._response.raw.read(want, decode_content=False)
            except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
                raise _failure(error, self._response.url, self._client.policy.timeout) from error
            if not chunk:
                return
            yield chunk
            took = time.monotonic() - started
            if took < 0.05:
                want = min(want * 2, _LARGEST)
            elif took > 0.5:
                want = max(want // 2, _SMALLEST)
            self._client.check_time()


class Client:
    """A connection that is kept between requests; a context manager, for one thread."""

    def __init__(self, policy: RetryPolicy, deadline: float) -> None:
        import requests
        from requests.adapters import HTTPAdapter

        class Adapter(HTTPAdapter):
            def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
                super().init_poolmanager(*args, **kwargs)
                _meter(self.poolmanager, policy.slowest, policy.timeout)

            def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
                manager = super().proxy_manager_for(*args, **kwargs)
                if "socks" not in str(args[:1]):  # whose connections are of another kind
                    _meter(manager, policy.slowest, policy.timeout)
                return manager

        self.policy = policy
        self._deadline = deadline
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, Adapter())
        # what OpenSSL itself looks at; requests has its own variables, which are stronger, and else its own file
        self._session.verify = next((os.environ[name] for name in _OPENSSL if os.environ.get(name)), True)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def check_time(self) -> None:
        """Raise Refused if the time for everything together is over."""
        if time.monotonic() > self._deadline:
            raise Refused(f"it took longer than {self.policy.total:g} s")

    def get(self, url: str, start: int = 0, version: str = "") -> Answer:
        """Ask for a file, or for its bytes from ``start`` on if it still is of that version.

        Raises:
            Cut: a failure that may pass, or the server says that it is busy.
            Refused: any other failure, and an answer that cannot be the file.
            NoSuchRange: the server says that the file has no such bytes.
        """
        import requests

        if is_offline():
            raise Refused(WHY)
        headers = {"Accept-Encoding": "identity", "User-Agent": f"porter/{__version__}"}
        if start:
            headers.update({"Range": f"bytes={start}-", "If-Range": version})
        visited = [url]
        while True:
            timeout = max(min(self.policy.timeout, self._deadline - time.monotonic()), 0.001)
            try:
                response = self._session.get(
                    visited[-1], headers=headers, stream=True, timeout=timeout, allow_redirects=False
                )
            except (requests.RequestException, OSError, ValueError) as error:
                raise _failure(error, visited[-1], timeout) from error
            target = self._session.get_redirect_target(response)
            if target is None:
                break
            response.close()
            visited.append(_checked(visited, target))
        try:
            self._judge(response, asked_for_range=start > 0)
        except BaseException:
            response.close()
            raise
        return Answer(response, self)

    def _judge(self, response: requests.Response, *, asked_for_range: bool) -> None:
        """Raise what a status other than success means, and what a body that cannot be the file means."""
        status, where = response.status_code, shown(response.url)
        if status == 416 and asked_for_range:
            raise NoSuchRange(f"{where} has no such range")
        if status == 200 or (status == 206 and asked_for_range):
            coding = response.headers.get("Content-Encoding", "identity")
            length = response.headers.get("Content-Length", "0")
            if not re.fullmatch(_NUMBER, length):
                raise Refused(f"it says that the file is {length[:20]!r} bytes long")
            if coding != "identity":
                raise Refused(f"it sends the file encoded ({coding}), which it was asked not to do")
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise Refused("a web page came instead of the file: a login page of the network, perhaps")
            return
        said = f"it answers {status} {response.reason or ''}".strip()
        wait = _retry_after(response.headers.get("Retry-After", ""))
        if status in _TRANSIENT or (status == 403 and wait):
            if wait > self.policy.longest_wait:
                raise Refused(f"{said}, and asks to come back in {wait:.0f} s")
            raise Cut(said, wait)
        raise Refused(said)


def shown(url: str) -> str:
    """A URL for messages: without password and query, either of which may be a secret."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _checked(visited: list[str], target: str) -> str:
    """Where a redirect leads, if that may be followed."""
    url = urljoin(visited[-1], target)
    if urlsplit(url).scheme not in ("http", "https"):
        raise Refused(f"it redirects to {shown(url)}, which is no http or https")
    if urlsplit(visited[-1]).scheme == "https" and urlsplit(url).scheme == "http":
        raise Refused(f"it redirects from https to {shown(url)}, where anybody on the way could change the file")
    if url in visited:
        raise Refused(f"it redirects in a loop: {' -> '.join(map(shown, [*visited, url]))}")
    if len(visited) > _REDIRECTS:
        raise Refused(f"it redirects more than {_REDIRECTS} times, at last to {shown(url)}")
    return url


def _retry_after(text: str) -> float:
    """The header's seconds from now, given as a number or a date; 0 where it is neither."""
    if text.isdecimal():
        return float(text)
    date = email.utils.parsedate_tz(text)
    return max(email.utils.mktime_tz(date) - time.time(), 0.0) if date else 0.0


def _failure(error: Exception, url: str, timeout: float) -> Cut | Refused:
    """What an exception of requests or urllib3 means, in one line."""
    import requests
    import urllib3

    causes: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        one = todo.pop()
        if isinstance(one, BaseException) and one not in causes:
            causes.append(one)
            todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    slow = next((e for e in causes if isinstance(e, TooSlow)), None)
    if slow is not None:
        return Refused(str(slow)) if slow.hopeless else Cut(str(slow))
    untrusted = _certificates(url)
    if untrusted:
        return Refused(untrusted)
    if any(isinstance(e, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)) for e in causes):
        names = " or ".join((*_REQUESTS[:1], *_OPENSSL[:1]))
        return Refused(
            f"its certificate cannot be trusted: {_innermost(causes)}"
            f"; if your network has an authority of its own, name its file of certificates in {names}"
        )
    timeouts = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
    # urllib3 counts a refused connection as one that timed out
    if any(isinstance(e, timeouts) and not isinstance(e, urllib3.exceptions.NewConnectionError) for e in causes):
        return Cut(f"it said nothing for {timeout:g} s")
    if any(isinstance(e, http.client.IncompleteRead) for e in causes):
        return Cut("the connection ended early")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError)):
        return Refused(_bad_proxy(error, url) or f"{shown(url)} is no URL that can be asked: {redacted(error)}")
    if any(isinstance(e, http.client.HTTPException) and not isinstance(e, OSError) for e in causes):
        return Cut(f"its answer makes no sense: {_innermost(causes)}")
    proxied = any(isinstance(e, urllib3.exceptions.ProxyError) for e in causes)
    where = f"{urlsplit(url).hostname}{f' through the proxy {_proxy(url)}' if proxied else ''}"
    return Cut(f"cannot reach {where}: {_innermost(causes)}")


# variables that name a file or folder of certificates
_REQUESTS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_OPENSSL = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def _certificates(url: str) -> str:
    """What is wrong with the variable that names the certificates to trust; empty if it names some, or is not set."""
    name = next((name for name in (*_REQUESTS, *_OPENSSL) if os.environ.get(name)), "")
    path = os.environ.get(name, "")
    if not name or urlsplit(url).scheme != "https" or os.path.exists(path):
        return ""
    return f"{name} names {path}, which is not there: name a file of certificates, or unset it"


def _bad_proxy(error: Exception, url: str) -> str:
    """What is wrong with the proxy for a URL that cannot be asked; empty if it is not the proxy."""
    import requests

    proxy = _proxy(url)
    if not proxy:
        return ""
    if "SOCKS" in str(error):
        return f"{proxy} is a SOCKS proxy, for which the package PySocks is missing: pip install PySocks"
    if isinstance(error, requests.exceptions.InvalidProxyURL) or str(urlsplit(url).hostname) not in str(error):
        return f"{proxy} is no proxy's URL, such as http://host:3128: set it right, or unset it"
    return ""


def _proxy(url: str) -> str:
    """The variable that names the proxy for a URL, and its value without a password; empty if there is none."""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url)) or ""
    names = [name for name in os.environ if name.lower().endswith("_proxy") and os.environ[name] == proxy]
    value = proxy.rpartition("@")[2] if "://" not in proxy else redacted(proxy)
    return f"{names[0]} {value}" if names else value


def _innermost(causes: list[BaseException]) -> str:
    """The words of the operating system where there are any, else of the last cause."""
    for error in causes:
        if isinstance(error, OSError) and error.strerror and error.errno:
            return str(error.strerror)
    words = str(causes[-1])
    return printable(redacted(re.sub(r"<[^>]*>:? ?", "", words)).strip()) or type(causes[-1]).__name__
