"""The runner, with a SIGKILL at a chosen moment: ``KILL_AT=iteration:5`` or ``KILL_AT=write:3``.

``iteration:N`` kills within the N-th training iteration, ``write:N`` in the middle of writing the N-th file, when half
of its bytes lie in the temporary one.
"""

from __future__ import annotations

import os
import runpy
import signal

import bundle.handlers.training_state as training_state
import bundle.networks.weights as weights
from bundle.engines import CycleGanTrainer

moment, _, number = os.environ["KILL_AT"].partition(":")
seen = {"iteration": 0, "write": 0}


def kill_if_due(what: str) -> bool:
    seen[what] += 1
    return what == moment and seen[what] == int(number)


def dying_iteration(self, *arguments):
    output = iterate(self, *arguments)
    if kill_if_due("iteration"):
        os.kill(os.getpid(), signal.SIGKILL)
    return output


def dying_write(path, content):
    if kill_if_due("write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_name(f".{path.name}.{os.getpid()}.tmp"), "wb") as file:
            file.write(content[: len(content) // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    write(path, content)


iterate, CycleGanTrainer._iteration = CycleGanTrainer._iteration, dying_iteration
write = weights.save_bytes
weights.save_bytes = training_state.save_bytes = dying_write
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
