"""Runs the sides of a comparison in turns, each time as a fresh process, and collects their figures."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import time
from typing import Callable


class Unavailable(Exception):
    """A side that cannot run here; the table says why."""


@dataclasses.dataclass
class Finished:
    """One process that ended well."""
    output: str
    folder: pathlib.Path  # its own, removed afterwards
    seconds: float  # from its start to its end; a launcher's waiting before does not count


@dataclasses.dataclass(frozen=True)
class Contender:
    """A command, and how to read its figures (name to number) once it has ended. "{folder}" in the command becomes a
    fresh folder."""
    name: str
    command: list
    read: Callable[[Finished], dict]
    environment: dict = dataclasses.field(default_factory=dict)


# Stamps the moment at which the launcher, if any, lets the program start.
STAMP = ["sh", "-c", 'date +%s.%N > "$0/began"; exec "$@"']


def run_once(bench, contender):
    folder = bench.scratch / "process"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [str(word).replace("{folder}", str(folder)) for word in contender.command]
    environment = {**os.environ, **bench.environment, **contender.environment}
    with open(bench.scratch / "output", "w+") as output, open(bench.scratch / "errors", "w+") as errors:
        process = subprocess.run([*bench.launcher, *STAMP, folder, *command], cwd=bench.root, env=environment,
                                 stdout=output, stderr=errors)
        seconds = time.time() - float((folder / "began").read_text())
        output.seek(0)
        errors.seek(0)
        text, complaint = output.read(), errors.read()
    bench.log(f"{contender.name}: {' '.join(command)}\n  {seconds:.2f} s, exit {process.returncode}")
    if process.returncode != 0:
        bench.log(complaint or text)
        last = (complaint or text).strip().splitlines()[-1:] or ["no message"]
        raise Unavailable(f"{contender.name} ended with {process.returncode}: {last[0][:160]}")
    return contender.read(Finished(text, folder, seconds))


def in_turns(bench, contenders, processes=None):
    """Figures of each contender by its name: a list for each figure, one value a process; A B A B and so on. One that
    fails is left out from then on and stands in `bench.remarks`; the first contender must not fail."""
    figures = {contender.name: {} for contender in contenders}
    for _ in range(processes or bench.processes):
        for contender in list(contenders):
            if contender.name not in figures:
                continue
            try:
                for name, value in run_once(bench, contender).items():
                    figures[contender.name].setdefault(name, []).append(value)
            except Unavailable as reason:
                if contender is contenders[0]:
                    raise
                bench.remark(str(reason))
                del figures[contender.name]
    return figures


def fastest(bench, variants, figure="step"):
    """The variant that is fastest in one process each: a peer at its best. None when none runs."""
    best = None
    for variant in variants:
        try:
            value = run_once(bench, variant)[figure]
        except Unavailable as reason:
            bench.remark(str(reason))
            continue
        bench.log(f"  {variant.name}: {value:.4g}")
        if best is None or value < best[0]:
            best = (value, variant)
    return best and best[1]
