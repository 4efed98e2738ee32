"""What a training run asks of machines of all sizes: what is refused, under which key, with which advice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ducklane.machine.gpus import Gpus
from ducklane.machine.hardware import Machine
from ducklane.machine.resources import check_machine, machine_for, notes, num_workers, offered
from ducklane.settings import Settings, SettingsError

REPOSITORY = Path(__file__).parents[2]
CORES = (1, 6, 12, 20, 24, 64)
GPUS = (0, 1, 2, 3, 4)


def refusals(settings: Settings, machine: Machine) -> dict[str, str]:
    """key -> what is wrong with it."""
    try:
        check_machine(settings, machine)
    except SettingsError as error:
        lines = [line.removeprefix("params.yaml: ") for line in error.problems]
    else:
        return {}
    refused = dict(line.split(": ", 1) for line in lines)
    assert len(refused) == len(lines)
    return refused


# --- cores


@pytest.mark.parametrize(
    ("cores", "workers"), [(1, 1), (2, 2), (6, 4), (12, 8), (20, 16), (24, 16), (64, 64)]
)
def test_minus_one_workers_run_on_any_number_of_cores(changed: Any, cores: int, workers: int) -> None:
    settings, machine = changed(rllib={"num_workers": -1}), Machine(cores, 0)
    assert refusals(settings, machine) == {}
    assert num_workers(settings, machine) == workers
    (note,) = notes(settings, machine)
    assert note.startswith(f"rllib.num_workers: -1 is {workers} here (CPUs: {cores}); ")


@pytest.mark.parametrize("cores", CORES)
def test_the_default_training_run_fits_any_machine(settings: Settings, cores: int) -> None:
    for gpus in GPUS:
        assert refusals(settings, Machine(cores, gpus)) == {}
        assert num_workers(settings, Machine(cores, gpus)) == 0
    assert notes(settings, Machine(cores, 0)) == []


def test_minus_one_workers_respect_the_cpus_that_ray_may_use(changed: Any) -> None:
    settings = changed(rllib={"num_workers": -1}, ray={"num_cpus": 7})
    assert num_workers(settings, Machine(64, 0)) == 4


def test_an_explicit_number_of_workers_is_kept(changed: Any) -> None:
    settings = changed(rllib={"num_workers": 4})
    assert num_workers(settings, Machine(20, 0)) == 4
    assert refusals(settings, Machine(20, 0)) == {}
    assert notes(settings, Machine(20, 0)) == []


@pytest.mark.parametrize(
    ("sections", "key", "problem"),
    [
        (
            {"rllib": {"num_workers": 3}},
            "rllib.num_workers",
            "3 workers with 32 robots each (env_per_worker) do not share train_batch_size 2048 evenly; "
            "give 2, or -1, or make train_batch_size 2304",
        ),
        (
            {"rllib": {"num_workers": 30}},
            "rllib.num_workers",
            "30 workers need 30 CPUs, and there are 24 on this machine; give 16, or -1",
        ),
        (
            {"rllib": {"num_workers": 8}, "ray": {"num_cpus": 7}},
            "rllib.num_workers",
            "8 workers need 8 CPUs, and there are 7 by ray.num_cpus; give 4, or -1",
        ),
        (
            {"rllib": {"num_workers": 16, "num_learners": 16}},
            "rllib.num_workers",
            "16 workers and 16 learners (num_learners) need 32 CPUs, and there are 24 on this machine; "
            "give 8, or -1",
        ),
        (
            {"rllib": {"num_workers": 1, "num_learners": 2}, "ray": {"num_cpus": 2}},
            "rllib.num_workers",
            "1 workers and 2 learners (num_learners) need 3 CPUs, and there are 2 by ray.num_cpus; give 0",
        ),
        (
            {"rllib": {"num_learners": 32}},
            "rllib.num_learners",
            "32 learners need 32 CPUs, and there are 24 on this machine; give 16",
        ),
        (
            {"rllib": {"num_workers": -1, "num_learners": 4}, "ray": {"num_cpus": 4}},
            "rllib.num_learners",
            "4 learners and a worker need 5 CPUs, and there are 4 by ray.num_cpus; give 2",
        ),
        (
            {"rllib": {"env_per_worker": 30}},
            "rllib.env_per_worker",
            "1 (workers) x 30 robots do not share train_batch_size 2048 evenly; give 32, or make "
            "train_batch_size 3840",
        ),
        (
            {"ray": {"num_cpus": 25}},
            "ray.num_cpus",
            "25 is more than the 24 of this machine; give -1 (all) or at most 24",
        ),
        (
            {"ray": {"object_store_memory": 2**40}},
            "ray.object_store_memory",
            "1099511627776 is more than the 8589934592 bytes of memory of this machine; give less (the usual "
            "268435456 is enough)",
        ),
    ],
)
def test_the_wrong_key_is_named(changed: Any, sections: Any, key: str, problem: str) -> None:
    assert refusals(changed(**sections), Machine(24, 0, memory=2**33)) == {key: problem}


# --- GPUs

NONE_SEEN = (
    "asks for a GPU, and this machine has none (no NVIDIA GPU was found); "
    "set it to 0, or use a machine with one"
)


@pytest.mark.parametrize("gpus", GPUS)
@pytest.mark.parametrize("cores", CORES)
def test_asking_for_a_gpu_suffices_if_there_is_one(changed: Any, cores: int, gpus: int) -> None:
    settings, machine = changed(rllib={"num_gpus": 1}), Machine(cores, gpus)
    assert offered(settings.ray, machine).gpus == gpus
    assert refusals(settings, machine) == ({} if gpus else {"rllib.num_gpus": f"1 {NONE_SEEN}"})


TOO_OLD = Gpus(0, "the driver is too old", "update it")


@pytest.mark.parametrize(
    ("sections", "machine", "expected"),
    [
        (
            {"rllib": {"num_gpus": 1}},
            Machine(4, 0, gpu_search=TOO_OLD),
            {
                "rllib.num_gpus": "1 asks for a GPU, and this machine has none (the driver is too old); "
                "set it to 0, or update it"
            },
        ),
        (
            {"rllib": {"num_gpus": 1}, "ray": {"num_gpus": 0}},
            Machine(4, 2),
            {"ray.num_gpus": "0 hides the 2 GPUs of this machine, and rllib asks for one; give -1 (all)"},
        ),
        (
            {"rllib": {"num_gpus": 1}, "ray": {"num_gpus": 3}},
            Machine(4, 2),
            {"ray.num_gpus": "3 is more than the 2 of this machine; give -1 (all) or at most 2"},
        ),
        # a machine that has none is not fixed by what Ray is offered
        (
            {"rllib": {"num_gpus": 1}, "ray": {"num_gpus": 1}},
            Machine(4, 0),
            {"rllib.num_gpus": f"1 {NONE_SEEN}"},
        ),
        (
            {"rllib": {"gpu_per_worker": 0.5, "num_workers": 2}},
            Machine(4, 0),
            {"rllib.gpu_per_worker": f"0.5 {NONE_SEEN}"},
        ),
        (
            {"rllib": {"num_gpus": 1, "gpu_per_worker": 1, "num_workers": 4}},
            Machine(4, 2),
            {
                "rllib.gpu_per_worker": "4 x 1 (workers) and 1 (num_gpus, the learner) do not fit "
                "on the GPUs, 2 on this machine; give at most 0.25"
            },
        ),
        (
            {"rllib": {"num_gpus": 1, "gpu_per_worker": 0.5, "num_workers": 1}, "ray": {"num_gpus": 1}},
            Machine(4, 2),
            {
                "rllib.gpu_per_worker": "1 x 0.5 (workers) and 1 (num_gpus, the learner) do not fit "
                "on the GPUs, 1 by ray.num_gpus; give 0"
            },
        ),
        (
            {"rllib": {"num_gpus": 1, "num_learners": 4}},
            Machine(4, 3),
            {
                "rllib.num_gpus": "4 x 1 (learners) do not fit on the GPUs, 3 on this machine; "
                "give at most 0.5"
            },
        ),
        (
            {"rllib": {"num_gpus": 0.4, "num_learners": 4, "gpu_per_worker": 0.25, "num_workers": 2}},
            Machine(8, 2),
            {
                "rllib.gpu_per_worker": "2 x 0.25 (workers) and 4 x 0.4 (num_gpus, the learners) do not fit "
                "on the GPUs, 2 on this machine; give at most 0.2"
            },
        ),
        # 1.8 of 2, but no GPU has room for two of them
        (
            {"rllib": {"gpu_per_worker": 0.6, "num_workers": 4}},
            Machine(4, 3),
            {
                "rllib.gpu_per_worker": "4 x 0.6 (workers) and 0 (num_gpus, the learner) do not fit "
                "on the GPUs, 3 on this machine; give at most 0.5"
            },
        ),
    ],
)
def test_the_key_that_asks_for_too_much_is_named(
    changed: Any, sections: Any, machine: Machine, expected: Mapping[str, str]
) -> None:
    assert refusals(changed(**sections), machine) == expected


@pytest.mark.parametrize(
    ("gpus", "share", "learner", "workers"),
    [(1, 0.25, 0, 4), (1, 0.25, 0.5, 2), (2, 0.5, 1, 2), (2, 1, 1, 1), (4, 0.5, 1, 4), (4, 1 / 3, 1, 8)],
)
def test_minus_one_workers_are_limited_by_their_gpu_shares(
    changed: Any, gpus: int, share: float, learner: float, workers: int
) -> None:
    settings = changed(rllib={"num_workers": -1, "gpu_per_worker": share, "num_gpus": learner})
    assert refusals(settings, Machine(12, gpus)) == {}
    assert num_workers(settings, Machine(12, gpus)) == workers


def test_an_explicit_number_of_gpus_is_trusted_if_torch_does_not_answer(changed: Any) -> None:
    machine = Machine(
        4, 0, gpu_search=Gpus(0, "torch gave no answer within 120 s", "say with ray.num_gpus", sure=False)
    )
    (line,) = refusals(changed(rllib={"num_gpus": 1}), machine).values()
    assert line.endswith("none (torch gave no answer within 120 s); set it to 0, or say with ray.num_gpus")
    settings = changed(rllib={"num_gpus": 1}, ray={"num_gpus": 2})
    assert refusals(settings, machine) == {}
    assert offered(settings.ray, machine).gpus == 2
    assert notes(settings, machine) == [
        "ray.num_gpus: 2 is taken as given; torch gave no answer within 120 s",
    ]
    # what Ray got of the machine passes as well
    assert refusals(settings, offered(settings.ray, machine)) == {}


def test_gpus_are_searched_only_if_a_training_run_asks_for_one(
    changed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ducklane.machine.hardware.find_gpus", lambda: Gpus(3))
    assert machine_for(changed()).gpus == 0
    assert machine_for(changed(rllib={"gpu_per_worker": 1})).gpus == 0
    assert machine_for(changed(rllib={"gpu_per_worker": 1, "num_workers": 1})).gpus == 3
    assert machine_for(changed(rllib={"num_gpus": 1})).gpus == 3
    # what a cluster has is not here
    monkeypatch.setenv("RAY_ADDRESS", "somewhere:6379")
    assert machine_for(changed(rllib={"num_gpus": 1})).gpus == 0


# --- a cluster


def test_requests_are_checked_against_the_clusters_own_resources(changed: Any) -> None:
    cluster = Machine(
        6, 1, cluster="host:6379", gpu_search=Gpus(1, "as `ray status` says", "add a node that has one")
    )
    # what params.yaml offers is of this machine, and says nothing of a cluster
    settings = changed(rllib={"num_workers": -1, "num_gpus": 1}, ray={"num_cpus": 1, "num_gpus": 0})
    assert refusals(settings, cluster) == {}
    assert num_workers(settings, cluster) == 4
    assert refusals(changed(rllib={"num_workers": 8}), cluster) == {
        "rllib.num_workers": "8 workers need 8 CPUs, and there are 6 in the cluster at host:6379; "
        "give 4, or -1"
    }
    assert refusals(changed(rllib={"num_workers": 2, "gpu_per_worker": 1}), cluster) == {
        "rllib.gpu_per_worker": "2 x 1 (workers) and 0 (num_gpus, the learner) do not fit on the GPUs, "
        "1 in the cluster at host:6379; give at most 0.5"
    }
    without = Machine(
        6, 0, cluster="host:6379", gpu_search=Gpus(0, "as `ray status` says", "add a node that has one")
    )
    assert refusals(changed(rllib={"num_gpus": 1}), without) == {
        "rllib.num_gpus": "1 asks for a GPU, and the cluster at host:6379 has none (as `ray status` says); "
        "set it to 0, or add a node that has one"
    }


# --- advice


def advised(settings: Settings, refused: Mapping[str, str], batch: bool = False) -> dict[str, dict[str, Any]]:
    """What the lines say to change, by section; the batch's size where they name it, if that is asked for."""
    advice: dict[str, dict[str, Any]] = {}
    for name, problem in refused.items():
        section, key = name.split(".")
        cure = problem.rpartition("; ")[2]
        if batch and (size := re.search(r"make train_batch_size (\d+)", cure)):
            advice.setdefault("rllib", {})["train_batch_size"] = int(size[1])
            continue
        (value,) = re.findall(
            r"(?:^give (?:at most )?|the usual |^set it to )(-?[\d.]*\d)(?= is enough|[ ,]|$)", cure
        )
        value = float(value) if key in {"num_gpus", "gpu_per_worker"} and section == "rllib" else int(value)
        advice.setdefault(section, {})[key] = value
    return advice


