"""The base class of all sections of params.yaml, and the kinds of numbers in them."""

from __future__ import annotations

from typing import Annotated, Any, TypeGuard

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Fraction = Annotated[float, Field(ge=0, le=1)]

Positive = Annotated[float, Field(gt=0)]

NotNegative = Annotated[float, Field(ge=0)]

Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A section of params.yaml, frozen; it refuses unknown keys and values of the wrong type."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True
    )

    @classmethod
    def named_fields(cls) -> dict[str, FieldInfo]:
        """The fields under their names in params.yaml."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    def as_dict(self) -> dict[str, Any]:
        """The settings under the names of params.yaml, as JSON types."""
        return self.model_dump(mode="json", by_alias=True)


class Conflict(ValueError):
    """Keys that are each valid and contradict each other."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def is_section(kind: Any) -> TypeGuard[type[Section]]:
    """Whether a field's type is a section of params.yaml."""
    return isinstance(kind, type) and issubclass(kind, Section)


def sections_of(settings: type[Section]) -> dict[str, type[Section]]:
    """The sections directly inside one, by name."""
    kinds = {name: field.annotation for name, field in settings.named_fields().items()}
    return {name: kind for name, kind in kinds.items() if is_section(kind)}
