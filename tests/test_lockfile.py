from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources import Upstream, make_index

from porter.errors import CheckFailed, PorterError, WrongUsage
from porter.lockfile import GitSource, IndexSource, Lock, Part, StackLock, Tip, Wheel, WheelEdit

OURS = Path(__file__).resolve().parents[1] / "upstream.lock"
A, B, C = "a" * 40, "0" * 40, "1" * 40


def test_our_lock_pins_v6_0() -> None:
    lock = Lock.load(OURS)
    assert lock.pin.commit == "956be8e642b5c10af4a1533e09084ca32ff4f21f"
    assert lock.pin.tree == "09d3c58a0fe97285f4002ddc39e64265db2021f7"
    assert len(lock.pin.files) == 99
    assert lock.pin.files["utils/datasets.py"].mode == "100755"
    assert lock.pin.stamp == "1634021238 -0700"
    assert [type(source) for source in lock.sources] == [GitSource, IndexSource]
    assert len(lock.sources[1].files) == 72  # type: ignore[union-attr]


def test_our_lock_is_as_porter_writes_it() -> None:
    assert Lock.load(OURS).dumps() == OURS.read_text()


def test_a_lock_reads_as_it_was_written(small: Upstream, tmp_path: Path) -> None:
    stacks = {
        "tpu": StackLock("sha256:" + "b" * 64, A, B, {"z.py": None, "train.py": C, "a b.py": C}),
        "common": StackLock("c" * 64, A, B, {}, partial=Tip(C, A)),
    }
    lock = replace(small.locked("https://example.com/x", make_index(tmp_path / "wheels")), stacks=stacks)
    path = tmp_path / "upstream.lock"
    lock.write(path)
    assert Lock.load(path) == lock
    assert Lock.load(path).dumps() == path.read_text() == lock.dumps()
    turned = replace(lock, stacks=dict(reversed(list(stacks.items()))))
    assert turned.dumps() == lock.dumps()


texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029\ufeff", exclude_categories=["Cc", "Cs"]),
    min_size=1,
)


