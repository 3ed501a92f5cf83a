"""Loaded by every Python that a check of a tree starts: no network but loopback, nothing gets installed.

An audit hook sees calls from C as well as from Python and cannot be taken off.  A forbidden call is
refused with an OSError, as a machine without network would, and written to the file that
PORTER_GUARD_MARKS names, because v6.0 swallows many errors.
"""

import importlib.util
import os
import re
import sys

MARKS = os.environ["PORTER_GUARD_MARKS"]
# programs that fetch or install, wherever in a command line they stand
FETCHES = re.compile(r"(?:^|[\s/'\"&|;])(?:pip3?|conda|curl|wget|gsutil|aws|git\s+(?:fetch|clone|pull))(?:$|[\s'\"])")
LOCAL = re.compile(r"|127\.[\d.]+|::1|localhost|0\.0\.0\.0|::")


def _refuse(what):
    with open(MARKS, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(what.replace("\n", " ") + "\n")
    raise PermissionError("porter verify allows no " + what)


def _text(value):
    if isinstance(value, (list, tuple)):
        return " ".join(_text(v) for v in value)
    return os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else str(value)


def _local(host):
    if host is None:
        return True
    host = _text(host)
    return bool(LOCAL.fullmatch(host)) or host == os.uname().nodename


def _hook(event, args):
    if event == "socket.connect" or event == "socket.sendto":
        address = args[1]
        if isinstance(address, tuple) and not _local(address[0]):
            _refuse("connection to " + repr(address))
    elif event == "socket.getaddrinfo" or event == "socket.gethostbyname":
        if not _local(args[0]):
            _refuse("look-up of " + _text(args[0]))
    elif event == "subprocess.Popen":
        command = _text(args[1])
        if FETCHES.search(command):
            _refuse("command " + command)
    elif event in ("os.system", "os.exec", "os.posix_spawn"):
        command = _text(args[0]) if event == "os.system" else _text(args[1])
        if FETCHES.search(command):
            _refuse("command " + command)


def _use_packages_bytecode():
    """Read the installed packages' own bytecode, where they have it, and write none.

    PYTHONPYCACHEPREFIX alone, which keeps the tree as it is, has torch compiled anew in every run: seconds.
    """
    prefix, sys.pycache_prefix = sys.pycache_prefix, None
    torch = importlib.util.find_spec("torch")
    if torch and torch.origin and os.path.exists(importlib.util.cache_from_source(torch.origin)):
        sys.dont_write_bytecode = True
    else:
        sys.pycache_prefix = prefix


_use_packages_bytecode()
sys.addaudithook(_hook)
