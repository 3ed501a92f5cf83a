"""A data set as the tree's own loader reads it: ``loader.py TREE DATA.yaml RESULT.json SHEET FOLDER...``.

The loader's cache scan opens every picture and reads every label; what it says of them is reported, and where it says
too little (which line of a file, what it takes without a word and learns wrongly) a few looks of our own are added.
SHEET may be empty.  A relative path in the yaml is taken from the first FOLDER from which it leads to something.

Nothing outside of the folder that RESULT.json is in is written to.  v6.0 writes a label cache beside the labels, and a
JPEG that does not end as one it writes anew: both are turned off, and an audit hook refuses every other write.
"""

import hashlib
import io
import json
import os
import sys
from collections import Counter, defaultdict
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import sheet
from entry import enter

FILE, RESULT, SHEET, *FOLDERS = enter()
WORK = os.path.dirname(os.path.realpath(RESULT))
SPLITS = "train", "val", "test"
LEFT_OUT = "WARNING: Ignoring corrupted image and/or label "  # how verify_image_label() begins
WRITTEN_ANEW = "WARNING: corrupt JPEG restored and saved "
SLACK = 1e-3  # of the picture: what rounding may put a box outside of it
OUTLINE = b"0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2"  # with more than eight columns: its file holds outlines
MOST_LINES = 1000  # of a label file that is searched for the line that is wrong
HEAD = 65536  # bytes of pictures of one size that are compared first


class Unreadable(Exception):
    """The yaml is none of a data set: what, and why."""


def leave(**found):
    with open(RESULT, "w") as f:
        json.dump(found, f)
    sys.exit()


def read(text):
    """The yaml as v6.0 reads it, and the line of each key and of each item of a list."""
    import yaml

    try:
        data, root = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = ", line %d" % (mark.line + 1) if mark else ""
        raise Unreadable("%s%s: not YAML" % (FILE, where), getattr(error, "problem", None) or str(error)) from error
    for name in ("train", "val", "nc"):
        if not isinstance(data, dict) or name not in data:
            raise Unreadable("%s is no yaml of a data set: it has no %s" % (FILE, name), "")
    lines = {}
    for key, value in root.value:
        lines[key.value] = key.start_mark.line + 1
        for n, item in enumerate(value.value if isinstance(value, yaml.SequenceNode) else ()):
            lines[key.value, n] = item.start_mark.line + 1
    if not isinstance(data["nc"], int) or data["nc"] < 1:
        raise Unreadable("%s, line %d: nc should be a number of classes" % (FILE, lines["nc"]), "found %r" % data["nc"])
    count = len(data.get("names") or ()) if "names" in data else data["nc"]
    if count != data["nc"]:  # train.py's own demand
        raise Unreadable("%s, line %d: %d names for %d classes (nc)" % (FILE, lines["names"], count, data["nc"]), "")
    return data, lines


# a yaml that cannot be read is said before torch is imported, which takes seconds
if find_spec("torch") is None:
    leave(torch=None, why="No module named 'torch'")
try:
    with open(FILE, errors="ignore") as f:  # as v6.0 does
        DATA, LINES = read(f.read())
except Unreadable as error:
    what, why = error.args
    leave(torch=True, what=what, why=why)
except Exception as error:  # lists where there should be text, and their like
    leave(torch=True, what="%s is no yaml of a data set" % FILE, why=str(error))
try:
    import torch
except Exception as error:  # a library of its own is not there
    leave(torch=None, why=str(error))

from PIL import Image
from utils import datasets  # the tree's
from utils.general import check_dataset


def refuse_writing():
    """Refuse every write outside of our own folder, whatever the loader of this tree does."""
    own = WORK + os.sep, os.devnull
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    changes = "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod"

    def hook(event, args):
        if event == "open":
            path, mode, flags = args
            if not (set(mode) & set("wax+") if mode else (flags or 0) & writes):
                return
            paths = (path,)
        elif event in changes:
            paths = args[:2]
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes)) and not os.path.realpath(os.fsdecode(path)).startswith(own):
                raise PermissionError("porter data check writes nothing: %s of %r" % (event, path))

    sys.addaudithook(hook)


class Loader(datasets.LoadImagesAndLabels):
    """The tree's loader, its scan kept: a data set that it refuses has one too."""

    scan, every = None, ()

    def cache_labels(self, *args, **named):
        found = super().cache_labels(*args, **named)
        self.scan, self.every = dict(found), list(self.img_files)
        return found