@given(
    text=texts | st.sampled_from(["\n", "\n\n", "null", "yes", "0", "'", '"', "- x", "# x", "a: b", "{path}", " x "])
)
@settings(max_examples=60, deadline=None)
def test_any_text_of_an_edit_survives(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    lock = Lock.load(OURS)
    part = Part("{path}", (WheelEdit("replace", text, text), WheelEdit("drop", text)), ("train.py",))
    lock = replace(lock, sources=(IndexSource((Wheel("a==1", "0" * 64, (part,)),)),))
    path = tmp_path_factory.mktemp("any") / "upstream.lock"
    lock.write(path)
    assert Lock.load(path) == lock


words = st.text("abe019._-/ :#'~", min_size=1, max_size=40)
odd = ("null", "yes", "on", "~", "1", "1.5", ".inf", ".nan", "1e5", "0x1f", "0b1/a", "2021-10-11", "a/" * 70 + "b")
ids = st.text("0123456789abcdef", min_size=40, max_size=40)


@given(
    files=st.dictionaries(
        words | st.sampled_from(odd) | st.from_regex(r"\A\.?[a-z_.-]{1,8}(/[a-z0-9_.-]{1,8}){0,3}\Z"),
        ids
        | ids.map(lambda i: f"100644 {i}")
        | st.sampled_from(["deleted", "0" * 40, "1e" + "1" * 38, "0b" + "1" * 38]),
    )
)
@settings(max_examples=80, deadline=None)
def test_any_path_and_id_survives(files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """What YAML could take for a number, a date or a word among them."""
    rows = {path: None if entry == "deleted" else entry[-40:] for path, entry in files.items()}
    lock = replace(Lock.load(OURS), stacks={"common": StackLock("a" * 64, A, B, rows)})
    path = tmp_path_factory.mktemp("any") / "upstream.lock"
    try:
        lock.write(path)
    except WrongUsage as error:
        assert "cannot hold a file of the tree" in error.what
    else:
        assert Lock.load(path) == lock


def test_it_grows_with_the_targets_and_not_with_their_sets() -> None:
    """Three targets more cost what the three cost."""
    lock = Lock.load(OURS)
    more = {f"x{name}": lock.stacks[name] for name in ("mlu", "npu", "tpu")}
    sizes = [len(replace(lock, stacks=stacks).dumps()) for stacks in ({}, lock.stacks, {**lock.stacks, **more})]
    assert sizes[2] - sizes[1] < sizes[1] - sizes[0]


def test_one_of_an_older_porter_is_read_and_said_to_be_out_of_step(tmp_path: Path) -> None:
    """It held every set of targets, and `common` only as a part of these."""
    lock = Lock.load(OURS)
    old = {"mlu": lock.stacks["mlu"], "mlu+tpu": lock.stacks["tpu"]}
    path = tmp_path / "upstream.lock"
    path.write_text(replace(lock, stacks=old).dumps())
    assert Lock.load(path) == replace(lock, stacks={})


TRAIN = "29ae43e3bd37940f25e87a8e68e4948b378f4474"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (f"train.py: 100644 {TRAIN}", f"train.py: 100644 {A}", "pin.files does not make pin.tree"),
        (f"train.py: 100644 {TRAIN}", f"train.py: 100755 {TRAIN}", "pin.files does not make pin.tree"),
        (f"train.py: 100644 {TRAIN}", f"trein.py: 100644 {TRAIN}", "pin.files does not make pin.tree"),
        (f"train.py: 100644 {TRAIN}", f"train.py: {TRAIN}", "pin.files.train.py should be a mode and a blob id"),
        (f"train.py: 100644 {TRAIN}", f"train.py: 100600 {TRAIN}", "pin.files.train.py should be a mode and a blob id"),
        (f"train.py: 100644 {TRAIN}", f"../train.py: 100644 {TRAIN}", "should be at a path inside the tree"),
        (f"train.py: 100644 {TRAIN}", f"x/.GIT/config: 100644 {TRAIN}", "should be at a path inside the tree"),
        (f"train.py: 100644 {TRAIN}", f"/train.py: 100644 {TRAIN}", "should be at a path inside the tree"),
        (f"train.py: 100644 {TRAIN}", f"train.py: 100644 {TRAIN}\n    train.py: 100644 {A}", "names a field once"),
        ("commit: 956b", "commit: 956B", "line 8: pin.commit should be 40 hexadecimal digits"),
        ("tag: v6.0", "tag: --upload-pack=x", "line 7: pin.tag should be a tag's name"),
        ("date: '2021-10-11T", "date: '2021-13-11T", "line 10: pin.date should be a date such as"),
        ("date: '2021-10-11T", "date: 'October ", "line 10: pin.date should be a date such as"),
        ("license: GPL-3.0-only", "licence: GPL-3.0-only", "with the field 'license'"),
        ("- git: https://", "- git: --upload-pack=https://", "sources[0].git should be the URL"),
        ("- git: https:", "- svn: https:", "sources[0].svn should be absent"),
        ("wheel: yolov5-6==1.0", "wheel: yolov5-6", "should be a pinned wheel: name==version"),
        ("wheel: yolov5-6==1.0", "wheel: -r/etc/passwd==1.0", "should be a pinned wheel: name==version"),
        ("sha256: 4c99", "sha256: 4c9", "sources[1].index[0].sha256 should be 64 hexadecimal digits"),
        ("      - train.py", "      - trein.py", "parts[1].files[0] should be a path in pin.files"),
        ("- newlines: lf", "- newlines: crlf", "edits[0].newlines should be lf"),
        ("      - drop: print", "      - delete: print", "edits[1].delete should be absent"),
        ("        by: data\n", "", "should be one of replace (with by), drop"),
        ("stacks: {}", "stacks: []", "stacks should be a mapping of stacks"),
        ("stacks: {}", "stacks:\n  mlu: {digest: x}", "stacks.mlu should be a mapping with the field 'commit'"),
        (
            "stacks: {}",
            f"stacks:\n  mlu:\n    digest: {A}\n    commit: {A}\n    tree: {A}\n    files:\n      a.py: gone\n",
            "stacks.mlu.files.a.py should be a blob id, or 'deleted'",
        ),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, says: str, tmp_path: Path) -> None:
    text = replace(Lock.load(OURS), stacks={}).dumps()
    assert old in text
    path = tmp_path / "upstream.lock"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(PorterError) as caught:
        Lock.load(path)
    assert says in str(caught.value)
    assert f"{path}, line " in str(caught.value)


def test_a_wrong_id_is_a_failed_check_and_a_wrong_field_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "upstream.lock"
    path.write_text(OURS.read_text().replace(TRAIN, A))
    with pytest.raises(CheckFailed, match="expected tree 09d3c58a0fe97285f4002ddc39e64265db2021f7\nfound    tree "):
        Lock.load(path)
    path.write_text("pin: {}\n")
    with pytest.raises(WrongUsage):
        Lock.load(path)


def test_no_source_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "upstream.lock"
    path.write_text(replace(Lock.load(OURS), sources=()).dumps())
    with pytest.raises(WrongUsage, match="sources should be at least one source"):
        Lock.load(path)
