"""The panel of the machine on the Train screen, with a pretend NVIDIA driver."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from o1lab.app import LabApp
from o1lab.config import init_lab
from o1lab.jobs.hardware import GpuReading, Hardware, ProcessReading, Reading
from o1lab.paths import Lab
from o1lab.widgets.hardware_panel import HardwarePanel, lines
from screens.base.context import open_context
from tests.support.compare_lab import shown, until
from tests.support.fake_nvml import FakeGpu, FakeNvml
from tests.support.fake_runs import write_run

CPU = Reading(87.4, 2, 3_100_000_000, 16_000_000_000, processes=(ProcessReading("run 7f3a12cd", 181.2, 2_100_000_000),))
GPU = GpuReading(0, "NVIDIA H200", "GPU-0", 87.0, 61_200_000_000, 140_000_000_000, 412.0, 700.0, 71, ("run 7f3a12cd",))


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab", name="test")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_gpus_are_shown_with_the_run_that_uses_each(
    lab: Lab, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = [FakeGpu("NVIDIA H200", 87, 61_200_000_000, 412_000, 71, [os.getpid()]), FakeGpu("NVIDIA H200")]
    monkeypatch.setattr(HardwarePanel, "reader", lambda: Hardware(lambda: FakeNvml(gpus)))
    write_run(lab.runs, "7f3a12cd", "running", steps=40)
    async with LabApp(open_context(lab), mode="train").run_test(size=size) as pilot:
        first = "87 %  61.2/80 GB  412/700 W  71 °C  run 7f3a12cd"
        await until(pilot, lambda: first in shown(pilot), "the first GPU")
        assert ("GPU 1 NVIDIA H200" in shown(pilot)) is (size[0] > 100)
        gpus[0].temperature, gpus[0].used = 90, 79_900_000_000
        await until(pilot, lambda: "79.9/80 GB full  412/700 W  90 °C hot" in shown(pilot), "the next look")


async def test_without_gpus_there_are_cpu_and_memory(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Mapping[int, str]] = []

    class Machine:
        def read(self, jobs: Mapping[int, str]) -> Reading:
            seen.append(jobs)
            return CPU

    monkeypatch.setattr(HardwarePanel, "reader", Machine)
    write_run(lab.runs, "7f3a12cd", "running", steps=40)
    write_run(lab.runs, "51c0aa01")
    async with LabApp(open_context(lab), mode="train").run_test(size=(80, 24)) as pilot:
        await until(
            pilot,
            lambda: "CPU 87 % of 2 cores, 3.1 GB of 16.0 GB · run 7f3a12cd 181 %, RSS 2.1 GB" in shown(pilot),
            "the CPU",
        )
    assert seen[-1] == {os.getpid(): "run 7f3a12cd"}


async def test_a_driver_that_breaks_does_not_end_the_app(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    class Broken:
        def read(self, jobs: Mapping[int, str]) -> Reading:
            asked.append(True)
            raise RuntimeError("segment")

    monkeypatch.setattr(HardwarePanel, "reader", Broken)
    async with LabApp(open_context(lab), mode="train").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(asked) > 1, "two looks")
        assert not pilot.app.screen.query_one(HardwarePanel).display


def test_lines_fit_the_width() -> None:
    plain = [line.plain for line in lines(CPU, 118)]
    assert plain == ["CPU 87 % of 2 cores, 3.1 GB of 16.0 GB · run 7f3a12cd 181 %, RSS 2.1 GB"]
    assert lines(Reading(None, 2, 1, 2), 118)[0].plain == "CPU … of 2 cores, 1 B of 2 B"
    broken = Reading(1.0, 2, 1, 2, fault="driver mismatch")
    assert "! GPUs cannot be read: driver mismatch" in lines(broken, 118)[0].plain
    many = Reading(1.0, 2, 1, 2, gpus=(GPU,) * 10)
    assert len(lines(many, 118)) == 8 and lines(many, 118)[-1].plain.endswith("+1")
    (narrow,) = lines(many, 78)
    assert narrow.plain == "GPU 0 87 %  61.2/140 GB  412/700 W  71 °C  run 7f3a12cd · +9"
    unknown = lines(Reading(1.0, 2, 1, 2, gpus=(GpuReading(3, "A GPU"),)), 78)[0].plain
    assert unknown == "GPU 3 use -  free"


def test_words_of_drivers_and_jobs_are_shown_literally() -> None:
    hostile = "\x1b]0;owned\x07\n[bold]"
    cpu = Reading(1.0, 2, 1, 2, processes=(ProcessReading(hostile, 1.0, 1),), fault=hostile)
    gpu = Reading(1.0, 2, 1, 2, gpus=(GpuReading(0, hostile, users=(hostile,)),))
    for reading in (cpu, gpu):
        (line,) = lines(reading, 118)
        assert line.plain.count("␛]0;owned␇ [bold]") == 2 and line.plain.isprintable()
