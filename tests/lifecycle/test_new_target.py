"""A target from nothing: what is written, that it applies and lints at once, and what is refused with nothing written.

On the small project of stacks.py; tests/emulator/test_new_target.py trains with one on v6.0.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from stacks import CHECKOUT, inventory, porter

from porter import project as projects
from porter.commands.apply import apply
from porter.commands.lint import lint
from porter.commands.new_target import new_target
from porter.errors import WrongUsage
from porter.project import Project
from porter.stack import available
from porter.target import Target
from porter.verification.device import choose

pytestmark = pytest.mark.usefixtures("warm", "identity")


@pytest.fixture
def identity(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What git knows of whoever makes the patch."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(own_home / "gitconfig"))
    (own_home / "gitconfig").write_text("[user]\nname = Zoë Porter\nemail = zoe@example.org\n", encoding="utf-8")


def test_a_name_is_enough(project: Project, tmp_path: Path) -> None:
    done = porter("new-target", "foo", cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{project.patches / 'foo'}: target.yaml, requirements.txt, series and add-the-foo-accelerator.patch",
        "upstream.lock: wrote foo",
        f"To fill in: title.en, title.zh, plugin.from, plugin.url, documentation in {project.patches}/foo/target.yaml",
        "Next: porter verify --target foo",
    ]
    left = [line.partition(": ") for line in porter("lint", cwd=project.root).stdout.splitlines()]
    assert [(file, what.partition(" holds")[0]) for file, _, what in left[1:]] == [
        ("patches/foo/target.yaml", field)
        for field in ("documentation", "plugin.from", "plugin.url", "title.en", "title.zh")
    ]
    assert left[0][0].startswith("patches/foo/add-the-foo-accelerator.patch:")
    assert left[0][2] == "a placeholder of new-target's in utils/accelerator/foo.py"
    assert sorted(path.name for path in project.patches.iterdir()) == ["common", "foo", "mlu", "tpu"]
    target = Target.load(project.patches / "foo")
    assert (target.plugin.module, target.distributed, target.emulated) == ("torch_foo", ("gloo",), ("generic",))
    assert (target.visible_devices, target.probe) == (("FOO_VISIBLE_DEVICES",), ("torch.foo.is_available()",))
    assert (project.patches / "foo/add-the-foo-accelerator.patch").read_text().count("Zo=C3=AB") == 1
    tree = apply(["foo", "mlu"], tmp_path / "tree", project=project).path
    made = (tree / "utils/accelerator/foo.py").read_text()
    assert "class FOO(Accelerator):\n    type = 'foo'\n    plugin = 'torch_foo'\n" in made
    assert "backend = 'gloo'" in made and made.endswith("\n\n\nregister(FOO())\n") and "pin_memory" not in made


def test_the_shipped_npu_is_what_its_options_make(project: Project) -> None:
    """The command that made patches/npu gives that patch still, but for what was written into it: the list of devices
    that has to ascend, and CANN's set_env.sh where the plugin does not load."""
    shipped = Target.load(CHECKOUT / "patches/npu")
    made = new_target(
        "npu",
        title=shipped.title["en"],
        title_zh=shipped.title["zh"],
        source=shipped.plugin.source,
        url=shipped.plugin.url,
        distributed=shipped.distributed,
        visible_devices=shipped.visible_devices,
        environment=shipped.environment,
        emulated=shipped.emulated,
        pin_memory=True,
        documentation=[(link.title, link.url) for link in shipped.documentation],
        like="tpu",
        project=project,
    )
    name = "add-the-npu-accelerator.patch"
    ours, theirs = ((root / "npu" / name).read_bytes() for root in (project.patches, CHECKOUT / "patches"))
    added = [[line for line in patch.splitlines() if line.startswith(b"+")] for patch in (ours, theirs)]
    gone = [line for line in added[0] if line not in added[1]]
    assert gone == [line for line in added[0] if b"It comes from" in line or b"https://www.hiascend" in line]
    # the second patch was written, and so were the feature that it is for and what to type before the plugin loads
    by_command = replace(shipped, features=(), plugin=replace(shipped.plugin, setup=""))
    assert made.target == by_command and made.unsaid == ()
    assert len((CHECKOUT / "patches/npu/series").read_text().split()) <= 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Foo", "no name for a target"),
        ("foo2", "no name for a target"),
        ("f", "no name for a target"),
        ("../foo", "no name for a target"),
        ("lambda", "no name for a target"),
        ("common", "there is a common already"),
        ("base", "there is a base already"),
        ("cuda", "there is a cuda already"),
        ("mlu", "mlu already"),
        ("meta", "meta is a device type of torch's"),
        ("nn", "nn is torch's already"),
    ],
)
def test_a_name_that_cannot_be(project: Project, name: str, says: str) -> None:
    refused(project, says, name)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"plugin": "torch-foo"}, "target.yaml, line 7: plugin.module should be a module's name"),
        ({"url": "nowhere"}, "plugin.url should be a URL"),
        ({"emulated": ["mlu370"]}, "mlu370 is no foo"),
        ({"like": "npu"}, "there is no target 'npu'"),
        ({"title": '"""'}, "cannot stand in a docstring"),
    ],
)
def test_an_option_that_cannot_be(project: Project, options: dict[str, object], says: str) -> None:
    refused(project, says, "foo", **options)


