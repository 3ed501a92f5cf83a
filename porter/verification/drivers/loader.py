"""A data set as the tree's own loader reads it: ``loader.py TREE DATA.yaml RESULT.json SHEET FOLDER...``.

The loader's cache scan opens every picture and reads every label; what it says of them is reported, and where it says
too little (which line of a file, what it takes without a word and learns wrongly) a few looks of our own are added.
SHEET may be empty.  A relative path in the yaml is taken from the first FOLDER from which it leads to something.

Nothing outside of the folder that RESULT.json is in is written to.  v6.0 writes a label cache beside the labels, and a
JPEG that does not end as one it writes anew: both are turned off, and an audit hook refuses every other write.
"""

import glob
import io
import json
import os
import sys
from collections import Counter, defaultdict
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import datayaml
import picturefiles
import sheet
from entry import dataloaders, enter

FILE, RESULT, SHEET, *FOLDERS = enter(charts=True)
WORK = os.path.dirname(os.path.realpath(RESULT))
# how verify_image_label() says it; {} is the picture
LEFT_OUT = (
    "WARNING: Ignoring corrupted image and/or label {}: ",  # up to v6.0
    "WARNING: {}: ignoring corrupt image/label: ",  # v6.1, v6.2
    "WARNING \u26a0\ufe0f {}: ignoring corrupt image/label: ",  # v7.0
)
WRITTEN_ANEW = (
    "WARNING: corrupt JPEG restored and saved {}",
    "WARNING: {}: corrupt JPEG restored and saved",
    "WARNING \u26a0\ufe0f {}: corrupt JPEG restored and saved",
)
SLACK = 1e-3  # of the picture: what rounding may put a box outside of it
TREE = 1  # the place in FOLDERS of the tree


def leave(**found):
    with open(RESULT, "w", encoding="utf-8") as f:
        json.dump(found, f)
    sys.exit()


with open(os.path.join(sys.path[0], "utils", "general.py"), encoding="utf-8") as f:
    GENERAL = f.read()
# a yaml that cannot be read is said before torch is imported, which takes seconds
if find_spec("torch") is None:
    leave(torch=None, why="No module named 'torch'")
try:
    with open(FILE, errors="ignore") as f:  # as v6.0 does
        YAML = datayaml.read(f.read(), FILE, datayaml.counts_names(GENERAL))
except datayaml.Unreadable as error:
    what, why = error.args
    leave(torch=True, what=what, why=why)
except Exception as error:  # nested too deep, numbers of thousands of digits
    leave(torch=True, what="%s is no yaml of a data set" % FILE, why=str(error))
try:
    import torch
except Exception as error:  # a library of its own is not there
    leave(torch=None, why=str(error))

import numpy as np
from PIL import Image
from utils.general import check_dataset, segments2boxes

datasets = dataloaders()
READ_CACHE = datasets.load_label_cache
FILES = "im_files" if datasets.__name__ == "utils.dataloaders" else "img_files"  # a data set's pictures


def about(forms, picture, message):
    """What a message says of a picture behind one of these beginnings; None if it does not begin so."""
    heads = (form.format(picture) for form in forms)
    return next((message[len(head) :] for head in heads if message.startswith(head)), None)


def why(left_out, messages):
    """Pairs of a picture that the loader left out and its reason; it says one of each, in the same order."""
    rest = iter(messages)
    for picture in left_out:
        found = (about(LEFT_OUT, picture, message) for message in rest)
        yield picture, next((reason for reason in found if reason is not None), "")


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
    """The tree's loader, its scan kept: a data set that it refuses has one too.

    Attributes:
        scan: what the scan found.
        every: the pictures that it looked at.
        unusable: the others, each with why.
        cache: the file where a training keeps the scan, and what it would take from there instead of a scan.
    """

    scan, every, unusable, cache = None, (), (), ("", None)

    def cache_labels(self, path, prefix=""):
        pictures = getattr(self, FILES)
        reasons = ((picture, picturefiles.unusable(picture)) for picture in pictures)
        self.unusable = [each for each in reasons if each[1]]
        if not self.unusable:
            self.cache = path, self.cached(path)
        else:
            without = dict(self.unusable)
            pictures = [picture for picture in pictures if picture not in without]
            setattr(self, FILES, pictures)
            self.label_files = datasets.img2label_paths(pictures)
        found = super().cache_labels(path, prefix)
        self.scan, self.every = dict(found), list(pictures)
        return found

    def cached(self, path):
        try:
            found = READ_CACHE(path, getattr(self, FILES))
        except Exception:  # there is none, or it is none of the tree's
            return None
        key = self.cache_version, datasets.get_hash(self.label_files + getattr(self, FILES))
        return found if (found["version"], found["hash"]) == key else None


