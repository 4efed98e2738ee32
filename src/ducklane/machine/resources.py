"""The resources that a training run requests. More than there are is refused, as Ray would wait for ever."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

from ducklane.machine.hardware import Machine, this_machine
from ducklane.settings import PARAMS_FILE, RaySettings, RllibSettings, Settings, SettingsError

OBJECT_STORE_BYTES = 2**28
"""Default of ray.object_store_memory in params.yaml."""

PARTS = 10_000
"""Parts of a GPU: Ray counts shares with four decimals."""


def cluster_address() -> str | None:
    """The address of the Ray cluster to join, from Ray's own RAY_ADDRESS; None for Ray on this machine."""
    return os.environ.get("RAY_ADDRESS") or None


def machine_for(settings: Settings) -> Machine:
    """This machine; its GPUs are searched only if the training run asks for any and there is no cluster."""
    return this_machine(look_for_gpus=asks_for_gpus(settings.rllib) and cluster_address() is None)


def asks_for_gpus(rllib: RllibSettings) -> bool:
    """Whether any part of the training run is to use a GPU."""
    return rllib.num_gpus > 0 or (rllib.gpu_per_worker > 0 and rllib.num_workers != 0)


def check_machine(settings: Settings, machine: Machine) -> None:
    """Refuse a training run that asks for more than the machine, or the section `ray`, offers.

    Args:
        settings: all of them.
        machine: this machine, or the cluster that was joined.

    Raises:
        SettingsError: one line for each key that does not fit, with a value that would.
    """
    problems = [*_too_much_offered(settings, machine), *_too_much_needed(settings, machine)]
    if problems:
        raise SettingsError(*(f"{PARAMS_FILE}: {problem}" for problem in problems))


def offered(settings: RaySettings, machine: Machine) -> Machine:
    """The part of the machine that Ray may use; -1 stands for all of it. A cluster offers all it has."""
    if machine.cluster:
        return machine
    gpus = machine.gpus if settings.num_gpus == -1 else min(settings.num_gpus, _most_gpus(settings, machine))
    cpus = machine.cpus if settings.num_cpus == -1 else min(settings.num_cpus, machine.cpus)
    return Machine(cpus, gpus, machine.memory, machine.gpu_search)


def _most_gpus(settings: RaySettings, machine: Machine) -> int:
    # if torch gave no answer, the number in the settings is taken as given
    return machine.gpus if machine.gpu_search.sure else max(machine.gpus, settings.num_gpus)


def num_workers(settings: Settings, machine: Machine) -> int:
    """Sampling processes: `rllib.num_workers`; for -1 as many as fit, at least 1.

    That is the largest number that divides the batch evenly, with at most one worker per CPU that no learner
    has (`rllib.num_learners`), and for which the GPU shares suffice.
    """
    rllib, offer = settings.rllib, offered(settings.ray, machine)
    return _most_workers(rllib, offer) if rllib.num_workers == -1 else rllib.num_workers


def notes(settings: Settings, machine: Machine) -> list[str]:
    """One line for each setting that depends on the machine, with its value here."""
    rllib, lines = settings.rllib, []
    if rllib.num_workers == -1:
        offer = offered(settings.ray, machine)
        lines.append(
            f"rllib.num_workers: -1 is {num_workers(settings, machine)} here (CPUs: {offer.cpus}); "
            f"with env_per_worker {rllib.env_per_worker} they share train_batch_size {rllib.train_batch_size}"
        )
    if asks_for_gpus(rllib) and not machine.gpu_search.sure:
        lines.append(f"ray.num_gpus: {settings.ray.num_gpus} is taken as given; {machine.gpu_search.problem}")
    return lines


