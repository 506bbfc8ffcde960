"""How the server of the studio bears up: `python benchmarks/studio_load.py [MODEL]`; needs the extra `studio`.

Fills of squares 16×16 come at 100 a second for 60 seconds, each at its own time whether earlier ones are answered or
not (an open loop), from another process, over connections that stay open. What counts is the time from when a request
was due to the last byte of its answer, of those that were answered. The puzzles are those of the evaluation mixture; no
two are equal. The model is that of `toys.py squares`. Writes benchmarks/results/studio-load.json.
Run nothing else then.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from common import RESULTS, RUNS, Figures, circumstances
from gridcloze import checkpoint
from gridcloze.files.paths import write_json
from gridcloze.priors.finite import squares
from gridcloze.priors.hiding import evaluation_hiding
from gridcloze.words import HIDDEN

MODEL = RUNS / "squares-0" / "model.safetensors"
A_SECOND, SECONDS, CONNECTIONS = 100, 60, 48
SEED = 7


def puzzles(count: int) -> list[bytes]:
    """Bodies of requests."""
    generator = np.random.default_rng(SEED)
    grids = squares(16, 16).sample(count, generator)
    cells = np.where(evaluation_hiding(grids.shape, generator), HIDDEN, grids)
    return [json.dumps({"cells": one.tolist()}).encode() for one in cells]


class Client:
    """Connections that stay open, and the answers that came over them."""

    def __init__(self, port: int, token: str, name: str):
        origin = f"127.0.0.1:{port}"
        head = [f"POST /api/models/{name}/fill HTTP/1.1", f"Host: {origin}", f"Origin: http://{origin}"]
        self.head = "\r\n".join(
            [*head, f"Authorization: Bearer {token}", "Content-Type: application/json", ""]
        ).encode()
        self.port, self.idle = port, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
        self.statuses, self.seconds = list[int](), list[float]()

    async def ask(self, body: bytes, due: float) -> None:
        """Send a request when it is due, and note how long its answer took."""
        await asyncio.sleep(due - time.monotonic())
        try:
            reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(self.head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            json.loads(await reader.readexactly(int(length[1]) if length else 0))
            self.statuses.append(int(head.split()[1]))
            if b"connection: close" not in head.lower():
                self.idle.append((reader, writer))
        except (OSError, asyncio.IncompleteReadError, ValueError):
            self.statuses.append(0)
        self.seconds.append(time.monotonic() - due)


async def _load(client: Client, bodies: list[bytes], a_second: float) -> None:
    began = time.monotonic() + 0.5
    await asyncio.gather(*(client.ask(body, began + number / a_second) for number, body in enumerate(bodies)))


def measured(model: Path, a_second: float, seconds: float) -> Figures:
    """The load on a server of its own process."""
    script = "from gridcloze.cli import main; main()"
    command = [sys.executable, "-c", script, "studio", str(model), "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(r":(\d+)/#token=(\S+)", process.stdout.readline())
            assert address, "the server did not start"
            server, name = psutil.Process(process.pid), re.sub(r"[^\w.-]", "-", model.stem)
            client = Client(int(address[1]), address[2], name)
            asyncio.run(_load(client, puzzles(200), 50))  # until all is loaded
            client = Client(int(address[1]), address[2], name)
            before, memory = server.cpu_times(), server.memory_info().rss
            asyncio.run(_load(client, puzzles(round(a_second * seconds)), a_second))
            after, memory_after = server.cpu_times(), server.memory_info().rss
        finally:
            process.terminate()
    spent = sum(after[:2]) - sum(before[:2])
    answered = [status == 200 for status in client.statuses]
    latency = np.array(client.seconds)[answered] if any(answered) else np.full(1, np.nan)
    return {
        "requests": len(client.statuses),
        "requests_a_second": a_second,
        "errors": sum(status != 200 for status in client.statuses),
        "statuses": {str(status): client.statuses.count(status) for status in sorted(set(client.statuses))},
        "latency_ms": {
            f"{share:g}%": round(1000 * float(np.quantile(latency, share / 100)), 1) for share in (50, 90, 99)
        },
        "largest_latency_ms": round(1000 * float(latency.max()), 1),
        "processor_ms_a_request": round(1000 * spent / len(client.statuses), 2),
        "cores_busy": round(spent / seconds, 2),
        "memory_MiB": {"before": round(memory / 2**20), "after": round(memory_after / 2**20)},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=MODEL)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--a-second", type=float, default=A_SECOND)
    options = parser.parse_args()
    around = circumstances()
    load_before = os.getloadavg()[0]
    result = {"task": "load", **measured(options.model, options.a_second, options.seconds)}
    training = checkpoint.read_header(options.model).training
    of_model = {key: training.get(key) for key in ("grids", "steps", "held_out_bits_per_hidden_cell")}
    result |= {"model": of_model, "load_of_others": round(load_before, 1), **around}
    print(json.dumps(result, indent=1))
    if (options.seconds, options.a_second) == (SECONDS, A_SECOND):
        write_json(RESULTS / "studio-load.json", result)
