"""``python -m monai.bundle`` that writes down whom it wants to speak to: ``tracked_command.py LOG run ...``."""

from __future__ import annotations

import os
import runpy
import socket
import sys

log = sys.argv.pop(1)
for name in list(os.environ):  # where these stand, MLflow holds its tongue of its own accord
    if name in ("CI", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY") or name.startswith(("PYTEST", "GITHUB", "GITLAB")):
        os.environ.pop(name)
os.environ.update(word.split("=") for word in os.environ.pop("TELL", "").split())


def written_down(speak):
    def and_spoken(*args, **kwargs):
        with open(log, "a", encoding="utf-8") as file:
            print(speak.__name__, args[:2], file=file)
        return speak(*args, **kwargs)

    return and_spoken


socket.socket.connect = written_down(socket.socket.connect)
socket.getaddrinfo = written_down(socket.getaddrinfo)
try:
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
finally:
    telemetry = sys.modules.get("mlflow.telemetry")
    if telemetry is not None and telemetry.get_telemetry_client() is not None:
        with open(log, "a", encoding="utf-8") as file:
            print("MLflow's telemetry has a client", file=file)
