"""A run with monitors, stopped and resumed, read by TensorBoard itself: each number of log.jsonl once, at its samples.

read_back.py MONITORED_RUN FOLDER
"""
import csv
import json
import pathlib
import shutil
import struct
import subprocess
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

BATCH = 8  # samples a step of monitored_run's deck
KEYS = {"train_loss": "loss", "lr": "lr", "grad_norm": "grad_norm", "tokens_per_second": "tokens_per_second",
        "mfu": "mfu", "step_seconds": "seconds", "loss_scale": "loss_scale"}


def expected(run):
    """{tag: {samples: value}} from the log."""
    tags = {f"Train/Samples/{name}": {} for name in [*KEYS, "validation_loss"]}
    for line in map(json.loads, (run / "log.jsonl").read_text().splitlines()):
        samples = BATCH * line["step"]
        if line.get("event") == "evaluation":
            tags["Train/Samples/validation_loss"][samples] = line["loss"]
        elif "event" not in line:
            for name, key in KEYS.items():
                tags[f"Train/Samples/{name}"][samples] = float("nan") if line[key] is None else line[key]
    return tags


def as_float(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def same(a, b):
    return a == b or (a != a and b != b)


def accumulated(folder):
    """What TensorBoard shows: {tag: {samples: value}}."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


def raw(folder):
    """Every (tag, step) in the files, doubled ones too; TensorBoard's reader checks the CRCs."""
    found = []
    for file in sorted(folder.iterdir()):
        for event in EventFileLoader(str(file)).Load():
            found += [(value.tag, event.step) for value in event.summary.value]
    return found


def check(holds, text):
    if not holds:
        sys.exit(f"read_back: {text}")


def compare(got, want, convert, what):
    check(got.keys() == want.keys(), f"{what}: tags {sorted(got)}, expected {sorted(want)}")
    for tag, values in want.items():
        check(got[tag].keys() == values.keys(), f"{what}: {tag} at {sorted(got[tag])}, expected {sorted(values)}")
        for step, value in values.items():
            check(same(got[tag][step], convert(value)), f"{what}: {tag} at {step}: {got[tag][step]}, expected {value}")


def read_csv(folder, tags):
    got = {}
    for tag in tags:
        rows = list(csv.reader((folder / (tag.replace("/", "_") + ".csv")).open(newline="")))
        check(rows[0] == ["step", tag.rsplit("/", 1)[1]], f"head of {tag}: {rows[0]}")
        check(len(rows) - 1 == len({row[0] for row in rows[1:]}), f"{tag}: a step stands in its CSV twice")
        got[tag] = {int(step): float(value) for step, value in rows[1:]}
    return got


def main(program, folder):
    run = pathlib.Path(folder)
    shutil.rmtree(run, ignore_errors=True)
    subprocess.run([program, str(run)], check=True)
    want = expected(run)
    events = run / "tensorboard" / "DeepSpeedJobName"
    compare(accumulated(events), want, as_float, "TensorBoard")
    found = raw(events)
    check(len(found) == len(set(found)) == sum(map(len, want.values())), f"{len(found)} scalars in the files")
    compare(read_csv(run / "csv_monitor" / "DeepSpeedJobName", want), want, float, "CSV")

    # The planted fault: a flipped bit, which TensorBoard's reader must not take for a number.
    file = sorted(events.iterdir())[0]
    damaged = bytearray(file.read_bytes())
    damaged[-10] ^= 1
    file.write_bytes(damaged)
    losses = accumulated(events)["Train/Samples/train_loss"]
    check(5 * BATCH not in losses and 4 * BATCH in losses, "the damaged record of step 5 was read")


if __name__ == "__main__":
    main(*sys.argv[1:])
