"""Runs ``python -m pipeline.…`` commands, each in a process of its own, forked from one that has
the heavy imports: as a fresh process, without paying ten seconds of imports for each.

Reads one JSON object a line (``module``, ``arguments``, ``folder``; or ``code`` instead of a
module), answers with one (``code``, ``out``, ``err``).
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import tempfile
import traceback
from typing import IO, Any


def run(request: dict[str, Any], out: IO[bytes], err: IO[bytes]) -> int:
    """The exit code of a fork that does what ``request`` says."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        os.chdir(request["folder"])
        sys.path[0] = request["folder"]  # as python -m does
        if "code" in request:
            exec(compile(request["code"], "<README>", "exec"), {"__name__": "__main__"})
        else:
            sys.argv = [request["module"], *request["arguments"]]
            runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # past the parent's clean-up


def main() -> None:
    """Answer requests until there are none."""
    from pipeline.quiet import load_tensorflow

    load_tensorflow()
    import mlflow.tensorflow  # noqa: F401
    import tensorflow_datasets  # noqa: F401

    for line in sys.stdin:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = run(json.loads(line), out, err)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        print(json.dumps({"code": code, "out": texts[0], "err": texts[1]}), flush=True)


if __name__ == "__main__":
    main()
