"""A Python that has imported what every command imports, and becomes each command in a process of its own.

``python -m X`` takes some eight seconds to import PyTorch, MONAI and this project. This process does it once and forks.
It reads one request a line (JSON: the working directory, the words behind ``python -m``, a file for all that is
printed, seconds) and answers each with the exit status, minus the signal's number where a signal ended the command.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import signal
import sys
import traceback
from typing import Any


def become(request: dict[str, Any]) -> None:
    """Run a module as ``python -m`` does, and end this process."""
    status = 1
    os.setsid()
    signal.alarm(request["seconds"])
    os.chdir(request["folder"])
    said = os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    module, *arguments = request["words"]
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    sys.path[0] = ""  # as "python -m" has it: the working directory
    import ignite.engine  # noqa: F401
    import monai.bundle  # noqa: F401
    import pandas  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401

    import bundle.data
    import bundle.engines
    import bundle.evaluation
    import bundle.experiments
    import bundle.handlers
    import bundle.inference
    import bundle.metrics
    import bundle.transforms  # noqa: F401

    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


if __name__ == "__main__":
    main()