class Review:
    """What is found, split by split."""

    def __init__(self, yaml):
        self.data, self.lines = yaml.data, yaml.lines
        self.problems, self.warnings, self.splits = [], [], {}
        self.pictures = {}  # split -> usable picture -> rows of class and box
        self.looked = set()  # pictures that were, in a split before
        self.lists = set()  # of pictures
        self.folders = set()  # of labels
        self.labels = defaultdict(list)  # label file -> pictures that have it
        self.blank = os.path.join(WORK, "blank.png")
        Image.new("RGB", (32, 32)).save(self.blank)
        self.trial = os.path.join(WORK, "trial.txt")
        for key, line in yaml.twice.items():
            self.warning(FILE, line, "same key", "%s is there before; this one counts" % key)

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
        paths = datayaml.paths(given)
        absent = [(n, path) for n, path in enumerate(paths) if not os.path.exists(path)]
        for n, path in absent:
            say = self.warning if name == "test" else self.problem  # which a training does not read
            say(FILE, self.lines.get((name, n), line), "missing", "there is no %s" % path)
        if not paths:
            self.problem(FILE, line, "no pictures", "%s names none: a training ends with an error" % name)
        if absent or not paths:
            return
        named = self.named(paths)
        self.places(name, paths)
        loader = Loader.__new__(Loader)
        refused = ""
        try:
            loader.__init__(given, augment=name == "train")
        except Exception as error:
            refused = str(error).splitlines()[0] if str(error) else type(error).__name__
        for picture, why in loader.unusable:
            self.problem(*(named.get(picture) or [(picture, 0)])[0], "unusable picture", "%s: %s" % (why, picture))
        if loader.scan is None:
            self.problem(FILE, line, "no pictures", refused)
            return
        self.scanned(name, loader, named)
        if name != "test" and self.pictures[name] and not self.splits[name]["objects"]:
            ends = "training ends with an error" if name == "train" else "every mAP will be 0"
            self.problem(FILE, line, "no labels", "no picture of %s has any object: %s" % (name, ends))
        elif refused:
            self.problem(FILE, line, "no pictures", "the loader can use none of them: %s" % refused)

    def places(self, name, paths):
        """What the loader passes over in folders, and where their labels are."""
        for n, path in enumerate(paths):
            if not os.path.isdir(path):
                continue
            if glob.has_magic(path):
                line = self.lines.get((name, n), self.lines.get(name, 0))
                what = "the loader takes *, ? and [ in %s for a pattern, not for a name" % path
                self.problem(FILE, line, "path is a pattern", what)
            for file, why in picturefiles.passed_over(path, datasets.IMG_FORMATS):
                self.problem(file, 0, "left out", why)
            folder = os.path.dirname(label_file(os.path.join(path, "x.x")))
            if folder != os.path.normpath(path):
                self.folders.update(place for place, _, _ in os.walk(folder))

    def named(self, paths):
        """Picture -> the lists and lines that name it, as the loader reads a list."""
        found = defaultdict(list)
        for path in filter(os.path.isfile, paths):
            self.lists.add(path)
            try:
                with open(path) as f:
                    rows = list(picturefiles.numbered(f.read()))
            except UnicodeDecodeError as error:
                self.problem(path, error.object.count(b"\n", 0, error.start) + 1, "no text", str(error))
                continue
            parent = str(Path(path).parent) + os.sep
            for line, row in rows:
                picture = row.replace("./", parent) if row.startswith("./") else row
                found[picture].append((path, line))
                if row.strip() and picture.split(".")[-1].lower() not in datasets.IMG_FORMATS:
                    self.problem(path, line, "left out", "the loader takes it for no picture: %r" % row[:80])
        return found

    def scanned(self, name, loader, named):
        """What a scan says; a picture that another split has too is looked at once."""
        scan, every = loader.scan, loader.every
        nf, nm, ne, _, n = scan["results"]
        rows = {picture: scan[picture] for picture in every if picture in scan}
        objects = sum(len(found) for found, _, _ in rows.values())
        self.splits[name] = {"pictures": n, "labelled": nf, "unlabelled": nm, "empty": ne, "objects": objects}
        said = set(scan["msgs"])
        for picture in every:
            if picture not in self.looked and any(form.format(picture) in said for form in WRITTEN_ANEW):
                what = "it does not end as a JPEG does: a training would write it anew"
                self.problem(picture, 0, "corrupt picture", what)
        lacking = [picture for picture in dict.fromkeys(every) if picture not in rows]
        for picture, reason in why(lacking, scan["msgs"]):
            if picture not in self.looked:
                self.left_out(picture, reason, named)
        self.decoded([picture for picture in rows if picture not in self.looked], rows)
        for picture, (found, _, segments) in rows.items():
            if picture not in self.looked:
                self.rows(picture, found, segments) if len(found) else self.unlabelled(picture)
            self.pictures[name][picture] = found.tolist()
        for picture in dict.fromkeys(every):
            for file, line in named.get(picture, [])[1:]:
                self.problem(file, line, "duplicate picture", "%s is named before" % picture)
            if picture not in self.looked:
                self.labels[label_file(picture)].append(picture)
        self.looked.update(every)
        self.cached(*loader.cache, rows)
        both = len(set(rows) & set(self.pictures["train"])) if name == "val" else 0
        if both:
            what = "%d of %d pictures of val are in train too" % (both, len(rows))
            self.warning(FILE, self.lines.get(name, 0), "same pictures", what)

    def cached(self, path, kept, rows):
        """An old label cache that a training would take although the files say something else now.

        It does so where no path and no sum of sizes has changed: a class may have.
        """
        if kept is None:
            return
        kept = {
            picture: found for picture, found in kept.items() if picture not in ("hash", "results", "msgs", "version")
        }
        other = sorted(p for p in {**kept, **rows} if not same(kept.get(p), rows.get(p)))
        if other:
            what = "a training takes it, and it has something else than the files of %d pictures, such as %s: remove it"
            self.problem(path, 0, "old label cache", what % (len(other), other[0]))

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

    def refused(self, picture, label):
        """What the loader says against a picture with this label file; empty if it takes it."""
        taken, *_, message = datasets.verify_image_label((picture, label, ""))
        return "" if taken else about(LEFT_OUT, picture, message) or message

    def tried(self, lines):
        """What the loader says against these lines of labels."""
        with open(self.trial, "wb") as f:
            f.write(b"\n".join(lines))
        return self.refused(self.blank, self.trial)

    def lines_to_blame(self, file, reason):
        """The lines of a label file for which the loader leaves its picture out, found by trying them."""
        try:
            with open(file, "rb") as f:
                found = picturefiles.wrong_lines(f.read(), self.tried, segments2boxes)
        except (OSError, ValueError):
            found = [(0, reason)]
        for line, said in found:
            self.problem(file, line, "wrong label", said)

    # -- what the loader takes without a word ---------------------------------------------------------------------

    def decoded(self, pictures, rows):
        """What shows where a training reads the pictures, which the scan only opens."""
        for picture in pictures:
            width, height = rows[picture][1]
            least = picturefiles.narrow((width, height))
            if least > picturefiles.FEWEST:
                what = "%d x %d pixels: with --img below %d nothing is left of one side, and a training ends"
                say = self.problem if least > picturefiles.USUAL else self.warning
                say(picture, 0, "narrow picture", what % (width, height, least))
        pictures = [picture for picture in pictures if picturefiles.narrow(rows[picture][1]) <= picturefiles.USUAL]
        load = getattr(datasets, "load_image", None) or datasets.LoadImagesAndLabels.load_image  # a method from v6.1 on
        decode = picturefiles.Decoder(load, WORK)
        with datasets.Pool(min(datasets.NUM_THREADS, len(pictures) or 1)) as pool:
            for picture, stop, damage, changed in pool.imap(decode, pictures):
                if stop:
                    what = "OpenCV cannot read it, and a training ends there: %s" % stop
                    self.problem(picture, 0, "corrupt picture", what)
                elif damage:
                    (self.problem if changed else self.warning)(picture, 0, "corrupt picture", damage)

    def unlabelled(self, picture):
        """A picture that is learned as one without objects, although there is something in its label's place."""
        file, beside = label_file(picture), os.path.splitext(picture)[0] + ".txt"
        if os.path.isfile(file):
            return
        if os.path.lexists(file):
            self.problem(file, 0, "no label file", "it is no file, or a link to none")
        elif os.path.isfile(beside) and beside not in self.lists:
            self.problem(beside, 0, "label in another folder", "the loader looks for %s" % file)

    def rows(self, picture, found, segments):
        """Rows that a training learns wrongly, or stops at."""
        said = []
        classes = int(self.data["nc"])
        for n, (label, x, y, w, h) in enumerate(found.tolist()):
            if not label.is_integer() or label >= classes:
                said.append((n, "wrong class", "%.12g; there are 0 to %d" % (label, classes - 1)))
            elif w <= 0 or h <= 0:
                said.append((n, "empty box", "its width is %g and its height %g" % (w, h)))
            elif len(segments) and len(segments[n]) == 2:
                what = "its file holds polygons, so that its four numbers are read as two corners"
                said.append((n, "box among polygons", what))
            elif max(abs(x - 0.5) + w / 2, abs(y - 0.5) + h / 2) > 0.5 + SLACK:
                said.append((n, "box leaves the picture", "%g %g %g %g" % (x, y, w, h)))
        if said:
            file = label_file(picture)
            with open(file) as f:
                lines = [line for line, row in picturefiles.numbered(f.read()) if row.strip()]
            for n, kind, detail in said:
                # from v6.1 on rows that stand there twice are merged, and no row is where it was
                line = lines[n] if len(lines) == len(found) else 0
                (self.warning if kind == "box leaves the picture" else self.problem)(file, line, kind, detail)

    def whole(self):
        """What shows where all splits are known."""
        for file, pictures in self.labels.items():
            for other in pictures[1:]:
                self.problem(other, 0, "shared label file", "%s has %s too" % (pictures[0], file))
        self.folders.update(os.path.dirname(file) for file in self.labels)
        for folder in sorted(self.folders):
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                file = os.path.join(folder, name)
                mine = name.lower().endswith(".txt") and name != "classes.txt" and file not in self.labels
                if mine and os.path.basename(folder) != "images" and file not in self.lists:
                    self.problem(file, 0, "label without a picture", "")
        every = dict.fromkeys(picture for pictures in self.pictures.values() for picture in pictures)
        for twin, first in picturefiles.twins(every):
            self.problem(twin, 0, "duplicate picture", "the same bytes as %s" % first)