class Review:
    """What is found, split by split."""

    def __init__(self, data, lines):
        self.data, self.lines = data, lines
        self.problems, self.warnings, self.splits = [], [], {}
        self.pictures = {}  # split -> usable picture -> rows of class and box
        self.looked = set()  # pictures that were, in a split before
        self.lists = set()  # of pictures
        self.labels = defaultdict(list)  # label file -> pictures that have it
        self.blank = os.path.join(WORK, "blank.png")
        Image.new("RGB", (32, 32)).save(self.blank)
        self.trial = os.path.join(WORK, "trial.txt")

    def problem(self, file, line, kind, detail):
        self.problems.append({"file": str(file), "line": line, "kind": kind, "detail": detail})

    def warning(self, file, line, kind, detail):
        self.warnings.append({"file": str(file), "line": line, "kind": kind, "detail": detail})

    # -- a split ------------------------------------------------------------------------------------------------

    def split(self, name):
        """Have the loader read a split."""
        line = self.lines.get(name, 0)
        self.splits[name] = dict.fromkeys(("pictures", "labelled", "unlabelled", "empty", "objects"), 0)
        self.pictures[name] = {}
        given = self.data.get(name)
        paths = given if isinstance(given, list) else [given] if given else []
        absent = [(n, path) for n, path in enumerate(paths) if not os.path.exists(path)]
        for n, path in absent:
            self.problem(FILE, self.lines.get((name, n), line), "missing", "there is no %s" % path)
        if absent:
            return
        loader = Loader.__new__(Loader)
        refused = ""
        try:
            loader.__init__(given, augment=name == "train")
        except Exception as error:
            refused = str(error).splitlines()[0] if str(error) else type(error).__name__
        if loader.scan is None:
            self.problem(FILE, line, "no pictures", refused)
            return
        self.scanned(name, loader, self.named(paths))
        if name == "train" and not self.splits[name]["objects"]:
            self.problem(FILE, line, "no labels", "no picture of train has any object: training ends with an error")
        elif refused:
            self.problem(FILE, line, "no pictures", "the loader can use none of them: %s" % refused)

    def named(self, paths):
        """Picture -> the lists and lines that name it, as the loader reads a list."""
        found = defaultdict(list)
        for path in paths:
            if os.path.isfile(path):
                self.lists.add(path)
                with open(path) as f:
                    rows = f.read().splitlines()
                parent = str(Path(path).parent) + os.sep
                for n, row in enumerate(rows, 1):
                    found[row.replace("./", parent) if row.startswith("./") else row].append((path, n))
        return found

    def scanned(self, name, loader, named):
        """What a scan says; a picture that another split has too is looked at once."""
        scan, every = loader.scan, loader.every
        nf, nm, ne, _, n = scan["results"]
        rows = {picture: scan[picture] for picture in every if picture in scan}
        objects = sum(len(labels) for labels, _, _ in rows.values())
        self.splits[name] = {"pictures": n, "labelled": nf, "unlabelled": nm, "empty": ne, "objects": objects}
        for message in scan["msgs"]:
            if message.startswith(WRITTEN_ANEW) and message[len(WRITTEN_ANEW) :] not in self.looked:
                what = "it does not end as a JPEG does: a training would write it anew"
                self.problem(message[len(WRITTEN_ANEW) :], 0, "corrupt picture", what)
        # one message for each, in the same order
        messages = (message for message in scan["msgs"] if message.startswith(LEFT_OUT))
        reasons = dict(zip((picture for picture in every if picture not in rows), messages))
        for picture, message in reasons.items():
            if picture not in self.looked:
                self.left_out(picture, message[len(LEFT_OUT) + len(picture) + 2 :], named)
        for picture, (labels, _, segments) in rows.items():
            if picture not in self.looked:
                self.rows(picture, labels, segments)
            self.pictures[name][picture] = labels.tolist()
        for picture in dict.fromkeys(every):
            for file, line in named.get(picture, [])[1:]:
                self.problem(file, line, "duplicate picture", "%s is named before" % picture)
            if picture not in self.looked:
                self.labels[label_file(picture)].append(picture)
        self.looked.update(every)
        both = len(set(rows) & set(self.pictures["train"])) if name == "val" else 0
        if both:
            what = "%d of %d pictures of val are in train too" % (both, len(rows))
            self.warning(FILE, self.lines.get(name, 0), "same pictures", what)

    # -- what the loader leaves out -----------------------------------------------------------------------------

    def left_out(self, picture, reason, named):
        """A picture that the loader leaves out: what is to blame, the picture or lines of its labels."""
        if not os.path.isfile(picture):
            file, line = (named.get(picture) or [(picture, 0)])[0]
            self.problem(file, line, "missing", "there is no %s" % picture)
        elif self.refused(picture, ""):
            self.problem(picture, 0, "corrupt picture", reason)
        else:
            self.lines_to_blame(label_file(picture), reason)

    def refused(self, picture, labels):
        """What the loader says against a picture with these labels; empty if it takes it."""
        taken, *_, message = datasets.verify_image_label((picture, labels, ""))
        return "" if taken else message[len(LEFT_OUT) + len(picture) + 2 :]

    def tried(self, lines):
        """What the loader says against these lines of labels."""
        with open(self.trial, "wb") as f:
            f.write(b"\n".join(lines))
        return self.refused(self.blank, self.trial)

    def lines_to_blame(self, file, reason):
        """The lines of a label file for which the loader leaves its picture out, found by trying them."""
        with open(file, "rb") as f:
            lines = f.read().rstrip().split(b"\n")
        outline = [OUTLINE] if any(len(line.split()) > 8 for line in lines) else []
        good, blamed = [], False
        for n, line in enumerate(lines[:MOST_LINES], 1):
            if not line.strip():
                said = "a line of nothing but blanks" if good and line.strip(b"\r") else ""
            else:
                said = self.tried([line, *outline]) or self.tried([*good, line, *outline])
                good += [] if said else [line]
            if said:
                blamed = True
                what = line.strip().decode(errors="replace")[:80]
                self.problem(file, n, "wrong label", "%s: %s" % (said, what) if what else said)
        if not blamed:
            self.problem(file, 0, "wrong label", reason)

    # -- what the loader takes without a word ---------------------------------------------------------------------

    def rows(self, picture, labels, segments):
        """Rows that a training learns wrongly, or stops at."""
        said = []
        classes = len(self.data["names"])
        for n, (label, x, y, w, h) in enumerate(labels.tolist()):
            if label != int(label) or label >= classes:
                said.append((n, "wrong class", "%g; there are 0 to %d" % (label, classes - 1)))
            elif w <= 0 or h <= 0:
                said.append((n, "empty box", "its width is %g and its height %g" % (w, h)))
            elif len(segments) and len(segments[n]) == 2:
                what = "its file holds outlines, so that its four numbers are read as two corners"
                said.append((n, "box among outlines", what))
            elif max(abs(x - 0.5) + w / 2, abs(y - 0.5) + h / 2) > 0.5 + SLACK:
                said.append((n, "box leaves the picture", "%g %g %g %g" % (x, y, w, h)))
        if said:
            file = label_file(picture)
            with open(file) as f:
                lines = [n for n, line in enumerate(f.read().splitlines(), 1) if line.strip()]
            for n, kind, detail in said:
                (self.warning if kind == "box leaves the picture" else self.problem)(file, lines[n], kind, detail)

    def whole(self):
        """What shows where all splits are known."""
        for file, pictures in self.labels.items():
            for other in pictures[1:]:
                self.problem(other, 0, "shared label file", "%s has %s too" % (pictures[0], file))
        for folder in sorted({os.path.dirname(file) for file in self.labels}):
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                file = os.path.join(folder, name)
                mine = name.endswith(".txt") and name != "classes.txt" and file not in self.labels
                if mine and os.path.basename(folder) != "images" and file not in self.lists:
                    self.problem(file, 0, "label without a picture", "")
        every = {picture: os.path.getsize(picture) for pictures in self.pictures.values() for picture in pictures}
        for same in grouped(every, every.get):
            for alike in grouped(same, lambda picture: digest(picture, HEAD)):
                for first, *twins in grouped(alike, lambda picture: digest(picture, -1)):
                    for twin in twins:
                        self.problem(twin, 0, "duplicate picture", "the same bytes as %s" % first)