def _too_much_offered(settings: Settings, machine: Machine) -> Iterator[str]:
    if machine.cluster:
        return
    ray = settings.ray
    for key, asked, most in (
        ("num_cpus", ray.num_cpus, machine.cpus),
        # without any GPU, the problem is the key that asks for one, see _no_gpu
        ("num_gpus", ray.num_gpus, _most_gpus(ray, machine) or ray.num_gpus),
    ):
        if asked > most:
            yield (
                f"ray.{key}: {asked} is more than the {most} of this machine; give -1 (all) or at most {most}"
            )
    if machine.memory is not None and ray.object_store_memory > machine.memory:
        yield (
            f"ray.object_store_memory: {ray.object_store_memory} is more than the {machine.memory} bytes of "
            f"memory of this machine; give less (the usual {OBJECT_STORE_BYTES} is enough)"
        )


def _too_much_needed(settings: Settings, machine: Machine) -> Iterator[str]:
    learners = _most_learners(settings, machine)
    if learners < settings.rllib.num_learners:
        yield _too_many_learners(settings, machine, learners)
        rllib = settings.rllib.model_copy(update={"num_learners": learners})
        settings = settings.model_copy(update={"rllib": rllib})
    yield from _workers_and_robots(settings, machine)
    yield from _gpus(settings, machine)


def _most_learners(settings: Settings, machine: Machine) -> int:
    """`rllib.num_learners`, or if these do not fit, the largest number of learners that do."""
    rllib = settings.rllib
    # -1 is at least one worker
    room = offered(settings.ray, machine).cpus - (rllib.num_workers == -1)
    return rllib.num_learners if rllib.num_learners <= room else _most_sharing(rllib.minibatch_size, room)


def _too_many_learners(settings: Settings, machine: Machine, fewer: int) -> str:
    rllib, worker = settings.rllib, settings.rllib.num_workers == -1
    return (
        f"rllib.num_learners: {_learners(rllib)} {'and a worker ' if worker else ''}need "
        f"{rllib.num_learners + worker} CPUs, and there are {offered(settings.ray, machine).cpus} "
        f"{_where('cpus', settings.ray, machine)}; give {fewer}"
    )


def _learners(rllib: RllibSettings) -> str:
    return "1 learner" if rllib.num_learners == 1 else f"{rllib.num_learners} learners"


