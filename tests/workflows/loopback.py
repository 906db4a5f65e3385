"""A web server of a tool, started on this machine alone, and its pages in a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


@contextmanager
def serving(module: str, *options: str, path: str = "/", folder=None, seconds: float = 120) -> Iterator[str]:
    """``python -m <module> <options> --port N``; gives its address once ``path`` answers, and ends it afterwards."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, options), "--port", str(port)],
        cwd=folder,
        env={**os.environ, **SILENT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address, end = f"http://127.0.0.1:{port}", time.monotonic() + seconds
        while True:
            try:
                urllib.request.urlopen(address + path, timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{module} does not answer at {address}{path}") from None
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def show(browser, address: str, *texts: str, seconds: float = 60) -> str:
    """Open a page and wait until all texts stand in it; also in the shadow trees of its components."""
    browser.call("Page.navigate", url=address)
    for text in texts:
        browser.wait(f"{ALL_TEXT}.includes({text!r})", seconds)
    return browser.run(ALL_TEXT)


ALL_TEXT = (
    "(function read(node) { if (!node) return ''; if (node.nodeType === 3) return node.textContent; "
    "const inner = [...(node.shadowRoot ? node.shadowRoot.childNodes : []), ...node.childNodes]; "
    "return ['SCRIPT', 'STYLE'].includes(node.nodeName) ? '' : inner.map(read).join(' '); })(document.body)"
)
