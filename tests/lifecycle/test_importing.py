from __future__ import annotations

import random
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sources import Heard, closed_port, git
from stacks import commit, inventory, message, porter

from porter.commands.apply import apply
from porter.commands.import_ import import_
from porter.commands.lint import lint
from porter.errors import CheckFailed, PorterError, WrongUsage
from porter.foreign.reader import read
from porter.foreign.tree import Imported
from porter.lockfile import Lock
from porter.project import Project
from porter.stack import load_part

from .hostile import hostile
from .test_rewrite import state

pytestmark = pytest.mark.usefixtures("warm")

GENERAL = "def log(text):\n    print('mlu', text)\n"


@pytest.fixture(autouse=True)
def named(own_home: Path) -> None:
    """git knows who imports."""
    (own_home / ".gitconfig").write_text("[user]\n\tname = Me\n\temail = me@example.org\n")


@pytest.fixture
def vendor(made: Path, tmp_path: Path) -> Path:
    """A vendor's clone of upstream at the pin."""
    git("clone", "-q", made / "small", tmp_path / "vendor", cwd=tmp_path)
    git("switch", "-q", "-c", "mine", "v6.0", cwd=tmp_path / "vendor")
    return tmp_path / "vendor"


def diff(vendor: Path, *options: str) -> Path:
    """What the vendor changed, as a file."""
    git("add", "-A", cwd=vendor)
    command = ["git", "-C", str(vendor), "diff", "--cached", *options, "HEAD"]
    done = subprocess.run(command, capture_output=True, check=True)
    file = vendor.parent / "vendor.patch"
    file.write_bytes(done.stdout)
    return file


def accepted(project: Project, source: Path, **options: object) -> tuple[Imported, Path]:
    """Import, then accept; and the tree that the stack gives then."""
    before = inventory(project.root)
    made = import_(source, "mlu", tree=source.parent / "look", **options, project=project)
    assert made.exported is None
    assert inventory(project.root) == before, "nothing changes before it is accepted"
    done = import_(source, "mlu", tree=source.parent / "look", accept=True, **options, project=project)
    assert done.exported is not None
    apply(["mlu"], source.parent / "fresh", project=project)
    assert git("rev-parse", "HEAD^{tree}", cwd=source.parent / "fresh") == git(
        "rev-parse", "HEAD^{tree}", cwd=source.parent / "look"
    )
    return made, source.parent / "fresh"


def test_a_big_diff(project: Project, vendor: Path) -> None:
    (vendor / "utils/general.py").write_text(GENERAL)
    (vendor / "utils/mlu.py").write_text("MLU = 1\n")
    (vendor / "LICENSE").unlink()
    (vendor / "data/scripts/get.sh").write_text("#!/bin/sh\nexit 1\n")
    (vendor / "models/yolo.py").chmod(0o755)
    made, fresh = accepted(project, diff(vendor))
    assert made.base.startswith("v6.0 (")
    assert made.rejects == ()
    assert (fresh / "utils/general.py").read_text() == GENERAL
    assert (fresh / "utils/mlu.py").read_text() == "MLU = 1\n"
    assert not (fresh / "LICENSE").exists()
    # common moved that file; the change follows it
    assert (fresh / "data/get.sh").read_text() == "#!/bin/sh\nexit 1\n"
    assert (fresh / "models/yolo.py").stat().st_mode & 0o100
    (patch,) = load_part(project.patches / "mlu")[2:]
    assert (patch.author, patch.stack, patch.trailer("Reason")) == ("Me <me@example.org>", "mlu", "TODO")
    assert {finding.file for finding in lint(project=project)} == {"patches/mlu/import-vendor.patch.patch"}
    with pytest.raises(CheckFailed, match="is new") as error:
        import_(made.tree.parent / "vendor.patch", "mlu", tree=made.tree.parent / "again", project=project)
    assert "already" in error.value.hint
    assert not (made.tree.parent / "again").exists()


def test_one_patch_a_file(project: Project, vendor: Path) -> None:
    (vendor / "utils/general.py").write_text(GENERAL)
    (vendor / "utils/mlu.py").write_text("MLU = 1\n")
    accepted(project, diff(vendor), split=True, stack="common")
    assert [patch.subject for patch in load_part(project.patches / "common")[3:]] == [
        "Import vendor.patch: utils/general.py",
        "Import vendor.patch: utils/mlu.py",
    ]