def _workers_and_robots(settings: Settings, machine: Machine) -> Iterator[str]:
    rllib, offer = settings.rllib, offered(settings.ray, machine)
    batch, robots, workers = rllib.train_batch_size, rllib.env_per_worker, num_workers(settings, machine)
    # robots that do not divide the batch are a separate problem, whatever the number of workers
    robots_fit = batch % robots == 0
    room = offer.cpus - rllib.num_learners
    fewer = _most_sharing(batch // robots if robots_fit else batch, min(workers, room))
    other_batch = _batch_for(rllib, max(1, fewer if workers > room else workers))
    if workers > room:
        # the trainer needs no CPU of its own: it waits while they sample, and they wait while it learns
        learners = f" and {_learners(rllib)} (num_learners)" if rllib.num_learners else ""
        yield (
            f"rllib.num_workers: {workers} workers{learners} need {workers + rllib.num_learners} CPUs, and "
            f"there are {offer.cpus} {_where('cpus', settings.ray, machine)}; "
            f"give {fewer}{', or -1' if fewer else ''}"
        )
    elif workers != fewer:
        yield (
            f"rllib.num_workers: {workers} workers with {robots} robots each (env_per_worker) do not share "
            f"train_batch_size {batch} evenly; give {fewer}, or -1, or make train_batch_size {other_batch}"
        )
    if not robots_fit:
        fitting = _nearest_divisor(batch // max(1, fewer), robots)
        yield (
            f"rllib.env_per_worker: {max(1, workers)} (workers) x {robots} robots do not share "
            f"train_batch_size {batch} evenly; give {fitting}, or make train_batch_size {other_batch}"
        )


def _most_workers(rllib: RllibSettings, offer: Machine) -> int:
    batch, robots = rllib.train_batch_size, rllib.env_per_worker
    numbers = [n for n in range(offer.cpus - rllib.num_learners, 0, -1) if batch % (n * robots) == 0]
    return next((n for n in numbers if _shares_fit(rllib, n, offer.gpus)), 1)


def _most_sharing(steps: int, limit: int) -> int:
    """The largest divisor of `steps` up to `limit`; 0 (sampling in the trainer's process) for 0."""
    return next((n for n in range(limit, 0, -1) if steps % n == 0), 0)


def _nearest_divisor(number: int, to: int) -> int:
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return min({*small, *(number // n for n in small)}, key=lambda n: (abs(n - to), n))


def _batch_for(rllib: RllibSettings, workers: int) -> int:
    """The nearest batch size that all robots share evenly and that minibatches divide."""
    step = math.lcm(workers * rllib.env_per_worker, rllib.minibatch_size)
    return max(1, round(rllib.train_batch_size / step)) * step


def _gpus(settings: Settings, machine: Machine) -> Iterator[str]:
    ray, rllib = settings.ray, settings.rllib
    if not asks_for_gpus(rllib):
        return
    gpus = offered(ray, machine).gpus
    if not gpus and machine.gpus:
        yield (
            f"ray.num_gpus: 0 hides the {machine.gpus} GPUs of this machine, and rllib asks for one; "
            "give -1 (all)"
        )
        gpus = machine.gpus
    workers = 1 if rllib.num_workers == -1 else rllib.num_workers
    if not gpus:
        yield from _no_gpu(rllib, machine)
        return
    if not _shares_fit(rllib, 0, gpus):
        share = PARTS // -(-rllib.learners // gpus) / PARTS
        yield (
            f"rllib.num_gpus: {rllib.learners} x {rllib.num_gpus:g} (learners) do not fit on the GPUs, "
            f"{gpus} {_where('gpus', ray, machine)}; give at most {share:g}"
        )
        rllib = rllib.model_copy(update={"num_gpus": share})
    if not _shares_fit(rllib, workers, gpus):
        share = _largest_share(rllib, workers, gpus)
        learners = f"{rllib.learners} x {rllib.num_gpus:g} (num_gpus, the learners)"
        learner = learners if rllib.learners > 1 else f"{rllib.num_gpus:g} (num_gpus, the learner)"
        yield (
            f"rllib.gpu_per_worker: {workers} x {rllib.gpu_per_worker:g} (workers) and {learner} do not fit "
            f"on the GPUs, {gpus} {_where('gpus', ray, machine)}; give {'at most ' if share else ''}{share:g}"
        )


def _no_gpu(rllib: RllibSettings, machine: Machine) -> Iterator[str]:
    search = machine.gpu_search
    for key, share in (
        ("num_gpus", rllib.num_gpus),
        ("gpu_per_worker", rllib.gpu_per_worker if rllib.num_workers else 0),
    ):
        if share:
            yield (
                f"rllib.{key}: {share:g} asks for a GPU, and {machine.name} has none ({search.problem}); "
                f"set it to 0, or {search.cure}"
            )


def _shares_fit(rllib: RllibSettings, workers: int, gpus: int, parts: int | None = None) -> bool:
    """Whether all learners and workers get their shares, none of them spread over several GPUs."""
    learner = round(rllib.num_gpus * PARTS)
    worker = round(rllib.gpu_per_worker * PARTS) if parts is None else parts
    # first come the learners, as many on a GPU as fit
    learners = rllib.learners if learner else 0
    on_one = PARTS // learner if learner else 0
    if learners > on_one * gpus:
        return False
    if not workers or not worker:
        return True
    taken = [learner * min(on_one, max(0, learners - on_one * gpu)) for gpu in range(gpus)]
    return sum((PARTS - parts_taken) // worker for parts_taken in taken) >= workers


def _largest_share(rllib: RllibSettings, workers: int, gpus: int) -> float:
    """The largest share 1/n of a GPU per worker that fits; 0 if the learners leave nothing."""
    shares = (PARTS // n for n in range(1, PARTS + 1))
    return next((share for share in shares if _shares_fit(rllib, workers, gpus, share)), 0) / PARTS


def _where(kind: str, ray: RaySettings, machine: Machine) -> str:
    """What limits the CPUs or GPUs, in words."""
    if machine.cluster:
        return f"in {machine.name}"
    is_limited = getattr(offered(ray, machine), kind) < getattr(machine, kind)
    return f"by ray.num_{kind}" if is_limited else "on this machine"
