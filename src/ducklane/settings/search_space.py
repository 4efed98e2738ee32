"""The grammar of `tune.search_space`: the settings that trials may vary, and how."""

from __future__ import annotations

from collections.abc import Mapping

from ducklane.settings.base import Conflict, Section
from ducklane.settings.refusals import advice_on, shown

Sections = Mapping[str, type[Section]]
"""Name -> section."""

SHARED = (
    "rllib.env",
    "rllib.framework",
    "rllib.num_gpus",
    "rllib.num_workers",
    "rllib.gpu_per_worker",
    "rllib.restore_from",
)
"""Keys that trials cannot vary: they belong to the machine, or to the training run as a whole."""

DISTRIBUTIONS = {
    "grid": "a list: each value in turn",
    "choice": "a list: one of the values",
    "uniform": "[low, high]: any number between",
    "loguniform": "[low, high], both > 0: any number between, log-uniformly",
    "randint": "[low, high]: a whole number from low to high",
}
"""Name -> what it takes, and what it draws."""


def read_search_space(value: object, sections: Sections) -> dict[str, tuple[str, tuple[object, ...]]]:
    """{"rllib": {"lr": {"grid": [0.1, 0.2]}}} as {"rllib.lr": ("grid", (0.1, 0.2))}.

    Args:
        value: of `tune.search_space` in params.yaml.
        sections: those that trials may vary.

    Raises:
        Conflict: a key or its distribution is wrong.
    """
    if not isinstance(value, dict):
        raise ValueError("not a section")
    return {
        f"{section}.{key}": _distribution(f"{section}.{key}", distribution, sections)
        for section, keys in value.items()
        for key, distribution in _keys_of(section, keys, sections).items()
    }


def as_sections(space: Mapping[str, tuple[str, tuple[object, ...]]]) -> dict[str, dict[str, object]]:
    """The search space in the form of params.yaml."""
    sections: dict[str, dict[str, object]] = {}
    for key, (kind, values) in space.items():
        section, name = key.split(".", 1)
        sections.setdefault(section, {})[name] = {kind: list(values)}
    return sections


def _keys_of(section: object, keys: object, sections: Sections) -> dict[str, object]:
    if section not in sections or not isinstance(keys, dict):
        raise Conflict(
            str(section), f"is not a section that trials can vary; those are {', '.join(sections)}"
        )
    return keys


def _distribution(key: str, distribution: object, sections: Sections) -> tuple[str, tuple[object, ...]]:
    section, name = key.split(".", 1)
    if key in SHARED or name not in sections[section].named_fields():
        _, advice = advice_on(name, sections[section], sections)
        why = "cannot differ between trials" if key in SHARED else f"is not a setting; {advice}"
        raise Conflict(key, why)
    kinds = ", ".join(DISTRIBUTIONS)
    if (
        not isinstance(distribution, dict)
        or len(distribution) != 1
        or next(iter(distribution)) not in DISTRIBUTIONS
    ):
        raise Conflict(key, f"got {shown(distribution)}; give one of {kinds}, as in grid: [1, 2]")
    ((kind, values),) = distribution.items()
    if not _fits(kind, values):
        raise Conflict(f"{key}.{kind}", f"got {shown(values)}; give {DISTRIBUTIONS[kind]}")
    return kind, tuple(values)


def _fits(kind: str, values: object) -> bool:
    if not isinstance(values, list | tuple) or not values:
        return False
    if kind in {"grid", "choice"}:
        return True
    numbers = int if kind == "randint" else (int, float)
    if len(values) != 2 or not all(isinstance(v, numbers) and not isinstance(v, bool) for v in values):
        return False
    low, high = values
    return low < high and (kind != "loguniform" or low > 0)