SIZES = st.sampled_from([1, 2, 3, 5, 7, 16, 24, 30, 32, 33, 64, 100])


@given(
    cores=st.sampled_from(CORES) | st.integers(1, 130),
    gpus=st.integers(0, 4),
    workers=st.integers(-1, 70),
    robots=SIZES,
    minibatch=SIZES,
    minibatches=st.integers(1, 40),
    cpus_offered=st.sampled_from([-1, 1, 5, 16, 200]),
    gpus_offered=st.sampled_from([-1, 0, 1, 3, 9]),
    learner=st.sampled_from([0, 0.25, 0.7, 1]),
    share=st.sampled_from([0, 0.1, 0.3333, 0.6, 1]),
    learners=st.sampled_from([0, 0, 1, 2, 3, 5, 16]),
    cluster=st.booleans(),
)
def test_following_the_advice_of_any_refusal_works(
    changed: Any,
    cores: int,
    gpus: int,
    workers: int,
    robots: int,
    minibatch: int,
    minibatches: int,
    cpus_offered: int,
    gpus_offered: int,
    learner: float,
    share: float,
    learners: int,
    cluster: bool,
) -> None:
    assume(minibatch % max(1, learners) == 0)
    machine = Machine(cores, gpus, cluster="host:6379" if cluster else None)
    rllib = {
        "num_workers": workers,
        "env_per_worker": robots,
        "minibatch_size": minibatch,
        "learner_shards": 1,
        "train_batch_size": minibatch * minibatches,
        "num_gpus": learner,
        "num_learners": learners,
        "gpu_per_worker": share,
    }
    ray = {"num_cpus": cpus_offered, "num_gpus": gpus_offered}
    settings = changed(rllib=rllib, ray=ray)
    refused = refusals(settings, machine)
    if not refused:
        used = num_workers(settings, machine)
        assert rllib["train_batch_size"] % (max(1, used) * robots) == 0
        assert used + learners <= min(cores, cores if cluster or cpus_offered == -1 else cpus_offered)
        return
    for batch in (False, True):
        advice = advised(settings, refused, batch)
        corrected = changed(rllib=rllib | advice.get("rllib", {}), ray=ray | advice.get("ray", {}))
        assert refusals(corrected, machine) == {}, refused