def test_what_does_not_fit_lies_beside_its_file_with_both_sides(project: Project, vendor: Path) -> None:
    (vendor / "train.py").write_text("import torch\n\n\ndef main(opt):\n    print('vendor', opt)\n")
    (vendor / "utils/general.py").write_text(GENERAL)
    (vendor / "utils/accelerator").mkdir()
    (vendor / "utils/accelerator/mlu.py").write_text("NAME = 'vendor'\n")
    (vendor / "data/images/bus.jpg").write_bytes(b"\0other")
    (project.patches / "mlu/series").write_text("register-the-mlu.patch\n")
    (project.patches / "mlu/know-the-mlu-at-the-top.patch").unlink()
    assert porter("lock", cwd=project.root).returncode == 0
    source, tree = diff(vendor), vendor.parent / "look"
    done = porter("import", source, "--target", "mlu", "--tree", tree, cwd=project.root)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "rejected utils/accelerator/mlu.py: it is to be added, and the stack has another" in done.stdout
    assert "rejected data/images/bus.jpg: it is a binary file" in done.stdout
    assert git("log", "-1", "--format=", "--name-only", cwd=tree) == "train.py\nutils/general.py"
    rejects = git("ls-files", "--others", cwd=tree).split("\n")
    assert rejects == ["data/images/bus.jpg.rej", "utils/accelerator/mlu.py.rej"]
    assert "+NAME = 'vendor'" in (tree / "utils/accelerator/mlu.py.rej").read_text()
    before = state(project)
    refused = porter("import", source, "--target", "mlu", "--tree", tree, "--accept", cwd=project.root)
    assert (refused.returncode, "mlu.py.rej" in refused.stderr) == (1, True)
    refused = porter("import", source, "--target", "mlu", "--tree", tree, cwd=project.root)
    assert (refused.returncode, "--accept" in refused.stderr) == (2, True)
    assert state(project) == before
    # a person works one in by hand, as a fixup, and gives the other up
    (tree / "utils/accelerator/mlu.py").write_text("NAME = 'mlu, vendor'\n")
    git("commit", "-q", "-a", "--fixup=HEAD", cwd=tree)
    for path in rejects:
        (tree / path).unlink()
    done = porter("import", source, "--target", "mlu", "--tree", tree, "--accept", cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert "NAME = 'mlu, vendor'" in load_part(project.patches / "mlu")[-1].text


def test_a_conflict_shows_both_sides(project: Project, vendor: Path) -> None:
    """mlu's stack and the vendor change the same line of the file that common adds to upstream."""
    (vendor / "train.py").write_text("import other\nimport torch\n\n\ndef main(opt):\n    print('train', opt)\n")
    made = import_(diff(vendor), "mlu", tree=vendor.parent / "look", project=project)
    assert made.rejects == ("train.py.rej",)
    text = (made.tree / "train.py.rej").read_text()
    assert "<<<<<<< the stack\nfrom utils import accelerator\n=======\nimport other\n>>>>>>> the patch" in text
    assert "+import other" in text


def test_the_users_git_settings_change_nothing(project: Project, vendor: Path, own_home: Path) -> None:
    (vendor / "train.py").write_text("import other\nimport torch\n\n\ndef main(opt):\n    print('train', opt)   \n")
    (vendor / "utils/general.py").write_text(GENERAL)
    git("mv", "models/yolo.py", "models/mlu.py", cwd=vendor)
    source, found = diff(vendor), []
    for name in ("plain", "other"):
        made = import_(source, "mlu", tree=vendor.parent / name, project=project)
        rejects = {path: (made.tree / path).read_bytes() for path in made.rejects}
        found.append((git("rev-parse", "HEAD^{tree}", cwd=made.tree), rejects, made.record()["patches"]))
        (own_home / "attributes").write_text("* merge=union eol=crlf\n")
        with (own_home / ".gitconfig").open("a") as config:
            config.write(
                "[apply]\n\twhitespace = error-all\n[merge]\n\tconflictStyle = diff3\n\trenames = false\n[diff]\n"
                "\tnoprefix = true\n\texternal = false\n\trenames = false\n[core]\n\tautocrlf = true\n"
                f"\tattributesFile = {own_home / 'attributes'}\n\tabbrev = 4\n[rerere]\n\tenabled = true\n"
            )
    assert found[0] == found[1]
    assert list(found[0][1]) == ["train.py.rej"]


def test_a_path_in_a_file_is_rejected_and_told(project: Project, tmp_path: Path) -> None:
    text = (
        "--- a/train.py/x.py\n+++ b/train.py/x.py\n@@ -1 +1 @@\n-a\n+b\n--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+n\n"
    )
    (tmp_path / "odd.diff").write_text(text)
    made = import_(tmp_path / "odd.diff", "mlu", base="v6.0", tree=tmp_path / "look", project=project)
    assert made.rejects == ("import.rej",)
    assert "train.py/x.py: neither upstream nor the stack has such a file" in (made.tree / "import.rej").read_text()


def test_mails_keep_what_they_say(project: Project, vendor: Path) -> None:
    (vendor / "utils/general.py").write_text(GENERAL)
    commit(vendor, message("Log as the MLU does (寒武纪)", "mlu"), 1700000000)
    (vendor / "utils/mlu.py").write_text("MLU = 1\n")
    text = "[vendor] Add the MLU.\n\nIt is there:\n\ndiff - is a word\n\nSigned-off-by: A <a@example.com>\n"
    commit(vendor, text, 1700000001)
    (vendor / "utils/general.py").write_text(GENERAL + "# more\n")
    commit(vendor, "Change it again", 1700000002)
    file = vendor.parent / "mails"
    file.write_text(git("format-patch", "--stdout", "v6.0", cwd=vendor) + "\n")
    accepted(project, file)
    one, two, three = load_part(project.patches / "mlu")[2:]
    assert one.message == message("Log as the MLU does (寒武纪)", "mlu")
    assert (one.author, one.date) == ("Zoë Porter <zoe@example.org>", "1700000000 +0800")
    assert two.subject == "Add the MLU"
    assert two.body.startswith("It is there:\n\n  diff - is a word\n\nSigned-off-by: A")
    assert dict(two.trailers)["Check"] == "TODO"
    assert b"+# more\n" in three.data


def test_a_folder_of_mails_and_a_quilt_series(project: Project, vendor: Path, tmp_path: Path) -> None:
    (vendor / "utils/general.py").write_text(GENERAL)
    commit(vendor, message("Log it", "mlu"), 1700000000)
    (vendor / "utils/general.py").write_text(GENERAL + "# more\n")
    commit(vendor, message("Log more", "mlu"), 1700000000)
    git("format-patch", "-q", "-o", tmp_path / "mails", "v6.0", cwd=vendor)
    made = import_(tmp_path / "mails", "mlu", tree=tmp_path / "one", project=project)
    assert [outcome.patch.subject for outcome in made.outcomes] == ["Log it", "Log more"]

    quilt = tmp_path / "debian"
    (quilt / "patches").mkdir(parents=True)
    first = git("diff", "--no-prefix", "v6.0", "HEAD~1", cwd=vendor)
    second = subprocess.run(
        ["diff", "-ru", "--label", "x/utils/general.py.orig", "--label", "x/utils/general.py", "/dev/stdin",
         vendor / "utils/general.py"],
        input=GENERAL.encode(), capture_output=True, check=False,
    ).stdout.decode()  # fmt: skip
    (quilt / "patches/log.patch").write_text(f"Description: Log it, quilt\nAuthor: Ann <ann@example.org>\n\n{first}\n")
    (quilt / "patches/more.patch").write_text(f"More of it.\nAnd why.\n\nIndex: x/utils/general.py\n====\n{second}")
    (quilt / "patches/series").write_text("# order\nlog.patch -p0\nmore.patch\n")
    made = import_(quilt, "mlu", tree=tmp_path / "two", project=project)
    assert made.rejects == ()
    assert git("log", "-2", "--format=%s|%an", cwd=made.tree) == "More of it|Me\nLog it, quilt|Ann"
    assert git("rev-parse", "HEAD^{tree}", cwd=made.tree) == git("rev-parse", "HEAD^{tree}", cwd=tmp_path / "one")


def test_a_changed_copy_of_upstream(project: Project, vendor: Path) -> None:
    fork = vendor.parent / "fork"
    shutil.copytree(vendor, fork, ignore=shutil.ignore_patterns(".git", "images"))
    (fork / "utils/general.py").write_bytes(GENERAL.replace("\n", "\r\n").encode())
    (fork / "utils/mlu.py").write_text("MLU = 1\n")
    (fork / "LICENSE").unlink()
    (fork / "weights.pt").write_bytes(b"\0")  # upstream's .gitignore names it
    (fork / "blob.bin").write_bytes(b"\0")
    (fork / "link.py").symlink_to("train.py")
    made = import_(fork, "mlu", tree=vendor.parent / "look", project=project)
    assert made.base.startswith("v6.0 (")
    assert (made.rejects, made.lacking) == (("blob.bin.rej",), ("LICENSE", "data/images/bus.jpg"))
    assert (
        git("log", "-1", "--format=%s", "--name-only", cwd=made.tree) == "Import fork\n\nutils/general.py\nutils/mlu.py"
    )
    assert (made.tree / "utils/general.py").read_text() == GENERAL
    assert (made.tree / "LICENSE").exists()
    with pytest.raises(WrongUsage, match="neither patches nor a copy"):
        import_(fork / "utils", "mlu", tree=vendor.parent / "none", project=project)


def test_what_it_was_made_for_is_found_in_the_history(project: Project, made: Path, vendor: Path) -> None:
    """The small upstream has a commit before the pin and one after it, each with another train.py."""
    older, newer = (git("rev-parse", rev, cwd=made / "small") for rev in ("v6.0~1", "master"))
    for commit_id in (older, newer):
        git("switch", "-q", "--detach", commit_id, cwd=vendor)
        text = (vendor / "train.py").read_text()
        (vendor / "train.py").write_text(text + "mlu = 1\n")
        source = diff(vendor)
        # the ids in the index lines are taken away: the lines alone have to tell
        kept = [row for row in source.read_text().split("\n") if not row.startswith("index ")]
        source.write_text("\n".join(kept))
        found = import_(source, "mlu", tree=vendor.parent / commit_id[:7], project=project)
        assert found.base.startswith(f"{commit_id[:12]} ("), found.base
        assert found.rejects == ("train.py.rej",)
        named = import_(source, "mlu", base="v6.0", tree=vendor.parent / f"named-{commit_id[:7]}", project=project)
        assert named.base.endswith("as you said")
        git("reset", "-q", "--hard", cwd=vendor)


def test_without_the_history_the_pin_is_taken(
    project: Project, vendor: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "cache"))
    apply(["mlu"], tmp_path / "filled", project=project)
    git("switch", "-q", "--detach", "origin/master", cwd=vendor)
    (vendor / "train.py").write_text((vendor / "train.py").read_text() + "mlu = 1\n")
    source = diff(vendor)

    heard = Heard()
    absent = f"http://127.0.0.1:{closed_port()}/yolov5"
    made = import_(source, "mlu", tree=tmp_path / "look", upstream=absent, project=project, progress=heard)
    assert made.base.startswith("v6.0 (")
    assert [line for line in heard.notes if "history cannot be had" in line]
    assert made.rejects == ("train.py.rej",)