def refused(project: Project, says: str, name: str, **options: Any) -> None:
    """It is refused in words, and no file is other than before."""
    before = inventory(project.root)
    with pytest.raises(WrongUsage) as error:
        new_target(name, **options, project=project)
    assert says in error.value.what, error.value
    assert str(project.root) not in error.value.what or "already" in says
    assert inventory(project.root) == before


def test_nobody_is_no_author(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("EMAIL", "")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.useConfigOnly")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    refused(project, "git does not know who you are", "foo")


def test_a_lock_that_does_not_fit_leaves_no_folder(project: Project, tmp_path: Path) -> None:
    """No file may be as large as the new lock would be: as on a full disk, at the very last moment."""
    shutil.copytree(project.root, tmp_path / "other")
    new_target("foo", project=Project(tmp_path / "other"))
    small, large = (path.stat().st_size for path in (project.lock_path, tmp_path / "other/upstream.lock"))
    assert small < large
    before = inventory(project.patches)
    done = subprocess.run(
        [sys.executable, "-m", "porter", "new-target", "foo"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (large - 1, large - 1)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert f"cannot write {project.lock_path}" in done.stderr
    assert {name: state[1:] for name, state in inventory(project.patches).items()} == {
        name: state[1:] for name, state in before.items()
    }
    assert project.lock_path.stat().st_size == small


def test_killed_at_any_moment_it_left_nothing_or_a_stack(project: Project) -> None:
    """Folders that it makes aside are no targets, and the next run removes them."""
    left = project.patches / ".foo.porter-0123abcd"
    left.mkdir()
    (left / "series").write_text("")
    assert available(project.patches) == ("mlu", "tpu")
    new_target("foo", project=project)
    assert not left.exists() and available(project.patches) == ("foo", "mlu", "tpu")
    (project.patches / "foo" / "series").write_text("# none\n")  # as after a kill before the lock was written
    assert any("run `porter lock`" in finding.what for finding in lint(project=project))


def test_the_stacks_of_an_installed_porter_are_not_to_be_changed() -> None:
    with pytest.raises(WrongUsage, match="came with the installed porter"):
        new_target("foo", project=Project(Path(projects.__file__).parent / "_data"))


def test_the_command_writes_yaml_that_others_read_alike(project: Project) -> None:
    words = ["--title", "Foo: “the” card #1", "--document", "A = B=https://example.org/a", "--backend", "foocl"]
    done = porter("new-target", "foo", *words, cwd=project.root)
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load((project.patches / "foo/target.yaml").read_text(encoding="utf-8"))
    assert read["title"]["en"] == "Foo: “the” card #1"
    assert read["documentation"] == [{"title": "A = B", "url": "https://example.org/a"}]
    assert read["distributed"] == ["foocl"]
    wrong = porter("new-target", "bar", "--document", "https://example.org", cwd=project.root)
    assert wrong.returncode == 2 and "TITLE=URL" in wrong.stderr


def test_a_type_that_torch_keeps_for_a_plugin(project: Project) -> None:
    """xla is torch_xla's: the plugin has to be named, and nothing is emulated under the name."""
    with pytest.raises(WrongUsage) as error:
        new_target("xla", project=project)
    assert error.value.hint.endswith(": porter new-target xla --plugin MODULE")
    refused(project, "emulated should be empty", "xla", plugin="torch_xla", emulated=["generic"])
    new_target("xla", plugin="torch_xla", environment=["PJRT_DEVICE"], fp16=False, project=project)
    target = Target.load(project.patches / "xla")
    assert (target.plugin.module, target.emulated, target.inherited[-1]) == ("torch_xla", (), "PJRT_DEVICE")
    assert "plugin = 'torch_xla'" in (project.patches / "xla/add-the-xla-accelerator.patch").read_text()
    with pytest.raises(WrongUsage, match="nothing can be emulated as xla"):
        choose("emulated", target, sys.executable)


if hasattr(torch, "mps"):  # torch 2.0 and later

    def test_a_device_of_torchs_own_needs_no_plugin(project: Project) -> None:
        page = "https://developer.apple.com/metal/pytorch/"
        said = {"title": "Apple's GPU", "title_zh": "苹果 GPU", "documentation": [("PyTorch on Metal", page)]}
        new_target("mps", probe=["torch.backends.mps.is_available()"], project=project, **said)
        target = Target.load(project.patches / "mps")
        assert target.plugin.in_tree and target.emulated == target.visible_devices == ()
        assert "plugin =" not in (project.patches / "mps/add-the-mps-accelerator.patch").read_text()
        assert lint(project=project) == []
        with pytest.raises(WrongUsage, match="nothing can be emulated as mps, a device type of torch's"):
            choose("emulated", target, sys.executable)
        assert choose("auto", target, sys.executable).kind in ("cpu", "hardware")

    def test_a_plugin_for_a_device_of_torchs_own(project: Project) -> None:
        refused(project, "mps is a device of torch's own and needs no plugin", "mps", plugin="torch_mps")
