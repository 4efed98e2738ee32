import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ducklane.simulator.world.draws import integers, normal, seed_robots, uniform

COUNT = 20_000


@pytest.fixture
def stream() -> np.ndarray:
    return seed_robots(1, [0])[0]


def test_uniform_numbers_fill_their_range(stream):
    drawn = np.array([uniform(stream, -2.0, 3.0) for _ in range(COUNT)])
    assert drawn.min() >= -2
    assert drawn.max() < 3
    counts, _ = np.histogram(drawn, 20, (-2, 3))
    assert abs(counts - COUNT / 20).max() < 6 * np.sqrt(COUNT / 20)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.04


def test_whole_numbers_are_equally_frequent(stream):
    drawn = np.array([integers(stream, -1, 6) for _ in range(COUNT)])
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == list(range(-1, 6))
    assert abs(counts - COUNT / 7).max() < 6 * np.sqrt(COUNT / 7)


def test_normal_numbers_are_normal(stream):
    drawn = np.array([normal(stream, 0.5, 2.0) for _ in range(COUNT)])
    scaled = (drawn - 0.5) / 2
    assert abs(scaled.mean()) < 0.04
    assert scaled.std() == pytest.approx(1, abs=0.03)
    assert np.mean(abs(scaled) < 1) == pytest.approx(0.6827, abs=0.02)
    assert np.mean(scaled**4) == pytest.approx(3, abs=0.3)


def test_streams_match_xoshiro256():
    """Its first numbers from the state (1, 2, 3, 4), as its authors' C code gives them."""
    state = np.array([1, 2, 3, 4], dtype=np.uint64)
    expected = [11520, 0, 1509978240, 1215971899390074240]
    for number in expected:
        assert uniform(state, 0.0, 1.0) == (number >> 11) * 2.0**-53


@hypothesis_settings(max_examples=50)
@given(st.integers(0, 2**31 - 1), st.lists(st.integers(0, 10_000), min_size=1, max_size=20, unique=True))
def test_a_stream_depends_only_on_seed_and_index(seed, indices):
    together = seed_robots(seed, indices)
    assert len(np.unique(together, axis=0)) == len(indices)
    assert np.array_equal(together[-1:], seed_robots(seed, indices[-1:]))
    assert not np.array_equal(together, seed_robots(seed + 1, indices))


def test_no_robots_have_no_streams():
    assert seed_robots(1, []).shape == (0, 4)
