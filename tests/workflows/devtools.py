"""A browser driven through the DevTools protocol over a pipe: real clicks and keys, screenshots, every request seen."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-pipe"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


def find_chromium() -> str:
    """Debian's browser, installed where that is allowed; a test is skipped where it cannot be had."""
    if shutil.which("chromium") is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update"], check=False, capture_output=True)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu"], check=False)
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed and cannot be: apt-get install chromium")
    return path


class Browser:
    """One page of a headless Chromium; ``requests`` and ``complaints`` grow while it is used."""

    def __init__(self, folder: Path, width: int = 1200, height: int = 1000, dark: bool = False) -> None:
        to_read, self.to_write = os.pipe()
        self.to_read, to_write = os.pipe()
        script = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'  # Chromium reads commands from 3 and answers on 4
        command = ["bash", "-c", script, find_chromium(), *FLAGS, f"--user-data-dir={folder}/user"]
        self.process = subprocess.Popen(command, pass_fds=(to_read, to_write), stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.folder, self.buffer, self.last, self.session = folder, b"", 0, None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        self.prefer(dark)
        self.download_to(folder)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error) -> None:
        os.close(self.to_write)  # Chromium ends when its pipe does
        os.close(self.to_read)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def call(self, method: str, session: bool = True, **parameters):
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if session and self.session:
            message["sessionId"] = self.session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self.to_write, content) :]
        while True:
            answer = self._next()
            if answer.get("id") == self.last:
                if "navigated or closed" in answer.get("error", {}).get("message", ""):
                    return {"result": {}}  # asked of a page that is just being left
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _next(self, seconds: float = 60) -> dict:
        while b"\0" not in self.buffer:
            if not select.select([self.to_read], [], [], seconds)[0]:
                raise TimeoutError(f"the browser said nothing for {seconds} s")
            received = os.read(self.to_read, 1 << 20)
            if not received:
                raise RuntimeError("the browser ended")
            self.buffer += received
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"][:200])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"].get("exception", parameters))[:500])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("warning", "error"):
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.last += 1
            answer = {"id": self.last, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            os.write(self.to_write, json.dumps(answer | {"sessionId": self.session}).encode() + b"\0")
        return message

    def open(self, page: Path, ready: str = "document.documentElement?.dataset.ready === 'yes'") -> float:
        """Open a file and wait for it; returns the seconds from navigation to that."""
        began = time.monotonic()
        self.call("Page.navigate", url=f"file://{page}")
        self.wait(ready)
        return time.monotonic() - began

    def run(self, expression: str):
        """Value of a JavaScript expression."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise RuntimeError(f"{expression}: {done['exceptionDetails']}")
        return done["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.run(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"not true within {seconds} s: {expression}\n" + "\n".join(self.complaints))
            time.sleep(0.02)

    def resize(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def download_to(self, folder: Path) -> None:
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), session=False)

    def key(self, *keys: str) -> None:
        for key in keys:
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            code = {"Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "Backspace": 8, "Escape": 27, "Tab": 9}.get(key)
            extra = {"windowsVirtualKeyCode": code} if code else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text, **extra)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **extra)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def point(self, selector: str, left: float = 0.5, top: float = 0.5) -> tuple[float, float]:
        """A place inside an element, in the window, after it was scrolled into view."""
        box = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
        )
        return box[0] + left * box[2], box[1] + top * box[3]

    def mouse(self, kind: str, at: tuple[float, float], clicks: int = 1, **more) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], clickCount=clicks, **more)

    def click(self, selector: str, left: float = 0.5, top: float = 0.5, clicks: int = 1) -> None:
        at = self.point(selector, left, top)
        for count in range(1, clicks + 1):
            self.mouse("mousePressed", at, count, button="left", buttons=1)
            self.mouse("mouseReleased", at, count, button="left")

    def drag(self, selector: str, start: tuple[float, float], stop: tuple[float, float]) -> None:
        first, last = self.point(selector, *start), self.point(selector, *stop)
        self.mouse("mousePressed", first, button="left", buttons=1)
        self.mouse("mouseMoved", ((first[0] + last[0]) / 2, (first[1] + last[1]) / 2), button="left", buttons=1)
        self.mouse("mouseMoved", last, button="left", buttons=1)
        self.mouse("mouseReleased", last, button="left")

    def screenshot(self, path: Path, whole: bool = False) -> Path:
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))
        return path
