"""Run the chapters ahead of the build, into the cache from which MyST-NB takes their outputs.

Chapters run side by side, one core each: first those that call `train` in a `#| slow` cell, then others with such cells, then
the long ones. On more than four cores those that train run alone before the others, with all cores. What has run is kept, whatever becomes of the rest; no chapter has a time limit.
"""
import asyncio
import os
import re
import sys
import time

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from sphinx.errors import SphinxError

CORES = os.cpu_count() or 1
SIDE_BY_SIDE = min(CORES, 4)    # each takes a gigabyte or two


class Failed(SphinxError):
    "A chapter that did not run to its end, and where."
    def __init__(self, text, place):
        super().__init__(text)
        self.place = place


class Chapter:
    def __init__(self, path, cells, text):
        self.path, self.name, self.cells = path, path.stem, cells
        self.notebook = nbformat.reads(text, as_version=4)    # as MyST-NB will see it
        slow = [cell.code for cell in cells if "slow" in cell.directives]
        self.slow, self.trains = bool(slow), any(re.search(r"\btrain\(", code) for code in slow)
        self.size = sum(len(cell.code) for cell in cells if cell.kind == "code")

    async def run(self, cores):
        "Execute in a kernel of its own that uses so many cores; the seconds it took."
        client = NotebookClient(self.notebook, timeout=None, record_timing=False, resources={"metadata": {"path": str(self.path.parent)}})
        start = time.monotonic()
        try:
            await client.async_execute(env={**os.environ, "OMP_NUM_THREADS": str(cores)})
        except CellExecutionError as error:
            raise Failed(str(error), failed_cell(self.cells, error)) from None
        except DeadKernelError:
            raise Failed(f"{self.path}: the process that ran it died, perhaps for lack of memory.", self.path) from None
        return time.monotonic() - start


def failed_cell(cells, error):
    "The place of the cell that a CellExecutionError quotes."
    quoted = str(error).split("-" * 18 + "\n")[1].strip()
    return next((cell.where for cell in cells if cell.code.strip() == quoted), f"a cell of {cells[0].file}")


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Progress:
    "Says which chapters run, how long, and how many are left: in place on a screen, now and then in a log."
    def __init__(self, n):
        self.left, self.of, self.running, self.begun, self.live = n, n, {}, time.monotonic(), sys.stdout.isatty()

    def say(self, text, end="\n"):
        print(f"\r\033[K{text}" if self.live else text, end=end if self.live else "\n", flush=True)

    def done(self, name, seconds):
        self.left -= 1
        self.say(f"  {name:<18}{seconds:7.1f} s")

    async def watch(self):
        while True:
            await asyncio.sleep(1 if self.live else 60)
            now = time.monotonic()
            names = ", ".join(f"{name} ({clock(now - start)})" for name, start in self.running.items())
            self.say(f"  {clock(now - self.begun)}: {self.left} of {self.of} chapters left; running {names}", end="")


async def run_all(chapters, cache):
    "Run chapters and keep each as it ends; after a failure begin no other."
    progress, free, failures = Progress(len(chapters)), asyncio.Semaphore(SIDE_BY_SIDE), []

    async def one(chapter, cores):
        async with free:
            if failures: return
            progress.running[chapter.name] = time.monotonic()
            try: seconds = await chapter.run(cores)
            except Failed as failure:
                failures.append(failure)
                return progress.say(f"  {chapter.name:<18}failed")
            finally: del progress.running[chapter.name]
            bundle = CacheBundleIn(chapter.notebook, str(chapter.path), data={"execution_seconds": seconds})
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            progress.done(chapter.name, seconds)

    watch = asyncio.create_task(progress.watch())
    alone = [chapter for chapter in chapters if chapter.trains and CORES > SIDE_BY_SIDE]
    for chapter in alone: await one(chapter, CORES)
    await asyncio.gather(*[one(chapter, 1) for chapter in chapters if chapter not in alone])
    watch.cancel()
    if failures: raise failures[0]


def is_known(cache, chapter):
    try: return bool(cache.match_cache_notebook(chapter.notebook))
    except KeyError: return False


def run_ahead(chapters, folder):
    "Run what the cache in a folder does not know. Raises Failed."
    cache = get_cache(str(folder))
    new = sorted((c for c in chapters if not is_known(cache, c)), key=lambda c: (not c.trains, not c.slow, -c.size))
    if not new: return
    print(f"running {len(new)} of {len(chapters)} chapters …", flush=True)
    asyncio.run(run_all(new, cache))
