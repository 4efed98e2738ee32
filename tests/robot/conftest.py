from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from ducklane.export.onnx_file import sealed
from ducklane.export.policy_file import PolicyFile


@pytest.fixture(scope="session")
def telling_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy whose commands tell what it was shown: the green of its first and the red of its last frame.

    It stacks three frames of 6 x 4 pixels, 1/30 s apart; 255 is a duty of 1.
    """
    frames = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", 3, 4, 6, 3])
    wheels = helper.make_tensor_value_info("wheels", TensorProto.FLOAT, ["n", 2])
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Reshape", ["means", "flat"], ["row"]),
        helper.make_node("Gather", ["row", "chosen"], ["both"], axis=1),
        helper.make_node("Div", ["both", "white"], ["wheels"]),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
        helper.make_tensor("flat", TensorProto.INT64, [2], [-1, 9]),
        helper.make_tensor("chosen", TensorProto.INT64, [2], [1, 6]),
        helper.make_tensor("white", TensorProto.FLOAT, [], [255.0]),
    ]
    graph = helper.make_graph(nodes, "telling", [frames], [wheels], constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    path = tmp_path_factory.mktemp("telling") / "policy.onnx"
    path.write_bytes(sealed(model, {}))
    return path


@pytest.fixture(scope="session")
def streaming_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same policy, taking each frame once and handing back its mean colour."""
    inputs = [
        helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, 4, 6, 3]),
        helper.make_tensor_value_info("earlier", TensorProto.FLOAT, [1, 2, 1, 1, 3]),
    ]
    outputs = [
        helper.make_tensor_value_info("wheels", TensorProto.FLOAT, [1, 2]),
        helper.make_tensor_value_info("reduced", TensorProto.FLOAT, [1, 1, 3]),
    ]
    nodes = [
        helper.make_node("Cast", ["frame"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["floats", "pixels"], ["colors"]),
        helper.make_node("ReduceMean", ["colors", "axis"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "small"], ["reduced"]),
        helper.make_node("Reshape", ["mean", "one"], ["newest"]),
        helper.make_node("Concat", ["earlier", "newest"], ["means"], axis=1),
        helper.make_node("Reshape", ["means", "flat"], ["row"]),
        helper.make_node("Gather", ["row", "chosen"], ["both"], axis=1),
        helper.make_node("Div", ["both", "white"], ["wheels"]),
    ]
    constants = [
        helper.make_tensor("pixels", TensorProto.INT64, [2], [24, 3]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [0]),
        helper.make_tensor("small", TensorProto.INT64, [3], [1, 1, 3]),
        helper.make_tensor("one", TensorProto.INT64, [5], [1, 1, 1, 1, 3]),
        helper.make_tensor("flat", TensorProto.INT64, [2], [1, 9]),
        helper.make_tensor("chosen", TensorProto.INT64, [2], [1, 6]),
        helper.make_tensor("white", TensorProto.FLOAT, [], [255.0]),
    ]
    graph = helper.make_graph(nodes, "telling", inputs, outputs, constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])
    path = tmp_path_factory.mktemp("streaming") / "policy_streaming.onnx"
    path.write_bytes(sealed(model, {}))
    return path


@pytest.fixture(scope="session")
def telling(telling_file: Path) -> PolicyFile:
    return PolicyFile(telling_file)
