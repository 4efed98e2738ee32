"""Loading what is shipped runs no code from it and reads no other file; what would is refused in one line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ducklane.errors import PolicyError
from ducklane.export.onnx_file import export_onnx
from ducklane.export.onnx_policy import OnnxPolicy
from ducklane.export.policy_file import CONTENT, NO_DIGEST, content_digest
from ducklane.policy import Observations, TrainedPolicy, load_policy, save_policy
from ducklane.settings import Settings

MakePolicy = Callable[[Settings], TrainedPolicy]


@pytest.fixture(scope="module")
def exported(
    settings: Settings, make_policy: MakePolicy, tmp_path_factory: pytest.TempPathFactory
) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("exported") / "policy.onnx"
    export_onnx(make_policy(settings), path, opset=20)
    return onnx.load(path)


class Runs:
    """Unpickled, it leaves a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def zipped(weights: Path) -> None:
    torch.save(Runs(weights.with_name("ran")), weights)


def legacy(weights: Path) -> None:
    torch.save(Runs(weights.with_name("ran")), weights, _use_new_zipfile_serialization=False)


def pickled(weights: Path) -> None:
    weights.write_bytes(pickle.dumps(Runs(weights.with_name("ran"))))


def program(weights: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(weights)


def empty(weights: Path) -> None:
    weights.write_bytes(b"")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("write", [zipped, legacy, pickled, program, empty])
def test_invalid_weights_are_refused(
    settings: Settings, make_policy: MakePolicy, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    policy = make_policy(settings)
    save_policy(tmp_path, policy.spec, policy.network)
    write(tmp_path / "network.pt")
    with pytest.raises(PolicyError, match=r"network\.pt: cannot be read") as raised:
        load_policy(tmp_path)
    assert "\n" not in str(raised.value)
    # torch's own message says how to run it after all
    assert "weights_only" not in str(raised.value)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_is_refused_as_an_onnx_file(tmp_path: Path) -> None:
    pickled(tmp_path / "policy.onnx")
    refused(tmp_path / "policy.onnx")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["weights.bin", "../weights.bin", "{absolute}"])
@pytest.mark.parametrize("beside", [True, False])
def test_a_policy_with_its_weights_in_another_file_is_refused(
    exported: onnx.ModelProto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    place: str,
    beside: bool,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    monkeypatch.chdir(there)
    weights = (here if beside else there) / place.format(absolute=tmp_path / "weights.bin")
    model = copied(exported)
    tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.write_bytes(tensor.raw_data)
    onnx.external_data_helper.set_external_data(tensor, place.format(absolute=weights))
    tensor.ClearField("raw_data")
    refused(sealed(model, here / "policy.onnx"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("domain", ["somebody.else", "com.microsoft"])
def test_a_policy_with_a_custom_operator_is_refused(
    exported: onnx.ModelProto, tmp_path: Path, capfd: pytest.CaptureFixture[str], domain: str
) -> None:
    model = copied(exported)
    model.graph.node[-1].domain = domain
    model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    refused(sealed(model, tmp_path / "policy.onnx"))
    assert capfd.readouterr() == ("", "")


def test_an_unchanged_policy_that_is_sealed_again_drives(exported: onnx.ModelProto, tmp_path: Path) -> None:
    policy = OnnxPolicy(sealed(copied(exported), tmp_path / "policy.onnx"))
    seen = Observations(np.zeros((1, 480, 640, 3), np.uint8), np.full((1, 2), np.nan))
    assert policy.act(seen).shape == (1, 2)


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def sealed(model: onnx.ModelProto, path: Path) -> Path:
    """Saved with a matching digest, as somebody would do to pass it off as a policy."""
    others = {prop.key: prop.value for prop in model.metadata_props if prop.key != CONTENT}
    onnx.helper.set_model_props(model, {**others, CONTENT: NO_DIGEST})
    content = model.SerializeToString(deterministic=True)
    path.write_bytes(content.replace(NO_DIGEST.encode(), content_digest(content, NO_DIGEST).encode()))
    return path


def refused(path: Path) -> None:
    with pytest.raises(PolicyError, match=r"policy\.onnx: is not a usable ONNX model") as raised:
        OnnxPolicy(path)
    assert "\n" not in str(raised.value)