def test_a_name_that_is_bound_again_is_shown(project: Project, vendor: Path) -> None:
    """A hunk that fits below the function of the stack replaces it, and no conflict says so."""
    general = vendor / "utils/general.py"
    general.write_text(general.read_text() + "\nlog = print\n")
    made = import_(diff(vendor), "mlu", tree=vendor.parent / "look", project=project)
    assert [str(name) for name in made.rebound] == [
        "utils/general.py: log of line 1 is bound again in line 4, which replaces it: the import's counts"
    ]
    assert made.record()["rebound"][0]["added"] == [4]


def test_what_the_lock_would_not_be_read_with_is_not_written(project: Project) -> None:
    lock = Lock.load(project.lock_path)
    before, stack = project.lock_path.read_bytes(), lock.stacks["mlu"]
    broken = replace(stack, files={**stack.files, "docs \\303/x": None, "../x": None})
    with pytest.raises(WrongUsage):
        replace(lock, stacks={**lock.stacks, "mlu": broken}).write(project.lock_path)
    assert project.lock_path.read_bytes() == before


def test_a_path_that_is_not_ascii(project: Project, vendor: Path) -> None:
    (vendor / "docs ü").mkdir()
    (vendor / "docs ü/read me 猫.txt").write_text("hi\n")
    _, fresh = accepted(project, diff(vendor))
    assert (fresh / "docs ü/read me 猫.txt").read_text() == "hi\n"
    assert "docs ü/read me 猫.txt" in Lock.load(project.lock_path).stacks["mlu"].files


