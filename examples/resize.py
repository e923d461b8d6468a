"""Pictures made smaller side by side, then put beside each other.

    python examples/resize.py [DIRECTORY]

Shows a payload that is checked into a type, handlers in processes of their own, progress, a dependency on
several tasks and their results.  The pictures are PPM files, which need no library.  Runs on
TASKQ_DATABASE_URL, else on the embedded server, with a worker in this very process.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from taskq import App, Fail, Queue, SyncTask
from taskq.settings import Settings
from taskq.worker import Worker

SIDE = 240
app = App()


@dataclass
class Picture:
    """What `resize` needs: a PPM file, and how many pixels become one."""

    path: str
    factor: int


@app.role("resize", timeout=timedelta(minutes=5), max_attempts=3, isolation="process")
def resize(task: SyncTask, picture: Picture) -> dict[str, Any]:
    """Make a picture smaller; returns the path of the new one and its size."""
    width, height, pixels = read(Path(picture.path))
    small = bytearray()
    for y in range(0, height, picture.factor):
        task.progress(y / height, f"line {y} of {height}")
        for x in range(0, width, picture.factor):
            at = 3 * (y * width + x)
            small += pixels[at : at + 3]
    target = Path(picture.path).with_suffix(".small.ppm")
    return write(target, -(-width // picture.factor), -(-height // picture.factor), bytes(small))


@app.role("montage", isolation="process")
def montage(task: SyncTask) -> dict[str, Any]:
    """Put the pictures of the tasks before this one beside each other."""
    paths = sorted(Path(result["path"]) for result in task.parents.values())
    pictures = [read(path) for path in paths]
    if len({height for _, height, _ in pictures}) != 1:
        raise Fail("the pictures are not of one height", kind="validation_error")
    height = pictures[0][1]
    lines = [b"".join(p[3 * w * y : 3 * w * (y + 1)] for w, _, p in pictures) for y in range(height)]
    return write(paths[0].with_name("montage.ppm"), sum(w for w, _, _ in pictures), height, b"".join(lines))


def read(path: Path) -> tuple[int, int, bytes]:
    """Width, height and pixels of a PPM file as this program writes it."""
    _, size, _, pixels = path.read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    return width, height, pixels


def write(path: Path, width: int, height: int, pixels: bytes) -> dict[str, Any]:
    path.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + pixels)
    return {"path": str(path), "width": width, "height": height}


def paint(path: Path, colour: int) -> None:
    """A picture to begin with: one colour that grows from black at the top left."""
    shades = (((x + y) * 255 // (2 * SIDE)) for y in range(SIDE) for x in range(SIDE))
    pixels = b"".join(bytes(shade if c == colour else 0 for c in range(3)) for shade in shades)
    write(path, SIDE, SIDE, pixels)


async def main(directory: Path) -> None:
    """Paint three pictures, enqueue the graph, and wait for its end."""
    async with Queue() as queue:
        worker = Worker(app, dsn=queue.dsn, settings=Settings.read(), concurrency=3)
        working = asyncio.create_task(worker.run())
        parts = []
        for colour, name in enumerate(("red", "green", "blue")):
            paint(directory / f"{name}.ppm", colour)
            picture = {"path": str(directory / f"{name}.ppm"), "factor": 4}
            parts.append(await queue.enqueue("resize", picture, name=name))
        last = await queue.enqueue("montage", depends_on=parts)
        print(await queue.result(last, timeout=timedelta(minutes=1)))
        worker.drain()
        await working


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(Path(sys.argv[1])))
    else:
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(main(Path(directory)))
