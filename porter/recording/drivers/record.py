"""Make jobs on a device, one after the other: ``record.py CONFIG.json FIRST``.

A job is a call of an operator, a function of the plugin's module, or another question of :mod:`questions`.  The journal
gets a line before each and a line after it, so that whoever started this knows which job a crash or a hang belongs to,
and goes on behind it.  Exit status: 0 all were made; 3 the device is lost (it computes nothing any more, and a new
process may have it back); anything else, a crash; and what hangs for ``limit`` seconds is ended by a signal.

It runs on the oldest Python and torch that a vendor ships: Python 3.6, torch 1.9.
"""

import faulthandler
import importlib
import json
import os
import signal
import sys
import threading
import time

os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
LOST = 3

with open(sys.argv[1], encoding="utf-8") as config_file:
    CONFIG = json.load(config_file)
sys.path.insert(1, CONFIG["comparison"])  # porter compare's drivers: how far two tensors are from each other

import calls
import figures
import questions
import remade
import torch
from tensors import host

# what torch's profiler shows of copies and waits; those within the device are among the first two
_SEEN = {"aten::copy_": "copies", "aten::_copy_from": "copies", "aten::_local_scalar_dense": "waits"}
_KINDS = ("uploads", "downloads", "synchronisations", "inside")
# what it computes is by chance, or whatever was in memory before
_UNTOLD = ("empty", "new_empty", "rand", "bernoulli", "dropout", "normal", "uniform", "native_dropout", "resize")


def said(error):
    return {"state": "raises", "error": type(error).__name__, "message": str(error)}


def described(call):
    """A call as a record has it: its operator, and its arguments by their position in torch's schema."""
    try:
        return {"name": call[0], "arguments": remade.features(call, remade.operator(call[0]))}
    except remade.Absent:
        return {"name": call[0]}


def call_job(call, device):
    """An operator's call on the device and on the cpu: what becomes of it, as it is written down."""
    try:
        function = remade.operator(call[0])
        arguments = remade.Arguments(call)
        theirs = arguments.host()
    except remade.Absent as error:
        return {"state": "absent", "message": str(error)}
    try:
        mine = arguments.device(device)
    except remade.Unmade as error:
        return {"state": "unmade", "message": str(error)}
    counted = Counted()
    try:
        with counted:
            returned = function(*mine[0], **mine[1])
        found = calls.results(lambda *args, **kwargs: returned, *mine)
    except Exception as error:  # whatever a plugin raises is what is asked for
        return said(error)
    given = dict(counted.found, state="runs")
    try:
        found = [host(each) for each in found]
    except Exception as error:
        return dict(given, unread="%s: %s" % (type(error).__name__, error))
    return dict(given, **judged(call[0], function, theirs, found))


def judged(name, function, theirs, mine):
    """How far the device's results are from the cpu's: the worst of them."""
    base = name[len("aten::") :].partition(".")[0]
    if base.startswith(_UNTOLD) or (base.endswith("_like") and "rand" in base):
        return {"figures": None}
    worst = calls.judge(function, theirs[0], theirs[1], mine)
    if worst is None:
        return widely_judged(function, theirs, mine)
    kept = {key: rounded(worst[key]) for key in ("absolute", "ulps", "cosine", "nan", "inf", "allowed", "outside")}
    return {"figures": kept if worst["absolute"] or worst["nan"] or worst["inf"] else {"exact": True}}


def widely_judged(function, theirs, mine):
    """The same where the cpu has no kernel for the dtype: against float64, and no band is known."""
    try:
        exact = calls.results(function, calls.widened(theirs[0]), calls.widened(theirs[1]))
    except Exception:
        return {"figures": None}
    worst = {}
    for one, other in zip(mine, exact):
        if one.shape != other.shape or not one.numel():
            continue
        wanted = other.to(one.dtype)
        found = figures.compare(one, wanted, *figures.size(wanted))
        if found["absolute"] >= worst.get("absolute", 0.0):
            worst = found
    return {
        "figures": {key: rounded(worst[key]) for key in ("absolute", "ulps", "cosine", "nan", "inf")} if worst else None
    }


def rounded(value):
    return float("%.3g" % value) if isinstance(value, float) else value


class Counted:
    """Copies and waits of what runs in it: what the emulated device counts, or what torch's profiler sees."""

    def __init__(self):
        self.counts = sys.modules.get("porter_emulated.counts")
        self.profile = None if self.counts else torch.autograd.profiler.profile()
        self.found = {}

    def __enter__(self):
        if self.counts:
            self.counts.snapshot()  # which begins anew
        elif self.profile:
            self.profile.__enter__()
        return self

    def __exit__(self, *raised):
        made = {}
        if self.counts:
            rest = self.counts.snapshot()["rest"]
            made = {kind: sum(each["count"] for each in rest[kind]) for kind in _KINDS}
        elif self.profile:
            self.profile.__exit__(*raised)
            for event in self.profile.function_events:
                kind = _SEEN.get(event.name)
                made[kind] = made.get(kind, 0) + 1
        self.found = {kind: count for kind, count in made.items() if kind and count}


def works(device):
    """Whether the device still holds numbers: some never come back after an error."""
    if device == "cpu":
        return True
    try:
        return torch.ones(2).to(device).cpu().tolist() == [1.0, 1.0]
    except Exception:
        return False


class Watchdog:
    """Ends the process when a job takes longer than it may, wherever it hangs.

    faulthandler's thread needs no interpreter; ours asks for a signal that nobody mistakes for a crash.
    """

    def __init__(self, limit):
        self.limit = limit

    def __enter__(self):
        faulthandler.dump_traceback_later(self.limit + 5, exit=True)
        self.timer = threading.Timer(self.limit, os.kill, (os.getpid(), signal.SIGKILL))
        self.timer.daemon = True
        self.timer.start()

    def __exit__(self, *_):
        self.timer.cancel()
        faulthandler.cancel_dump_traceback_later()


def main(first):
    device = CONFIG["device"]
    asked = questions.Questions(CONFIG)  # imports the plugin
    made = remade.read(CONFIG["calls"])
    if not works(device):
        raise SystemExit("a tensor of the host does not come back from %s" % device)
    jobs = [*asked.names, *range(len(made))]
    with open(CONFIG["journal"], "a", encoding="utf-8") as journal:
        journal.write("\n")  # the last line of a process that died may have no end

        def note(found):
            journal.write(json.dumps(found) + "\n")
            journal.flush()

        for number in range(first, len(jobs)):
            job = jobs[number]
            more = described(made[job]) if isinstance(job, int) else {"name": job}
            note(dict(more, begun=number))
            os.fsync(journal.fileno())  # a driver may take the machine with it
            began = time.time()
            with Watchdog(CONFIG["limit"]):
                outcome = call_job(made[job], device) if isinstance(job, int) else asked.answer(job)
                lost = outcome.get("state") == "raises" and not works(device)
            more.update(outcome, number=number, seconds=round(time.time() - began, 3))
            note(dict(more, lost=True) if lost else more)
            if lost:
                os._exit(LOST)
        note({"all": len(jobs)})


if __name__ == "__main__":
    if CONFIG["threads"]:
        torch.set_num_threads(CONFIG["threads"])
    if CONFIG["plugin"] and CONFIG["device"] != "cpu":
        importlib.import_module(CONFIG["plugin"])
    main(int(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a driver's threads may outlive the interpreter, and end it by a signal
