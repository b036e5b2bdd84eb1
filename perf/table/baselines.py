"""Two-sided baselines: what this machine reached before. Slower fails; much faster asks for a new baseline, so that the
next loss shows. Ratios beside a peer or a limit are kept, not times, because machines differ by the hour."""

import json

import machine

SLOWER = 0.93  # of the baseline's figure
FASTER = 1.10


def figure(line):
    """The number of a line that is kept: larger is better."""
    value = line.value()
    if value is None or line.goal is None or value <= 0:
        return None
    return value if line.goal.at_least else 1 / value


def judge(found, kept):
    if found < SLOWER * kept:
        return "slower"
    return "much faster: write a new baseline" if found > FASTER * kept else "as before"


def compare(bench, table, how):
    """Exit code: 0 as before, 1 when a row is slower, or much faster, than its baseline, or has none."""
    path = bench.root / "perf/baselines" / f"{machine.name(bench.machine)}.json"
    kept = json.loads(path.read_text()) if path.exists() else {"machine": bench.machine, "rows": {}}
    found = {line.row: round(figure(line), 4) for line in table if figure(line) is not None}
    if how == "write":
        kept["machine"] = bench.machine
        kept["rows"].update(found)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"baseline: {path}")
        return 0
    code = 0
    for row, value in found.items():
        verdict = judge(value, kept["rows"][row]) if row in kept["rows"] else "no baseline: write one"
        print(f"{row}: {value:.3g} against {kept['rows'].get(row, float('nan')):.3g}: {verdict}")
        code = code if verdict == "as before" else 1
    return code