def test_a_path_that_is_not_utf_8(project: Project, tmp_path: Path) -> None:
    text = rb'"%s/x\377.py"'
    head = b"diff --git %s %s\nnew file mode 100644\n--- /dev/null\n+++ %s\n@@ -0,0 +1 @@\n+hi\n"
    (tmp_path / "odd.diff").write_bytes(head % (text % b"a", text % b"b", text % b"b"))
    with pytest.raises(CheckFailed, match="can be taken") as error:
        import_(tmp_path / "odd.diff", "mlu", tree=tmp_path / "look", project=project)
    assert "x\\udcff.py' is not UTF-8" in error.value.why
    assert error.value.hint == "Each line says what to do."
    lock = Lock.load(project.lock_path)
    files = {**lock.stacks["mlu"].files, "x\udcff.py": None}
    with pytest.raises(WrongUsage, match="cannot hold a file"):
        lock_with = replace(lock, stacks={**lock.stacks, "mlu": replace(lock.stacks["mlu"], files=files)})
        lock_with.write(project.lock_path)
    assert Lock.load(project.lock_path) == lock


def test_what_git_refuses_in_a_tree_is_refused(project: Project, tmp_path: Path) -> None:
    text = "diff --git a/.gitmodules b/.gitmodules\nnew file mode 100644\n--- /dev/null\n+++ b/.gitmodules\n"
    (tmp_path / "odd.diff").write_text(text + '@@ -0,0 +1,3 @@\n+[submodule "../x"]\n+\tpath = x\n+\turl = -u./x\n')
    with pytest.raises(CheckFailed, match="git refuses what") as error:
        import_(tmp_path / "odd.diff", "mlu", tree=tmp_path / "look", project=project)
    assert "disallowed submodule" in error.value.why
    assert not (tmp_path / "look").exists()


