"""The vendors' tools, as scripts that print what the vendors' documents show."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from porter.diagnosis import machine
from porter.diagnosis.machine import Card

# The installation guides of PaddlePaddle's MLU backend (PaddleCustomDevice, backends/mlu; Paddle 2.3).
CNMON_5 = """\
+------------------------------------------------------------------------------+
| CNMON v5.10.13                                               Driver v5.10.13 |
+-------------------------------+----------------------+-----------------------+
| Card  VF  Name       Firmware |               Bus-Id | Util        Ecc-Error |
| Fan   Temp      Pwr:Usage/Cap |         Memory-Usage | SR-IOV   Compute-Mode |
|===============================+======================+=======================|
| 0     /   MLU370-X8    v1.1.6 |         0000:39:00.0 | 0%                N/A |
|  0%   32C        106 W/ 250 W |     0 MiB/ 23374 MiB | N/A           Default |
+-------------------------------+----------------------+-----------------------+
| 1     /   MLU370-X8    v1.1.6 |         0000:3D:00.0 | 0%                N/A |
|  0%   39C        106 W/ 250 W |   512 MiB/ 23374 MiB | N/A           Default |
+-------------------------------+----------------------+-----------------------+

+------------------------------------------------------------------------------+
| Processes:                                                                   |
|  Card  MI  PID     Command Line                             MLU Memory Usage |
|==============================================================================|
|  No running processes found                                                  |
+------------------------------------------------------------------------------+
"""
CNMON_4 = """\
Sat Oct  8 11:22:22 2022
+------------------------------------------------------------------------------+
| CNMON v4.20.11                                                               |
+-------------------------------+----------------------+-----------------------+
| Card  VF  Name       Firmware | Inited        Driver | Util        Ecc-Error |
| Fan   Temp      Pwr:Usage/Cap |         Memory-Usage |         vMemory-Usage |
|===============================+======================+=======================|
| 0     /   MLU370-X4    v1.1.6 | On          v4.20.11 | 0%          N/A       |
|  0%   32C         30 W/ 150 W |     0 MiB/ 23308 MiB | 10240 MiB/1048576 MiB |
+-------------------------------+----------------------+-----------------------+
| 1     /   MLU370-X4    v1.1.6 | Off         v4.20.11 | 0%          N/A       |
|  0%   33C         25 W/ 150 W |     0 MiB/ 23308 MiB | 10240 MiB/1048576 MiB |
+-------------------------------+----------------------+-----------------------+
"""
# sophgo/libsophon, bm-smi/src/bm_smi_display.cpp: what its formats give for a card with two chips, one of them ill.
BM_SMI = """\
Tue Nov 24 10:00:00 2026

