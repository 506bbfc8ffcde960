"""The server: addresses and what answers at each, the files of the page, and how it is started."""

import asyncio
import json
import secrets
import socket
import sys
import tempfile
import threading
import traceback
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException as AnyHTTPException

from ..words import REPORT, InputError, __version__
from .desk import Desk, Job
from .guards import Door, Guard
from .operations import OPERATIONS, Model, load_models, question
from .schemas import GridRequest, ModelList, Problem, model_of
from .single import BUILT
from .watching import GoneError

PORT = 8765
HERE = Path(__file__).parent
LINES = "application/x-ndjson"
SECONDS_BETWEEN = 0.25  # two lines of progress
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>gridcloze studio</title>
<h1>The page is not built</h1><p>This copy of gridcloze comes from a clone whose page has not been built yet. Stop the
server, run <code>make studio</code> in the clone (it needs Node and npm), and start again.</p>
<p>The API works without the page: <a href="/api/docs">see its documentation</a>.</p></html>"""
PROBLEMS = {
    400: "The body is not JSON",
    401: "The token is missing or wrong",
    403: "Another site asks",
    404: "There is no such model",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    421: "Another host is meant",
    422: "What is asked makes no sense; with the words of the command line",
    429: "Too many requests are in work; Retry-After says when to ask again",
    500: "A bug of gridcloze",
}


def make_app(models: Sequence[Model], door: Door) -> Guard:
    """Make the application.

    Parameters
    ----------
    models
        That can be asked.
    door
        Where it will be served.

    Returns
    -------
    Guard
        An ASGI application, behind all guards.

    Examples
    --------
    >>> make_app([], Door(8765, "secret")).in_work
    0
    """
    desk, by_id = Desk(), {model.id: model for model in models}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    about = "Fill the hidden cells of grids, with probabilities: the answers of the command line, as JSON."
    app = FastAPI(
        title="gridcloze",
        version=__version__,
        summary=about,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(HTTPBearer(auto_error=False, description="The token in the printed address"))],
        responses={status: {"model": model_of(Problem), "description": text} for status, text in PROBLEMS.items()},
    )
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(AnyHTTPException, _problem)
    app.add_exception_handler(Exception, _bug)

    @app.get("/api/models", response_model=model_of(ModelList), summary="List the models")
    def list_models() -> Response:
        return JSONResponse({"models": [model.entry() for model in models]})

    for name, operation in OPERATIONS.items():
        app.add_api_route(
            f"/api/models/{{model_id}}/{name}",
            _endpoint(name, operation.request, by_id, desk),
            methods=["POST"],
            name=name,
            summary=operation.summary,
            description=f"With Accept: {LINES} the answer comes as lines: the progress, and the result or an error.",
            response_model=model_of(operation.answer),
            responses={200: {"content": {LINES: {"schema": {"type": "string"}}}}},
        )

    @app.get("/{path:path}", include_in_schema=False)
    def page(path: str) -> Response:
        return _file(path)

    return Guard(app, door)


def _endpoint(name: str, kind: type[GridRequest], by_id: dict[str, Model], desk: Desk) -> Callable[..., Any]:
    """What answers requests of one operation."""

    async def answer(model_id: str, body: Any, request: Request) -> Response:
        if model_id not in by_id:
            raise HTTPException(404, f"there is no model {model_id!r}; the models are {', '.join(by_id) or 'none'}")
        try:
            asked = await asyncio.to_thread(question, by_id[model_id], name, body)
            job = desk.ask(asked)
            if LINES in request.headers.get("accept", ""):
                return StreamingResponse(_lines(job), media_type=LINES)
            return Response(await _answer(job, request), media_type="application/json")
        except InputError as error:
            raise HTTPException(422, str(error)) from None
        except GoneError:
            return Response(status_code=499)  # nobody reads it
        except RuntimeError as error:
            raise HTTPException(500, str(error)) from None

    answer.__annotations__["body"] = kind
    return answer


async def _answer(job: Job, request: Request) -> bytes:
    """The answer; the work ends if the client leaves before."""
    leaving = asyncio.ensure_future(request.receive())
    answer = _future(job)
    try:
        await asyncio.wait((leaving, answer), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise GoneError
        return answer.result()
    finally:
        job.leave()
        leaving.cancel()


def _future(job: Job) -> "asyncio.Future[bytes]":
    """The answer, which may come when nobody waits any more."""
    answer = asyncio.wrap_future(job.answer)
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
    return answer


async def _lines(job: Job) -> AsyncIterator[bytes]:
    """Progress, and at last the result or an error; if the client leaves, this is closed."""
    answer = _future(job)
    try:
        while not answer.done():
            yield json.dumps({"progress": round(job.watch.share, 4)}).encode() + b"\n"
            await asyncio.wait((answer,), timeout=SECONDS_BETWEEN)
        try:
            yield b'{"result": ' + answer.result() + b"}\n"
        except (InputError, RuntimeError) as error:
            yield json.dumps({"error": str(error)}).encode() + b"\n"
    finally:
        job.leave()


def _invalid(request: Request, error: Any) -> Response:
    """The first fault of a request in a line: where it is, and what it must be."""
    first = error.errors()[0]
    where = ".".join(str(one) for one in first["loc"] if one != "body")
    if first["type"] == "json_invalid":
        return JSONResponse({"error": "the body is not JSON"}, 400)
    return JSONResponse({"error": f"{where or 'the body'}: {first['msg'][:1].lower()}{first['msg'][1:]}"}, 422)


def _problem(request: Request, error: Any) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


def _bug(request: Request, error: Any) -> Response:
    traceback.print_exception(error, file=sys.stderr)
    return JSONResponse({"error": REPORT}, 500)


def _file(path: str) -> Response:
    """A file of the page or of the documentation of the API; nothing outside of their folders."""
    if path in ("api/docs", "api/docs.js", "api/docs.css"):
        place, folder = HERE / "docs" / Path(path).with_suffix(Path(path).suffix or ".html").name, HERE / "docs"
    else:
        place, folder = BUILT / (path or "index.html"), BUILT
    with suppress(OSError, ValueError):  # a name that no file can have
        place = place.resolve()
        if place.is_relative_to(folder.resolve()) and place.is_file() and place.suffix in TYPES:
            return FileResponse(place, media_type=TYPES[place.suffix])
    if not path and not BUILT.is_dir():
        return HTMLResponse(NOT_BUILT)
    raise HTTPException(404, "there is nothing at this address")


# Starting


@contextmanager
def opened(url: str, browser: bool) -> Iterator[None]:
    """Open the page in a browser, by way of a file that no other user can read.

    What a browser is started with can be seen by every user of the machine, and the address has the token in it.

    Parameters
    ----------
    url
        The address with the token.
    browser
        Whether to open one.

    Yields
    ------
    None
        While the file is there.

    Examples
    --------
    >>> with opened("http://127.0.0.1:8765/#token=secret", browser=False):
    ...     pass
    """
    if not browser:
        yield
        return
    with tempfile.NamedTemporaryFile("w", prefix="gridcloze-", suffix=".html") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={url}"><a href="{url}">studio</a>')
        file.flush()
        place = Path(file.name).as_uri()
        threading.Thread(target=webbrowser.open, args=(place,), daemon=True).start()  # some wait for their end
        yield


def bind(address: str, port: int) -> socket.socket:
    """Take the port before anything else is done.

    Parameters
    ----------
    address
        Where to listen.
    port
        On which; 0 for any that is free.

    Returns
    -------
    socket
        That listens.

    Raises
    ------
    InputError
        If the port is in use, or the address is none of this machine.

    Examples
    --------
    >>> taken = bind("127.0.0.1", 0)
    >>> bind("127.0.0.1", taken.getsockname()[1])
    Traceback (most recent call last):
    gridcloze.words.InputError: port ... is in use: stop what uses it, or choose another with --port (0 for any)
    >>> taken.close()
    """
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno is not None and "in use" in str(error).lower():
            line = f"port {port} is in use: stop what uses it, or choose another with --port (0 for any)"
            raise InputError(line) from None
        raise InputError(f"cannot listen at {address}, port {port}: {error.strerror or error}") from None
    return listener


def serve(models: Sequence[Path], prior: Path | None, port: int, address: str, browser: bool) -> None:
    """Serve the page and the API until Ctrl-C.

    Parameters
    ----------
    models
        Model files.
    prior
        A prior.json of their grids; adds the exact posterior.
    port, address
        Where to listen.
    browser
        Whether to open the page in a browser.

    Raises
    ------
    InputError
        For a bad model or prior, and if the port is in use.

    Examples
    --------
    >>> serve([Path("none.safetensors")], None, 0, "127.0.0.1", browser=False)
    Traceback (most recent call last):
    gridcloze.words.InputError: none.safetensors: no such file; make a model with: gridcloze train ...
    """
    with bind(address, port) as listener:
        door = Door(listener.getsockname()[1], secrets.token_urlsafe(24), address)
        app = make_app(load_models(models, prior), door)
        if address not in ("127.0.0.1", "::1", "localhost"):
            warning = "warning: other machines can reach this server, without encryption; its token is all that keeps"
            print(f"gridcloze: {warning} them out", file=sys.stderr, flush=True)
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, f"[{address}]" if ":" in address else address)
        url = f"http://{host}:{door.port}/#token={door.token}"
        print(f"{url}\nCtrl-C stops", flush=True)
        config = uvicorn.Config(
            app,
            log_config=None,  # lines of requests would have queries in them
            access_log=False,
            ws="none",
            http="h11",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        with opened(url, browser), suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
