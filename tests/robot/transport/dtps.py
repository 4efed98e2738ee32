"""In place of the robot's network: its camera shows FRAME, FRAMES times; its wheels write PUBLISHED."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dtps_http import RawData


class SubscriptionInterface:
    async def unsubscribe(self) -> None:
        pass


class DTPSContext:
    def __init__(self, *path: str) -> None:
        self._path = path

    def navigate(self, *path: str) -> DTPSContext:
        return DTPSContext(*self._path, *path)

    async def subscribe(
        self, callback: Callable[[RawData], Awaitable[None]], max_frequency: float | None = None
    ) -> SubscriptionInterface:
        assert self._path == ("duckie", "sensor", "camera", "front_center", "jpeg")

        async def film() -> None:
            for _ in range(int(os.environ["FRAMES"])):
                await callback(RawData({"data": Path(os.environ["FRAME"]).read_bytes()}))
                await asyncio.sleep(0.1)

        self.filming = asyncio.ensure_future(film())
        return SubscriptionInterface()

    @asynccontextmanager
    async def publisher_context(self) -> AsyncIterator[DTPSContext]:
        yield self

    async def publish(self, message: RawData) -> None:
        content: Any = message.get_as_native_object()
        with open(os.environ["PUBLISHED"], "a") as file:
            file.write(f"{'/'.join(self._path)} {content['left']} {content['right']}\n")


async def context(urls: list[str]) -> DTPSContext:
    assert urls == ["http://duckie.local:11911/"]
    return DTPSContext()
