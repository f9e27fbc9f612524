"""The yardsticks: a bare FastAPI route that returns fixed bytes, and bare journaled transactions."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time

import uvicorn
from fastapi import FastAPI, Response
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.write_concern import WriteConcern


def serve(port: int, size: int) -> None:
    app = FastAPI()
    fixed = b'{"items":["' + b"x" * (size - 13) + b'"]}'

    @app.get("/fixed")
    async def route() -> Response:
        return Response(fixed, media_type="application/json")

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, loop="uvloop")


async def transactions(url: str, writers: int, seconds: float) -> float:
    """Two inserts and a journaled commit, as many as the database takes from so many writers; each second."""
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(url)
    # The database that the user may write to.
    database = client.get_default_database().client["registry"]
    durable = WriteConcern("majority", j=True)
    for name in ("bench_a", "bench_b"):
        if name not in await database.list_collection_names():
            await database.create_collection(name)
    numbers = itertools.count(time.time_ns())
    done = 0
    until = time.perf_counter() + seconds

    async def write() -> None:
        nonlocal done
        while time.perf_counter() < until:
            async with (
                await client.start_session() as session,
                session.start_transaction(write_concern=durable),
            ):
                number = next(numbers)
                await database["bench_a"].insert_one({"_id": number, "v": "x" * 200}, session=session)
                await database["bench_b"].insert_one({"_id": number, "v": "x" * 200}, session=session)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    rate = done / (time.perf_counter() - began)
    client.close()
    return rate


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
