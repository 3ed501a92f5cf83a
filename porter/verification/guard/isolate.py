"""Run a command with no network but loopback: ``python isolate.py COMMAND...`` (Linux; replaced by exec).

Not every place lets a process have a network namespace of its own, so this is the second line of
defence; the first is sitecustomize.py beside it, which works everywhere and says who tried what.
Leaves with status 125 when the namespace cannot be had, so that the caller can probe once.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER = 0x10000000  # sched.h
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914  # linux/sockios.h
IFF_UP = 1


def leave_network() -> bool:
    """Move this process to an empty network namespace, with the user's own ids kept."""
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(CLONE_NEWNET) == 0:
        return True
    uid, gid = os.getuid(), os.getgid()
    if unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return False
    for name, text in ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return True


def raise_loopback() -> None:
    """Bring ``lo`` up: data loaders, gloo and the tests' own servers talk over it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(s, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))


if __name__ == "__main__":
    try:
        if not leave_network():
            sys.exit(125)
        raise_loopback()
    except OSError as error:
        print(f"isolate: {error}", file=sys.stderr)
        sys.exit(125)
    os.execvp(sys.argv[1], sys.argv[1:])
