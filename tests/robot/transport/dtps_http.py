"""In place of the robot's messages: as they are, not encoded."""

from __future__ import annotations


class RawData:
    def __init__(self, content: object) -> None:
        self.content = content

    @classmethod
    def cbor_from_native_object(cls, content: object) -> RawData:
        return cls(content)

    def get_as_native_object(self) -> object:
        return self.content