@given(cores=st.integers(1, 130), robots=SIZES, minibatch=SIZES, minibatches=st.integers(1, 40))
def test_minus_one_workers_are_refused_only_over_the_number_of_robots(
    changed: Any, cores: int, robots: int, minibatch: int, minibatches: int
) -> None:
    batch = minibatch * minibatches
    assume(batch % robots == 0)
    settings = changed(
        rllib={
            "num_workers": -1,
            "env_per_worker": robots,
            "minibatch_size": minibatch,
            "learner_shards": 1,
            "train_batch_size": batch,
        }
    )
    machine = Machine(cores, 0)
    assert refusals(settings, machine) == {}
    workers = num_workers(settings, machine)
    assert workers == max(n for n in range(1, cores + 1) if batch % (n * robots) == 0)


# --- the command


def test_without_a_gpu_the_documented_command_is_refused_in_one_line_before_loading_or_writing(
    tmp_path: Path,
) -> None:
    params = (REPOSITORY / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(
        re.sub(r"(?<=rllib:\n)((?:  .*\n)*?  num_gpus:) 0", r"\1 1", params)
    )
    program = (
        "import runpy, sys\n"
        "try:\n"
        f"    runpy.run_path({str(REPOSITORY / 'pipeline' / 'train.py')!r}, run_name='__main__')\n"
        "finally:\n"
        "    assert not {'ray', 'torch', 'mlflow'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "params.yaml: rllib.num_gpus: 1 asks for a GPU, and this machine has none "
        "(CUDA_VISIBLE_DEVICES='' hides all GPUs); set it to 0, or unset CUDA_VISIBLE_DEVICES\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
