"""Data sets as a loader finds them, one by one: ``loaders.py porter|upstream|train TREE JOBS.json RESULTS.json``.

A job is the folder of a set.  Each is done in a fork of this process, which has imported torch already.
``porter``: porter's own driver, whole, with the loader of the ported TREE.  ``upstream``: unpatched v6.0's loader, of
TREE, then what its train.py does with what that gives before it computes.  ``train``: an epoch of the ported TREE.
"""

import importlib
import json
import multiprocessing
import os
import runpy
import shutil
import sys
import tempfile
import time
import types
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import torch
import yaml

HOW, TREE, JOBS, RESULTS = sys.argv[1:]
DRIVER = Path(__file__).parents[2] / "porter" / "verification" / "drivers" / "loader.py"
LIMIT = 600.0 if HOW == "train" else 60.0  # seconds

sys.path.insert(0, TREE)
torch.set_num_threads(1)
if HOW == "upstream":
    np.int = int  # which NumPy 1.24 took away
    for name in "pkg_resources", "torchvision":  # of which the loader uses nothing
        if find_spec(name) is None:
            sys.modules[name] = types.ModuleType(name)
datasets, general = (importlib.import_module(f"utils.{name}") for name in ("datasets", "general"))
datasets.NUM_THREADS = 1


def porter(root, work):
    multiprocessing.get_context = lambda how: types.SimpleNamespace(Pool=ThreadPool)  # a fork of torch takes 50 ms
    sys.path[0] = str(DRIVER.parent)
    sys.argv = [str(DRIVER), TREE, f"{root}/data.yaml", f"{work}/result", "", TREE]
    runpy.run_path(str(DRIVER), run_name="__main__")


def upstream(root, work):
    """Which pictures a training gets, with which boxes, of which splits, and the errors that end it."""
    datasets.Pool = ThreadPool
    found = {"errors": [], "kept": {}, "splits": []}

    @contextmanager
    def noting():
        try:
            yield
        except Exception as error:
            found["errors"].append(f"{type(error).__name__}: {error}")

    with noting():
        with open(f"{root}/data.yaml", errors="ignore") as f:
            data = yaml.safe_load(f)
        with noting():
            general.check_dataset(data, autodownload=False)
        nc, names = int(data["nc"]), data["names"]
        # not v6.0's demand but the ported trees': what they refuse in a checkpoint, at a training's end
        assert len(names) == nc and isinstance(names, (list, dict)) and [names[n] for n in range(nc)]
        for split in "train", "val":
            with noting():
                loader = datasets.LoadImagesAndLabels(data[split], augment=split == "train")
                found["splits"].append(split)
                for n, (file, rows) in enumerate(zip(loader.img_files, loader.labels)):
                    found["kept"][os.path.relpath(file, root)] = rows.tolist()
                    with noting():
                        datasets.load_image(loader, n)
                assert int(np.concatenate(loader.labels, 0)[:, 0].max()) < nc  # val.py indexes by class
    Path(work, "result").write_text(json.dumps(found))


def train(root, work):
    words = ["--weights", "", "--cfg", "yolov5n.yaml", "--data", f"{root}/data.yaml", "--epochs", "1", "--img", "64"]
    words += [
        "--batch-size",
        "4",
        "--workers",
        "0",
        "--device",
        "cpu",
        "--project",
        work,
        "--sync-bn",
        "--noautoanchor",
    ]
    sys.argv = ["train.py", *words]
    runpy.run_path(f"{TREE}/train.py", run_name="__main__")
    last = torch.load(Path(work, "exp/weights/last.pt"), map_location="cpu", weights_only=False)
    Path(work, "result").write_text(json.dumps({"epoch": last["epoch"]}))


def done(root):
    """What a job gave, or the end of what it printed."""
    work = tempfile.mkdtemp()
    pid = os.fork()
    if not pid:
        try:
            log = os.open(f"{work}/log", os.O_RDWR | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(work)
            globals()[HOW](root, work)
        except SystemExit:
            pass
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)
    end = time.monotonic() + LIMIT
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.kill(pid, 9)
        time.sleep(0.005)
    try:
        return json.loads(Path(work, "result").read_text())
    except (OSError, ValueError):
        return {"crash": Path(work, "log").read_text(errors="replace")[-2000:]}
    finally:
        shutil.rmtree(work)


Path(RESULTS).write_text(json.dumps([done(root) for root in json.loads(Path(JOBS).read_text())]))
