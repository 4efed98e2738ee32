"""The model of an iteration: what more processes, nodes and a GPU change, with parts made up for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scaling import GPU_UPDATE_S, Layout, described, predict

from ducklane.settings import Settings

PARTS = {
    "sample_1_thread_s": 3e-4,
    "simulate_s": 1e-4,
    "forward_s": 2e-4,
    "pack_s": 1e-6,
    "unpack_s": 2e-6,
    "bytes_per_step": 4000.0,
    "connector_s": 1e-6,
    "sample_update_s": 4e-5,
    "update_s": 1e-3,
    "sample_update_beside_s": 5e-5,
    "weights_s": 3e-3,
    "weights_bytes": 400_000.0,
    "call_s": 1e-3,
    "call_more_s": 1e-4,
    "wire_bytes_per_s": 1e9,
    "all_reduce_s": 1e-3,
}


def test_each_part_is_counted_where_it_is_done(settings: Settings) -> None:
    rllib = settings.rllib
    steps, updates = rllib.train_batch_size, rllib.num_epochs * rllib.train_batch_size // rllib.minibatch_size
    alone = predict(PARTS, Layout(), rllib)
    assert alone["sampling"] == pytest.approx(steps * (2e-4 + 1e-4 / 2))
    assert alone["learning"] == pytest.approx(updates * (1e-3 + rllib.minibatch_size / 2 * 5e-5))
    assert alone["shipping"] == alone["gradients"] == alone["weights"] == 0
    workers = predict(PARTS, Layout(workers=4, cores=4), rllib)
    assert workers["sampling"] == pytest.approx(steps / 4 * 3e-4)
    assert workers["shipping"] == pytest.approx(steps * (1e-6 / 4 + 2e-6) + 1e-3 + 4e-4)
    assert workers["learning"] == alone["learning"]
    # the other node's half goes over the wire, and the weights come back over it
    apart = predict(PARTS, Layout(workers=4, cores=2, nodes=2), rllib)
    assert apart["shipping"] - workers["shipping"] == pytest.approx(steps * 4000 / 2 / 1e9)
    assert apart["weights"] - workers["weights"] == pytest.approx(400_000 / 1e9)
    learners = predict(PARTS, Layout(learners=2, cores=4), rllib)
    assert learners["learning"] == pytest.approx(updates * (1e-3 + rllib.minibatch_size / 4 * 5e-5))
    assert learners["gradients"] == pytest.approx(updates * 1e-3)
    assert predict(PARTS, Layout(gpu=True), rllib)["learning"] == pytest.approx(updates * GPU_UPDATE_S)


def test_the_longest_part_is_named_as_the_limit(settings: Settings) -> None:
    few, many = Layout(workers=4, cores=8), Layout(workers=64, cores=64)
    assert described(PARTS, replace(few, gpu=True), settings.rllib)["limit"] == "sampling"
    assert described(PARTS, many, settings.rllib)["limit"] == "learning"
    larger = described(PARTS, replace(many, times=8), settings.rllib)
    assert larger["steps_per_s"] > described(PARTS, many, settings.rllib)["steps_per_s"]
