"""Who may ask the server what: every request passes here before anything of it is decoded."""

import asyncio
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

MOST_IN_WORK = 64  # requests
MOST_BYTES = 2**23  # of a body
BODY_SECONDS = 10.0  # in which a body must have arrived
OPEN_PATHS = ("/api/docs", "/api/docs.js", "/api/docs.css")  # of the wheel; they know nothing
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self'; "
    "img-src 'self' blob: data:; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Door:
    """Where the server is, and what opens it.

    Parameters
    ----------
    port
        On which it listens.
    token
        That every request to the API must have.
    address
        At which it listens.

    Examples
    --------
    >>> door = Door(8765, "secret")
    >>> door.is_at("localhost:8765"), door.is_at("127.0.0.1.evil:8765")
    (True, False)
    """

    port: int
    token: str
    address: str = "127.0.0.1"

    def is_at(self, host: str) -> bool:
        """Tell whether a Host header names the server.

        A page of another site that made its name point here, by DNS, has that name in the header. Who listens on all
        addresses can be asked by any of them, but by no name.

        Parameters
        ----------
        host
            The header.

        Returns
        -------
        bool
            True for the loopback's names, and for the address at which it listens.
        """
        name, _, port = host.lower().rpartition(":")
        if port != str(self.port):
            return False
        address = name.removeprefix("[").removesuffix("]")
        if name in ("127.0.0.1", "localhost") or address == self.address:
            return True
        return self.address in ("0.0.0.0", "::") and _is_address(address)


def _is_address(text: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(text))
    return False


class RefusedError(Exception):
    """A request that is not answered.

    Parameters
    ----------
    status
        Of HTTP.
    line
        That says why.

    Examples
    --------
    >>> RefusedError(401, "no token").status
    401
    """

    def __init__(self, status: int, line: str):
        super().__init__(line)
        self.status, self.line = status, line


class Guard:
    """The application behind all guards.

    Parameters
    ----------
    app
        What answers the requests that pass.
    door
        Where the server is.

    Examples
    --------
    >>> guard = Guard(app=None, door=Door(8765, "secret"))
    >>> guard.check("GET", "/api/models", [(b"host", b"evil.example:8765")])
    Traceback (most recent call last):
    gridcloze.studio.guards.RefusedError: this server answers at http://127.0.0.1:8765 only
    """

    def __init__(self, app: App | None, door: Door):
        self.app, self.door, self.in_work = app, door, 0

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it; answers get the headers that tell browsers what the page may do."""
        assert self.app is not None
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [(name, value) for name, value in message["headers"] if name.lower() not in HEADERS]
                message = message | {"headers": [*own, *HEADERS.items()]}
            await send(message)

        try:
            self.check(scope["method"], scope["path"], scope["headers"])
            if scope["method"] == "POST":
                await self._work(scope, receive, send_with_headers)
            else:
                await self.app(scope, receive, send_with_headers)
        except RefusedError as refused:
            await _refuse(send_with_headers, refused)

    def check(self, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        """Refuse requests that another site, or somebody without the token, makes.

        Parameters
        ----------
        method, path, headers
            Of a request.

        Raises
        ------
        RefusedError
            With the status and the reason.
        """
        of = lambda name: [value.decode("latin-1") for one, value in headers if one.lower() == name]  # noqa: E731
        hosts = of(b"host")
        if len(hosts) != 1 or not self.door.is_at(hosts[0]):
            raise RefusedError(421, f"this server answers at http://{self.door.address}:{self.door.port} only")
        with_body = method not in ("GET", "HEAD")
        self._check_origin(of(b"origin"), of(b"sec-fetch-site"), with_body, path)
        if path.startswith("/api") and path not in OPEN_PATHS:
            given = "".join(of(b"authorization")).removeprefix("Bearer ").encode()
            if not secrets.compare_digest(given, self.door.token.encode()):
                raise RefusedError(401, "the token is missing or wrong: open the address that gridcloze studio printed")
        if method == "POST":
            kind = "".join(of(b"content-type")).split(";")[0].strip().lower()
            if kind != "application/json" or of(b"content-encoding"):
                raise RefusedError(415, f"a body of type {kind or 'unknown'} is not read: send application/json")
            if any(not length.isdigit() or int(length) > MOST_BYTES for length in of(b"content-length")):
                raise _too_large()

    def _check_origin(self, origins: list[str], sites: list[str], with_body: bool, path: str) -> None:
        """Requests with a body must say that they come from our own page, and no other may say that they do not."""
        own = [one.startswith("http://") and self.door.is_at(one.removeprefix("http://")) for one in origins]
        same = [site in ("same-origin", "none") for site in sites]
        stranger = not all(own) or (not all(same) and (with_body or path.startswith("/api")))
        if stranger or (with_body and not (own or same)):
            raise RefusedError(403, "only the server's own page may ask: send its address as Origin")

    async def _work(self, scope: Any, receive: Receive, send: Send) -> None:
        """Read the body and pass the request on, if not too many are in work."""
        assert self.app is not None
        if self.in_work >= MOST_IN_WORK:
            raise RefusedError(429, f"{MOST_IN_WORK} requests are in work: ask again in a second")
        self.in_work += 1
        try:
            body = await _body(receive)
            if body is not None:
                await self.app(scope, _replaying(body, receive), send)
        finally:
            self.in_work -= 1


async def _body(receive: Receive) -> bytes | None:
    """The body, or None if the client left."""
    parts, size = list[bytes](), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > MOST_BYTES:
                    raise _too_large()
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise RefusedError(408, f"the request did not arrive within {BODY_SECONDS:.0f} seconds") from None


def _too_large() -> RefusedError:
    return RefusedError(413, f"a request has at most {MOST_BYTES} bytes: give a smaller grid, or use gridcloze fill")


def _replaying(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read already, and after it what else comes: that the client left."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Any:
        return messages.pop() if messages else await receive()

    return replay


async def _refuse(send: Send, refused: RefusedError) -> None:
    body = json.dumps({"error": refused.line}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    if refused.status == 429:
        headers.append((b"retry-after", b"1"))
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
