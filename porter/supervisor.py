"""Run a command and end all that it starts: ``python -I -S supervisor.py OPTIONS COMMAND...``.

It waits for the command, kills what is left of its descendants, waits for those too, and ends as the command did.
SIGTERM, SIGINT and SIGHUP have it kill them at once, and so does the end of the process that started it, SIGKILL too.
A daemon is found as well: on Linux orphans become children of the supervisor (PR_SET_CHILD_SUBREAPER).

It is a program and imports nothing of porter's, because it is started in milliseconds, and under the interpreters of
the trees too.  Options::

    --parent PID      who started it; if that has ended already nothing is run
    --report FD       gets the number of the error if the command cannot be run, and is closed when it runs
    --grace SECONDS   a signal goes to the command first, which has so long to end by itself
    --no-network      an empty network namespace with loopback, where the system allows one
    --write FOLDER    the command writes to these folders only, by --way
    --way NAME        namespaces: everything else is mounted read-only, other processes are not seen;
                      landlock: the kernel refuses to open other files for writing and to look into other processes

What is not allowed here, --way, ends it with status 125, so that the caller can probe once.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
import time

UNAVAILABLE = 125
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38  # linux/prctl.h
# linux/capability.h: ptrace, admin (a root could mount all writable again), perfmon (it lets look into processes)
DROPPED = (19, 21, 38)
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000  # sched.h
# linux/mount.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME, MS_NODIRATIME = 1, 2, 4, 8, 32, 1024, 2048
MS_BIND, MS_REC, MS_PRIVATE, MS_RELATIME = 4096, 16384, 1 << 18, 1 << 21
KEPT_FLAGS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
    "relatime": MS_RELATIME,
}
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h
# linux/landlock.h; the numbers of the calls are the same on every architecture
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT, LANDLOCK_VERSION = 444, 445, 446, 1
LANDLOCK_PATH_BENEATH, LANDLOCK_WRITE_FILE, LANDLOCK_SCOPE_SIGNAL = 1, 1 << 1, 1 << 1
LANDLOCK_CHANGES = sum(1 << bit for bit in range(4, 13))  # remove and make files of every kind
LANDLOCK_SINCE = {2: 1 << 13, 3: 1 << 14}  # a rename into another folder; truncate
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """A function of the C library.

    Raises:
        OSError: it failed.
    """
    done: int = getattr(LIBC, name)(*arguments)
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return done


def prctl(option: int, value: int) -> None:
    """What a process asks of the kernel for itself, where there is such a thing."""
    if sys.platform == "linux":
        call("prctl", option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


# -- confinement -------------------------------------------------------------------------------------


def unshare(flags: int) -> None:
    """Leave namespaces, without a user namespace where that is allowed, else in one with the user's own ids.

    Raises:
        OSError: the system does not allow it.
    """
    try:
        call("unshare", flags)
        return
    except PermissionError:
        uid, gid = os.getuid(), os.getgid()
        call("unshare", flags | CLONE_NEWUSER)
    for name, text in ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"):
        with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def raise_loopback() -> None:
    """Bring ``lo`` up: data loaders, gloo and the tests' own servers talk over it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(s, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))


def mount(source: str, target: str, kind: str, flags: int) -> None:
    """mount(2)."""
    texts = (os.fsencode(text) if text else None for text in (source, target, kind))
    call("mount", *texts, ctypes.c_ulong(flags), None)


def mount_read_only(writable: list[str]) -> None:
    """Mount everything read-only but some folders, in a mount namespace; shared memory is this one's own."""
    cwd = os.getcwd()
    mount("", "/", "", MS_REC | MS_PRIVATE)
    for folder in writable:
        mount(folder, folder, "", MS_BIND | MS_REC)
    with open("/proc/self/mountinfo", "rb") as file:  # Documentation/filesystems/proc.rst, 3.5
        rows = [line.split(b" ") for line in file]
    for row in rows:
        path = os.fsdecode(row[4].decode("unicode_escape").encode("latin-1"))  # \040 for a blank
        if any(path == folder or path.startswith(folder + "/") for folder in writable):
            continue
        flags = sum(KEPT_FLAGS.get(name, 0) for name in row[5].decode().split(","))
        try:
            mount("", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | flags)
        except OSError:
            if not flags & MS_RDONLY and os.access(path, os.W_OK):  # else it cannot be reached: covered by another
                raise
    if os.path.isdir("/dev/shm"):
        mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.chdir(cwd)  # by its name, or it would still be in the mount below


def restrict(writable: list[str]) -> None:
    """Have the kernel refuse this process and its descendants to write elsewhere, and to look into other processes.

    Raises:
        OSError: the kernel has no Landlock.
    """
    version = call("syscall", LANDLOCK_CREATE, None, ctypes.c_size_t(0), LANDLOCK_VERSION)
    rights = LANDLOCK_WRITE_FILE | LANDLOCK_CHANGES
    rights |= sum(right for since, right in LANDLOCK_SINCE.items() if version >= since)
    wanted = struct.pack("QQQ", rights, 0, LANDLOCK_SCOPE_SIGNAL if version >= 6 else 0)
    wanted = wanted[: 24 if version >= 6 else 8]
    rules = call("syscall", LANDLOCK_CREATE, wanted, ctypes.c_size_t(len(wanted)), 0)
    devices = LANDLOCK_WRITE_FILE | (rights & LANDLOCK_SINCE[3])
    for folder, allowed in [("/dev", devices), ("/dev/shm", rights), *((folder, rights) for folder in writable)]:
        if os.path.isdir(folder):
            opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", allowed, opened)
            call("syscall", LANDLOCK_ADD, rules, LANDLOCK_PATH_BENEATH, rule, 0)
            os.close(opened)
    drop_privileges()
    call("syscall", LANDLOCK_RESTRICT, rules, 0)
    os.close(rules)


