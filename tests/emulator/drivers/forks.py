"""Programs run in copies of this process, which has imported torch: most of what a small program takes is that import.

A line of standard input is a program: its words, as after ``python``, its environment, its folder, and the files for
its two outputs.  A line of standard output is how it ended: its status, or the negative number of a signal.
"""

import atexit
import importlib
import json
import os
import signal
import sys
import threading
import types

import torch  # noqa: F401

PATH = sys.path[1:]  # without this file's folder
SECONDS = 300


def become(words, env, cwd, out, error):
    """Run a program as Python would run it, to the end of this process."""
    signal.alarm(SECONDS)
    for descriptor, name, flags in (0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, error, os.O_WRONLY):
        os.dup2(os.open(name, flags), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    status = 0
    try:
        if words[0] == "-c":
            first, text, file, sys.argv = "", words[1], "<string>", ["-c", *words[2:]]
        else:
            file = os.path.abspath(words[0])
            first, sys.argv = os.path.dirname(file), words
            with open(file, encoding="utf-8") as opened:
                text = opened.read()
        sys.path[:] = [first, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *PATH]
        importlib.invalidate_caches()
        main = types.ModuleType("__main__")
        main.__file__ = file
        sys.modules["__main__"] = main
        exec(compile(text, file, "exec", dont_inherit=True), vars(main))
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        status = 1
        sys.excepthook(*sys.exc_info())
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        become(*json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