+--------------------------------------------------------------------------------------------------+
| SDK Version:    0.4.9             Driver Version:  0.4. 9                                        |
+---------------------------------------+----------------------------------------------------------+
|card  Name      Mode        SN         |TPU  boardT  chipT   TPU_P  TPU_V  ECC  CorrectN  Tpu-Util|
|12V_ATX  MaxP boardP Minclk Maxclk  Fan|Bus-ID      Status   Currclk   TPU_C   Ion-Usage          |
|                                       |        Vpp-Usage             Npu-Usage                   |
|=======================================+==========================================================|
| 0   SC7-HP75  PCIE HQATEVBAIAIAI0001 | 0    38C     44C   25.3W   839mV   ON      0          0% |
|6250mA   75W   40W   25M    1000M   N/A|001:01:00.0 Active   1000M     30.1A   120MB/14679MB      |
|                                       |           0MB/    0MB            0MB/    0MB               |
|                                       |----------------------------------------------------------|
|                                       | 1     F       F       F       F    F      F           0% |
|                                       |001:02:00.0 Fault       F         F      0MB/    0MB      |
|                                       |           0MB/    0MB            0MB/    0MB               |
+=======================================+==========================================================+
"""
# The installation guide of PaddlePaddle's NPU backend.
NPU_SMI = """\
+-------------------------------------------------------------------------------------------+
| npu-smi 21.0.4                   Version: 21.0.4                                          |
+----------------------+---------------+----------------------------------------------------+
| NPU   Name           | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                 | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+======================+===============+====================================================+
| 0     910A           | OK            | 70.9        42                15   / 15            |
| 0                    | 0000:C1:00.0  | 0           839  / 15170      1    / 32768         |
+======================+===============+====================================================+
| 1     910A           | Alarm         | 67.2        36                15   / 15            |
| 0                    | 0000:81:00.0  | 0           1274 / 15170      1    / 32768         |
+======================+===============+====================================================+
"""
NVIDIA_SMI = "0, NVIDIA A100-SXM4-40GB, 535.104.05, 40960, 3\n"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def printing(path: Path, text: str) -> None:
    script(path, f"cat <<'END'\n{text}END")


def test_cnmon(tools: Path) -> None:
    printing(tools / "cnmon", CNMON_5)
    found = machine.cards_of("mlu")
    assert found and (found.tool, found.found, found.driver, found.why) == ("cnmon", True, "5.10.13", "")
    assert found.cards == (Card(0, "MLU370-X8", 23374, 0, "ok"), Card(1, "MLU370-X8", 23374, 512, "ok"))


def test_an_older_cnmon(tools: Path) -> None:
    printing(tools / "cnmon", CNMON_4)
    found = machine.cards_of("mlu")
    assert found and found.driver == "4.20.11"
    assert [(card.memory, card.state) for card in found.cards] == [(23308, "ok"), (23308, "initialised: Off")]


def test_bm_smi_writes_to_a_file_and_wants_a_terminal(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TERM", raising=False)
    (tools / "table").write_text(BM_SMI)
    script(
        tools / "bm-smi",
        '[ -n "$TERM" ] || { echo "Error opening terminal: unknown." >&2; exit 1; }\n'
        'for word; do case $word in --noloop) once=1;; --file=*) file=${word#--file=};; *) exit 2;; esac; done\n'
        f'[ "$once" ] && printf "\\033[H\\033[2J" && cat {tools}/table > "$file"',
    )  # fmt: skip
    found = machine.cards_of("tpu")
    assert found and found.driver == "0.4.9" and found.why == ""
    assert found.cards == (Card(0, "SC7-HP75", 14679, 120, "ok"), Card(1, "SC7-HP75", 0, 0, "fault"))


def test_npu_smi(tools: Path) -> None:
    printing(tools / "npu-smi", NPU_SMI)
    found = machine.cards_of("npu")
    assert found and found.driver == "21.0.4"
    assert found.cards == (Card(0, "910A", 32768, 1, "ok"), Card(1, "910A", 32768, 1, "alarm"))


def test_nvidia_smi(tools: Path) -> None:
    printing(tools / "nvidia-smi", NVIDIA_SMI)
    found = machine.cards_of("cuda")
    assert found and found.driver == "535.104.05"
    assert found.cards == (Card(0, "NVIDIA A100-SXM4-40GB", 40960, 3, "ok"),)


def test_a_tool_that_is_not_there(tools: Path) -> None:
    found = machine.cards_of("mlu")
    assert found and (found.found, found.why) == (False, "cnmon is not installed")
    assert machine.cards_of("abacus") is None


def test_a_tool_that_fails_says_why(tools: Path) -> None:
    script(tools / "cnmon", "echo 'ERROR: driver is not loaded' >&2; exit 5")
    found = machine.cards_of("mlu")
    assert found and found.why == "cnmon ended with status 5 (ERROR: driver is not loaded)"


def test_a_tool_that_lists_nothing(tools: Path) -> None:
    printing(tools / "cnmon", CNMON_5.partition("| 0 ")[0])
    found = machine.cards_of("mlu")
    assert found and (found.driver, found.why) == ("5.10.13", "cnmon lists no card")


def test_a_driver_that_hangs_is_not_waited_for(tools: Path) -> None:
    script(tools / "cnmon", "sleep 600 & sleep 600")
    began = time.monotonic()
    found = machine.cards_of("mlu")
    assert time.monotonic() - began < 100
    assert found and found.why == "cnmon did not answer within 2.5 s"