def drop_privileges() -> None:
    """Have no program that is run from here on get what would undo the confinement, a root's or set-uid."""
    for capability in DROPPED:
        with contextlib.suppress(OSError):  # it has none to drop, or the kernel does not know this one
            prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


# -- supervision -------------------------------------------------------------------------------------


def descendants() -> list[int]:
    """The processes below this one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            children.setdefault(int(fields[1]), []).append(int(name))
    found, left = [], [os.getpid()]
    while left:
        below = children.get(left.pop(), [])
        found += below
        left += below
    return found


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def kill_all(command: int) -> None:
    """Kill every descendant.  Orphans come to this process, so that a second look finds what a first one missed.

    Args:
        command: the process, and process group, to kill where there is no /proc.
    """
    if os.path.isdir("/proc/self"):
        for pid in descendants():
            send(pid, signal.SIGKILL)
    else:
        send(-command, signal.SIGKILL)


def reap_all(command: int) -> None:
    """Kill and wait until nothing is left."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        kill_all(command)
        time.sleep(0.002)


def end_as(status: int) -> None:
    """End as a process did that ended with this status of wait()."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the other one has left its own, if any
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def wait_for(pid: int) -> int:
    """The status of a child, with all orphans reaped that end before it."""
    while True:
        found, status = os.wait()
        if found == pid:
            return status


def fork_bound(number: int) -> int:
    """A child that gets a signal when this process ends."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() not in (parent, 0):  # 0: the parent is outside the child's PID namespace
            os._exit(UNAVAILABLE)
    return pid


def execute(command: list[str], report: int) -> None:
    """Become the command, in a process group of its own: what it sends to its group does not reach the supervisor."""
    try:
        os.setpgid(0, 0)
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if report >= 0:
            os.set_inheritable(report, False)
        os.execvp(command[0], command)
    except OSError as error:
        fail(report, error, 127)


def close(report: int) -> None:
    """Close a descriptor that need not be there."""
    if report >= 0:
        os.close(report)


def fail(report: int, error: OSError, status: int) -> None:
    """Say why the command does not run, and end."""
    if report >= 0:
        os.write(report, struct.pack("i", error.errno or 0))
    else:
        print(f"supervisor: {error}", file=sys.stderr, flush=True)
    os._exit(status)


def run_in_namespaces(command: list[str], writable: list[str], report: int, status: int) -> None:
    """Be the first process of a PID namespace: run the command and reap.  With its end all others end.

    Args:
        status: where to say how the command ended; an init's own death by a signal would not show it.
    """
    try:
        mount_read_only(writable)
        drop_privileges()
    except OSError as error:
        fail(report, error, UNAVAILABLE)
    pid = fork_bound(signal.SIGKILL)
    if pid == 0:
        execute(command, report)
    close(report)
    os.write(status, struct.pack("i", wait_for(pid)))
    os._exit(0)


def run_restricted(command: list[str], writable: list[str], report: int) -> None:
    """Become the command, below Landlock."""
    try:
        restrict(writable)
    except OSError as error:
        fail(report, error, UNAVAILABLE)
    execute(command, report)


def leave(way: str, no_network: bool) -> None:
    """Leave the namespaces that the options say.

    Raises:
        OSError: the system does not allow it; the network alone is not worth an error, since
            verification/guard/sitecustomize.py stands before it.
    """
    flags = CLONE_NEWNET if no_network else 0
    if way == "namespaces":
        unshare(flags | CLONE_NEWNS | CLONE_NEWPID)
    elif flags:
        try:
            unshare(flags)
        except OSError:
            return
    if flags:
        raise_loopback()


def supervise(pid: int, grace: float, has_init: bool) -> int:
    """Wait for the command, or the init above it, and end what is left; the status.

    Args:
        has_init: all others end with this process.
    """

    def end(number: int, frame: object) -> None:
        if grace and number != signal.SIGALRM:
            send(pid, number)
            signal.setitimer(signal.ITIMER_REAL, grace)
        elif has_init:
            send(pid, signal.SIGKILL)
        else:
            kill_all(pid)

    for number in (*ENDING, signal.SIGALRM):
        signal.signal(number, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    status = wait_for(pid)
    signal.pthread_sigmask(signal.SIG_BLOCK, (*ENDING, signal.SIGALRM))
    reap_all(pid)
    return status


def read_options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options, which are taken off the words, and the folders to write to."""
    options: dict[str, str] = {}
    writable: list[str] = []
    while words and words[0].startswith("--"):
        name = words.pop(0)
        if name == "--write":
            writable.append(os.path.realpath(words.pop(0)))
        else:
            options[name] = "" if name == "--no-network" else words.pop(0)
    return options, writable


def main(words: list[str]) -> None:
    """See above."""
    options, writable = read_options(words)
    report, way = int(options.get("--report", -1)), options.get("--way", "")
    parent = int(options.get("--parent", os.getppid()))
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(UNAVAILABLE)
    try:
        leave(way, "--no-network" in options)
    except OSError as error:
        fail(report, error, UNAVAILABLE)
    reader, told = os.pipe()
    pid = fork_bound(signal.SIGKILL)
    if pid == 0:
        os.close(reader)
        if way == "namespaces":
            run_in_namespaces(words, writable, report, told)
        os.close(told)
        if way == "landlock":
            run_restricted(words, writable, report)
        execute(words, report)
    os.close(told)
    close(report)
    status = supervise(pid, float(options.get("--grace", 0)), way == "namespaces")
    said = os.read(reader, 4)
    end_as(struct.unpack("i", said)[0] if said else status)


if __name__ == "__main__":
    main(sys.argv[1:])
