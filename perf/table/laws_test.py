#!/usr/bin/env python3
"""What the table must get right: who is faster, what is met, whose turn it is, and what a baseline says."""

import pathlib
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import baselines  # noqa: E402
from contest import Contender, Unavailable, fastest, in_turns  # noqa: E402
from lines import Goal, Line, cells, csv, load, merged, save  # noqa: E402


def bench(folder):
    """Enough of a Bench for commands of the shell."""
    made = types.SimpleNamespace(root=folder, scratch=folder, launcher=[], environment={}, processes=2, remarks=[], said=[])
    made.log = made.said.append
    made.remark = made.remarks.append
    return made


def shell(name, text):
    return Contender(name, ["sh", "-c", text], lambda finished: {"value": float(finished.output), "seconds": finished.seconds})


class Table(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)
        self.bench = bench(self.folder)

    def test_a_ratio_above_one_is_our_gain(self):
        time = Line("step", "s", [2.0, 1.0], Goal(True, 1.1, 1.5), beside="peer", theirs=[1.4, 1.2])
        rate = Line("read", "GB/s", [2.0, 1.0], beside="plain", theirs=[1.0], larger_is_better=True)
        self.assertAlmostEqual(time.ratio(), 1.2)
        self.assertAlmostEqual(rate.ratio(), 2.0)
        self.assertEqual(time.verdict(), "reach")

    def test_goals_have_two_directions(self):
        self.assertEqual([Goal(True, 1, 2).verdict(v) for v in (0.9, 1, 2)], ["no", "reach", "aim"])
        self.assertEqual([Goal(False, 2, 1).verdict(v) for v in (2.1, 2, 1)], ["no", "reach", "aim"])

    def test_what_was_not_measured_meets_nothing(self):
        self.assertEqual(Line("step", "s", [1.0], Goal(True, 1, 2)).verdict(), "not measured")

    def test_sides_take_turns(self):
        for side in ("a", "b"):
            (self.folder / side).write_text(f"echo {side} >> order; echo 1")
        sides = [shell(side, f"cd {self.folder}; . ./{side}") for side in ("a", "b")]
        self.assertEqual(in_turns(self.bench, sides)["b"]["value"], [1, 1])
        self.assertEqual((self.folder / "order").read_text().split(), ["a", "b", "a", "b"])

    def test_a_peer_that_fails_is_named_and_left_out_ours_is_an_error(self):
        figures = in_turns(self.bench, [shell("ours", "echo 1"), shell("peer", "echo broken >&2; exit 4")])
        self.assertEqual(figures.keys(), {"ours"})
        self.assertEqual(self.bench.remarks, ["peer ended with 4: broken"])
        with self.assertRaises(Unavailable):
            in_turns(self.bench, [shell("ours", "exit 1"), shell("peer", "echo 1")])

    def test_waiting_of_a_launcher_does_not_count(self):
        self.bench.launcher = ["sh", "-c", 'sleep 0.5; exec "$@"', "launcher"]
        self.assertLess(in_turns(self.bench, [shell("a", "echo 1")], 1)["a"]["seconds"][0], 0.4)

    def test_the_fastest_variant_is_taken(self):
        variants = [shell("slow", "echo 2"), shell("fast", "echo 1"), shell("broken", "exit 1")]
        self.assertEqual(fastest(self.bench, variants, "value").name, "fast")

    def test_a_second_sitting_replaces_its_rows_and_keeps_the_others(self):
        path = self.folder / "lines.json"
        save(path, [Line("a", "s", [1.0], Goal(True, 1, 2)), Line("b", "s", [1.0])])
        found = merged(load(path), [Line("b", "s", [2.0]), Line("c", "s", [3.0])])
        self.assertEqual([(line.row, line.ours) for line in found], [("a", [1.0]), ("b", [2.0]), ("c", [3.0])])
        self.assertEqual(found[0].goal, Goal(True, 1, 2))
        self.assertEqual(len(csv(found).splitlines()), 4)
        self.assertEqual(len(cells(found[0])), 12)

    def test_a_baseline_has_two_sides(self):
        self.assertEqual(baselines.judge(0.99, 1.0), "as before")
        self.assertEqual(baselines.judge(0.9, 1.0), "slower")
        self.assertIn("new baseline", baselines.judge(1.2, 1.0))
        self.assertAlmostEqual(baselines.figure(Line("zero", "s", [1.0], Goal(False, 2, 1), judged=1.25)), 0.8)


if __name__ == "__main__":
    unittest.main()
