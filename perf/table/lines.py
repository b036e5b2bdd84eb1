"""A line of the table: our figures beside those of something else, a goal, and whether it is met."""

import dataclasses
import json
import statistics


@dataclasses.dataclass(frozen=True)
class Goal:
    """`at_least` or at most; `reach` is wanted, `aim` is close to what the machine can do."""
    at_least: bool
    reach: float
    aim: float
    unit: str = "x"

    def verdict(self, value):
        better = (lambda goal: value >= goal) if self.at_least else (lambda goal: value <= goal)
        if better(self.aim):
            return "aim"
        return "reach" if better(self.reach) else "no"

    def text(self, value):
        return f"{'>=' if self.at_least else '<='} {value:.3g} {self.unit}"


@dataclasses.dataclass
class Line:
    row: str
    unit: str  # of ours and theirs
    ours: list  # one value a process
    goal: Goal = None
    judged: float = None  # what the goal speaks of
    beside: str = ""  # name of what it is compared with
    theirs: list = dataclasses.field(default_factory=list)
    larger_is_better: bool = False
    share: float = None  # of the machine's limit, same minute
    limit: str = ""  # which limit
    why: str = ""  # what limits it, or why something is missing
    measured: str = ""  # when, on which commit, in how many processes

    def best(self, values):
        return (max if self.larger_is_better else min)(values)

    def ratio(self):
        """Our speed over theirs, best against best."""
        if not self.theirs:
            return None
        ours, theirs = self.best(self.ours), self.best(self.theirs)
        return ours / theirs if self.larger_is_better else theirs / ours

    def value(self):
        return self.ratio() if self.judged is None else self.judged

    def verdict(self):
        if self.goal is None:
            return ""
        return "not measured" if self.value() is None else self.goal.verdict(self.value())


def unavailable(row, goal, why):
    """A line for what could not be measured here."""
    return Line(row, "", [], goal, why=why)


def number(value):
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def pair(line, values):
    return f"{number(line.best(values))} / {number(statistics.median(values))}" if values else ""


HEADER = ["row", "unit", "ours best / median", "beside", "best / median", "ratio", "of the limit", "judged", "reach", "aim",
          "met", "measured"]


def cells(line):
    goal = line.goal
    share = f"{line.share:.2f} of {line.limit}" if line.share is not None else ""
    return [line.row, line.unit, pair(line, line.ours), line.beside, pair(line, line.theirs), number(line.ratio()), share,
            number(line.value()) if goal else "", goal.text(goal.reach) if goal else "", goal.text(goal.aim) if goal else "",
            line.verdict(), line.measured]


def save(path, lines):
    path.write_text(json.dumps([dataclasses.asdict(line) for line in lines], indent=1) + "\n")


def load(path):
    """The lines of an earlier run into the same folder; none when there was none."""
    made = json.loads(path.read_text()) if path.exists() else []
    return [Line(**{**fields, "goal": fields["goal"] and Goal(**fields["goal"])}) for fields in made]


def merged(before, table):
    """New lines take the place of old ones of the same row, or follow them."""
    new = {line.row: line for line in table}
    kept = [new.pop(line.row, line) for line in before]
    return kept + list(new.values())


def markdown(machine, lines, remarks):
    facts = "\n".join(f"- {key}: {value}" for key, value in machine.items())
    table = "\n".join("| " + " | ".join(row) + " |" for row in [HEADER, ["---"] * len(HEADER), *map(cells, lines)])
    notes = "".join(f"- {line.row}: {line.why}\n" for line in lines if line.why)
    notes += "".join(f"- {remark}\n" for remark in remarks)
    return f"{facts}\n\n{table}\n" + (f"\n{notes}" if notes else "")


def csv(lines):
    """Every process's figure, one side of a row a line."""
    rows = ["row,unit,side,values,ratio,share,judged,verdict,measured"]
    for line in lines:
        for side, values in (("ours", line.ours), (line.beside, line.theirs)):
            if values:
                cells_ = [line.row, line.unit, side, " ".join(f"{v:.6g}" for v in values), number(line.ratio()),
                          number(line.share), number(line.value()), line.verdict(), line.measured]
                rows.append(",".join(f'"{cell}"' for cell in cells_))
    return "\n".join(rows) + "\n"
