"""The wording of refusals: one line per problem, with the key, its value and what is allowed."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ducklane.errors import UserError
from ducklane.settings.base import Conflict, Section, is_section, sections_of


class SettingsError(UserError):
    """The settings cannot be used. Exit code 2, as for any incorrect use of a command."""

    exit_code = 2


def problems(error: ValidationError, root: type[Section]) -> list[str]:
    """One line per problem: the key, its value, and what is allowed.

    Args:
        error: from pydantic.
        root: the model that it was validating, all settings.
    """
    lines: dict[str, str] = {}
    misspelt = set()
    for detail in error.errors():
        if detail["type"] in {"extra_forbidden", "invalid_key"}:
            *section, unknown = detail["loc"]
            likely, advice = advice_on(str(unknown), _section_at(section, root), sections_of(root))
            lines[dotted(detail["loc"])] = f"unknown key; {advice}"
            misspelt.add(dotted((*section, likely)))
    for detail in error.errors():
        if detail["type"] not in {"extra_forbidden", "invalid_key"}:
            key, problem = _describe(detail, root)
            # a misspelt key is reported once, not as an unknown key and a missing one
            if not (detail["type"] == "missing" and key in misspelt):
                lines.setdefault(key, problem)
    return [f"{key}: {problem}" for key, problem in lines.items()]


def dotted(location: Iterable[object]) -> str:
    """The place of a key in a YAML file as one printable line, such as `rllib.lr`."""
    return ".".join(str(part) if str(part).isprintable() else repr(part) for part in location)


def _section_at(location: Iterable[object], root: type[Section]) -> type[Section]:
    section: Any = root
    for part in location:
        section = section.named_fields()[part].annotation
    result: type[Section] = section
    return result


def advice_on(unknown: str, section: type[Section], sections: Mapping[str, type[Section]]) -> tuple[str, str]:
    """The key that was probably meant, or "", and a hint for the user.

    Args:
        unknown: the key that does not exist.
        section: where it was given.
        sections: where else it may belong.
    """
    keys = list(section.named_fields())
    if close := difflib.get_close_matches(unknown, keys, n=1, cutoff=0.6):
        return close[0], f"did you mean {close[0]}?"
    homes = [name for name, other in sections.items() if unknown in other.named_fields()]
    if homes:
        return "", f"it belongs to {' or '.join(homes)}"
    return "", f"known keys are {', '.join(keys)}"


def _describe(detail: ErrorDetails, root: type[Section]) -> tuple[str, str]:
    """(key, problem) of one of pydantic's errors, other than an unknown key."""
    location = detail["loc"]
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, Conflict):
        return dotted((*location, cause.key)), str(cause)
    # an error inside a list is reported under the list's key
    names = list(itertools.takewhile(lambda part: isinstance(part, str), location))
    expected = allowed(_section_at(names[:-1], root).named_fields()[str(names[-1])])
    if detail["type"] == "missing" and len(names) == len(location):
        return dotted(names), f"is missing; give {expected}"
    return dotted(names), f"got {shown(detail['input'])}; give {expected}"


def allowed(field: FieldInfo) -> str:
    """What a key may hold, in words."""
    kind: Any = field.annotation
    if field.description:
        return field.description
    if is_section(kind):
        return f"a section with {', '.join(kind.named_fields())}"
    if get_origin(kind) is Literal:
        *others, last = get_args(kind)
        return f"{', '.join(others)} or {last}" if others else str(last)
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text, not empty"}
    return f"{words[kind]} {' and '.join(_bounds(field))}".rstrip()


def _bounds(field: FieldInfo) -> list[str]:
    words = []
    for bound in field.metadata:
        match bound:
            case Gt():
                words.append(f"> {bound.gt}")
            case Ge():
                words.append(f">= {bound.ge}")
            case Lt():
                words.append(f"< {bound.lt}")
            case Le():
                words.append(f"<= {bound.le}")
    return words


def shown(value: object) -> str:
    """A value as written in a YAML file, cut to a readable length."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a section"
    text = str(list(value) if isinstance(value, tuple) else value)
    text = repr(text) if isinstance(value, str) else text
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return f"the text {text}" if isinstance(value, str) else text