def label_file(picture):
    return datasets.img2label_paths([picture])[0]


def grouped(items, key):
    """Those with an equal key, in groups of two or more."""
    groups = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return [group for group in groups.values() if len(group) > 1]


def digest(path, length):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read(length)).digest()


def enter_folder(data):
    """Go where a relative path of the yaml leads to something."""
    root = data.get("path") or ""
    given = [data[name] for name in ("train", "val") if data[name]]
    paths = [str(path) for each in given for path in (each if isinstance(each, list) else [each])]
    for folder in FOLDERS:
        if any(os.path.exists(os.path.join(folder, str(root), path)) for path in paths):
            os.chdir(folder)
            return
    os.chdir(FOLDERS[0])


def main(data, lines):
    enter_folder(data)
    refused = ""
    data.setdefault("names", ["class%d" % i for i in range(data["nc"])])
    try:
        check_dataset(data, autodownload=False)
    except Exception as error:
        refused = str(error)
    review = Review(data, lines)
    datasets.save_label_cache = lambda path, x: None
    datasets.load_label_cache = None  # so that everything is looked at, whatever was found before
    datasets.Pool = get_context("fork").Pool  # with what was turned off here
    save, Image.Image.save = Image.Image.save, lambda self, f, *a, **k: save(self, io.BytesIO(), *a, **k)
    refuse_writing()
    for name in SPLITS:
        if name != "test" or data.get(name):
            review.split(name)
    if refused and not review.problems:
        review.problem(FILE, 0, "refused", refused)
    review.whole()
    Image.Image.save = save
    names = data["names"]
    names = [str(names[i]) for i in range(len(names))]
    usable = {picture: rows for pictures in review.pictures.values() for picture, rows in pictures.items()}
    classes = Counter(int(row[0]) for rows in usable.values() for row in rows if 0 <= int(row[0]) < len(names))
    leave(
        torch=torch.__version__,
        names=names,
        splits=review.splits,
        objects=sorted(classes.items()),
        problems=review.problems,
        warnings=review.warnings,
        sheet=sheet.draw(SHEET, usable, names) if SHEET else 0,
    )


main(DATA, LINES)