def test_hostile_inputs_are_taken_or_refused_and_the_checkout_works(project: Project, tmp_path: Path) -> None:
    """Each ends in an error of porter's or in a tree; what is accepted of it, the lock is read with."""
    chance = random.Random(14)
    source, tree, before, left = tmp_path / "x.diff", tmp_path / "look", state(project), 3
    for _ in range(120):
        source.write_bytes(hostile(chance))
        begun = time.process_time()
        with suppress(PorterError):
            if not read(source, Lock.load(project.lock_path).pin.files) or not left:
                continue
            left -= 1
            import_(source, "mlu", tree=tree, project=project)
            for path in tree.rglob("*.rej"):
                path.unlink()
            assert state(project) == before, "nothing changes before it is accepted"
            import_(source, "mlu", tree=tree, accept=True, project=project)
            lint(project=project)
            before = state(project)
        assert time.process_time() - begun < 10
        assert state(project) == before, "nothing is written on refusal"
        shutil.rmtree(tree, ignore_errors=True)
    assert left == 0


def test_what_cannot_be_imported(project: Project, vendor: Path, tmp_path: Path, own_home: Path) -> None:
    with pytest.raises(WrongUsage, match="there is no"):
        import_(tmp_path / "absent", "mlu", project=project)
    (tmp_path / "text").write_text("Hello\n")
    with pytest.raises(CheckFailed, match="there is no diff"):
        import_(tmp_path / "text", "mlu", project=project)
    (vendor / "utils/general.py").write_text(GENERAL)
    source = diff(vendor)
    with pytest.raises(WrongUsage, match="cannot go to tpu"):
        import_(source, "mlu", stack="tpu", project=project)
    (tmp_path / "taken").mkdir()
    with pytest.raises(WrongUsage, match="no import made it"):
        import_(source, "mlu", tree=tmp_path / "taken", project=project)
    (own_home / ".gitconfig").unlink()
    with pytest.raises(WrongUsage, match="git does not know who"):
        import_(source, "mlu", tree=tmp_path / "nobody", project=project)
    assert not (tmp_path / "nobody").exists()
    (tmp_path / "out").write_text(source.read_text().replace("utils/general.py", "../general.py"))
    (own_home / ".gitconfig").write_text("[user]\n\tname = Me\n\temail = me@example.org\n")
    with pytest.raises(CheckFailed, match="can be taken"):
        import_(tmp_path / "out", "mlu", tree=tmp_path / "escaped", project=project)