def label_file(picture):
    return datasets.img2label_paths([picture])[0]


def same(one, other):
    """Are two pictures' labels, shape and polygons the same?"""
    if one is None or other is None:
        return False
    (labels1, shape1, segments1), (labels2, shape2, segments2) = one, other
    if tuple(shape1) != tuple(shape2) or len(segments1) != len(segments2):
        return False
    return np.array_equal(labels1, labels2) and all(map(np.array_equal, segments1, segments2))


def enter_folder(data):
    """Go where a relative path of the yaml leads to something; returns whether a training finds it from the tree."""
    given = [path for name in ("train", "val") for path in datayaml.paths(data[name])]
    given = [os.path.join(data.get("path") or "", path) for path in given]
    for folder in FOLDERS:
        if any(os.path.exists(os.path.join(folder, path)) for path in given):
            os.chdir(folder)
            relative = any(not os.path.isabs(path) for path in given)
            return not relative or os.path.realpath(folder) == os.path.realpath(FOLDERS[TREE])
    os.chdir(FOLDERS[0])
    return True


def main(yaml):
    data = yaml.data
    found = enter_folder(data)
    refused = ""
    data.setdefault("names", ["class%d" % i for i in range(int(data["nc"]))])
    try:
        check_dataset(data, autodownload=False)
    except Exception as error:
        refused = str(error)
    review = Review(yaml)
    datasets.save_label_cache = lambda path, x: None
    datasets.load_label_cache = None  # so that everything is looked at, whatever was found before
    datasets.Pool = get_context("fork").Pool  # with what was turned off here
    save, Image.Image.save = Image.Image.save, lambda self, f, *a, **k: save(self, io.BytesIO(), *a, **k)
    if not found:
        what = "its paths are taken from %s; train.py takes them from the folder that it is started in" % os.getcwd()
        review.warning(FILE, yaml.lines.get("path", yaml.lines["train"]), "relative path", what)
    refuse_writing()
    for name in datayaml.SPLITS:
        if name != "test" or data.get(name):
            review.split(name)
    if refused and not review.problems:
        review.problem(FILE, 0, "refused", refused)
    review.whole()
    Image.Image.save = save
    names = data["names"]
    names = [str(name) for name in (names.values() if isinstance(names, dict) else names)]
    usable = {picture: rows for pictures in review.pictures.values() for picture, rows in pictures.items()}
    classes = Counter(int(row[0]) for rows in usable.values() for row in rows if 0 <= row[0] < len(names))
    leave(
        torch=torch.__version__,
        names=names,
        splits=review.splits,
        objects=sorted(classes.items()),
        problems=review.problems,
        warnings=review.warnings,
        sheet=sheet.draw(SHEET, usable, names) if SHEET else 0,
    )


main(YAML)
