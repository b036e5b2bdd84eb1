#include "lib/report/page/style.hpp"

namespace trireme::report {
namespace {

// c1 to c12 tell series and instruction kinds apart, also for colour-blind readers; c0 is the rest.
// r1 to r5 rank what is alike, from the best to the worst.
constexpr char kColours[] = R"css(
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --ink: #18212c; --soft: #5b6775; --hair: #e4e8ed;
  --axis: #b6bfc9; --idle: #eef1f4; --band: #2f6db31a;
  --good: #1c7a55; --good-bg: #e3f3ec; --fair: #8a6200; --fair-bg: #fbf1d9;
  --bad: #b3292e; --bad-bg: #fbe6e6;
  --c0: #98a3b0; --c1: #2f6fb5; --c2: #d9772b; --c3: #2e8f74; --c4: #7a62b8; --c5: #bf4b6b;
  --c6: #b8912b; --c7: #86b4de; --c8: #b3a3dc; --c9: #5f7f8c;
  --c10: #e3a978; --c11: #7cc2ac; --c12: #d893a8; --inside: #ffffff;
  --r1: #0b3f86; --r2: #2f6fb5; --r3: #6fa3d4; --r4: #a5c3df; --r5: #cbd6e1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11161c; --card: #191f27; --ink: #e6ebf0; --soft: #96a2af; --hair: #2a323c;
    --axis: #55616e; --idle: #222a33; --band: #6aa5e02b;
    --good: #6fd3a6; --good-bg: #16352a; --fair: #e6bd5c; --fair-bg: #372c12;
    --bad: #f28b8b; --bad-bg: #3d1c1f;
    --c0: #74808d; --c1: #5b9ce0; --c2: #e8944d; --c3: #4cb598; --c4: #9c86d9; --c5: #de7391;
    --c6: #d1ac4a; --c7: #3d6a97; --c8: #67588f; --c9: #7d9eac;
    --c10: #8f5c30; --c11: #2c6e5d; --c12: #8a4258; --inside: #0d1218;
    --r1: #cfe4ff; --r2: #82b6ee; --r3: #4d82bd; --r4: #345a84; --r5: #2c4159;
  }
}
)css";

// Page, head, tiles.
constexpr char kText[] = R"css(
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
    "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%;
}
main { max-width: 1128px; margin: 0 auto; padding: 40px 24px 32px; }
h1, h2, h3, p, ul, dl, figure { margin: 0; padding: 0; }
header { margin-bottom: 24px; }
.eyebrow { color: var(--soft); font-size: 13px; letter-spacing: .02em; }
h1 { font-size: 34px; line-height: 1.2; font-weight: 650; letter-spacing: -.015em;
  overflow-wrap: anywhere; }
.sub { margin-top: 4px; color: var(--soft); }
.pills { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 14px; }
.pill { padding: 3px 12px; border-radius: 14px; font-size: 13.5px; }
.pill b { font-weight: 650; margin-right: 2px; }
.good { color: var(--good); background: var(--good-bg); }
.fair { color: var(--fair); background: var(--fair-bg); }
.bad { color: var(--bad); background: var(--bad-bg); }
section { background: var(--card); border: 1px solid var(--hair); border-radius: 10px;
  padding: 20px 24px 22px; margin-bottom: 16px; }
h2 { font-size: 17px; font-weight: 650; letter-spacing: -.005em; margin-bottom: 12px; }
section > h2:not(:first-child) { margin-top: 28px; }
h3 { font-size: 13px; font-weight: 500; color: var(--soft); }
.warnings { border-color: transparent; background: var(--fair-bg); padding: 14px 24px; }
.warnings h2 { font-size: 14px; margin-bottom: 4px; color: var(--fair); }
.warnings ul { padding-left: 18px; font-size: 14px; }
.warnings li, dd { overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px; padding: 0;
  overflow: hidden; background: var(--hair); }
.tile { background: var(--card); padding: 16px 20px 14px; }
.tile .value { font-size: 28px; line-height: 1.25; font-weight: 600; letter-spacing: -.02em; }
.tile small { font-size: 15px; font-weight: 500; color: var(--soft); margin-left: 4px;
  letter-spacing: 0; }
.tile p:last-child, .note { color: var(--soft); font-size: 13px; }
.note { margin-top: 10px; max-width: 90ch; }
.note.bad { background: none; color: var(--bad); }
.lead { margin: -6px 0 10px; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 0 40px; }
.three { display: grid; grid-template-columns: repeat(3, 1fr); gap: 20px 28px; }
figcaption { display: flex; justify-content: space-between; font-size: 13px; margin-bottom: 10px; }
figcaption b { font-weight: 500; color: var(--soft); }
figcaption span { font-weight: 650; }
)css";

// Boxes leave room beside a picture for its labels; shapes take their colour by class.
constexpr char kPictures[] = R"css(
.box { padding: 8px 6px 24px 52px; }
.small .box { padding-right: 50px; }
.box.labelled { padding-right: 84px; padding-left: 36px; }
.box.gantt { padding: 4px 14px 22px 62px; }
.box.memory { padding: 4px 84px 0 62px; }
svg.plot { display: block; width: 100%; overflow: visible; }
svg.cell { display: block; width: 100%; min-width: 90px; overflow: visible; }
text { font-size: 11.5px; fill: var(--soft); }
text.start { text-anchor: start; } text.middle { text-anchor: middle; }
text.end { text-anchor: end; }
text.name { font-size: 12.5px; font-weight: 600; fill: var(--ink); }
text.name.c1 { fill: var(--c1); } text.name.c2 { fill: var(--c2); }
text.name.c3 { fill: var(--c3); } text.name.c4 { fill: var(--c4); }
text.name.c5 { fill: var(--c5); } text.name.c6 { fill: var(--c6); }
text.name.c7 { fill: var(--c7); } text.name.c8 { fill: var(--c8); }
text.name.c9 { fill: var(--c9); } text.name.c10 { fill: var(--c10); }
text.name.c11 { fill: var(--c11); } text.name.c12 { fill: var(--c12); }
text.small { font-size: 11px; }
text.inside { font-size: 10px; fill: var(--inside); pointer-events: none; }
text.halo { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
.grid { stroke: var(--hair); } .axis { stroke: var(--axis); }
.mark { stroke: var(--soft); stroke-dasharray: 3 3; }
.reference { stroke: var(--ink); stroke-dasharray: 2 3; }
.band { fill: var(--band); } .idle { fill: var(--idle); }
.resident { stroke: var(--ink); stroke-width: 2; }
.whisker { stroke: var(--ink); stroke-width: 1.5; }
path { fill: none; vector-effect: non-scaling-stroke; }
.line { stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.faint { stroke-width: 1; opacity: .35; }
.filled, .area { opacity: .12; } .pale { opacity: .4; }
.area + path { stroke-width: 1.5; }
rect.c0, circle.c0, .area.c0 { fill: var(--c0); } rect.c1, circle.c1, .area.c1 { fill: var(--c1); }
rect.c2, circle.c2, .area.c2 { fill: var(--c2); } rect.c3, circle.c3, .area.c3 { fill: var(--c3); }
rect.c4, circle.c4 { fill: var(--c4); } rect.c5, circle.c5 { fill: var(--c5); }
rect.c6, circle.c6 { fill: var(--c6); } rect.c7, circle.c7 { fill: var(--c7); }
rect.c8, circle.c8 { fill: var(--c8); } rect.c9, circle.c9 { fill: var(--c9); }
rect.c10 { fill: var(--c10); } rect.c11 { fill: var(--c11); } rect.c12 { fill: var(--c12); }
.line.c0 { stroke: var(--c0); }
.line.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); } .line.c3 { stroke: var(--c3); }
.line.c4 { stroke: var(--c4); } .line.c5 { stroke: var(--c5); } .line.c6 { stroke: var(--c6); }
.line.c7 { stroke: var(--c7); } .line.c8 { stroke: var(--c8); } .line.c9 { stroke: var(--c9); }
.line.c10 { stroke: var(--c10); } .line.c11 { stroke: var(--c11); } .line.c12 { stroke: var(--c12); }
.line.r1 { stroke: var(--r1); stroke-width: 3; } .line.r2 { stroke: var(--r2); }
.line.r3 { stroke: var(--r3); } .line.r4 { stroke: var(--r4); } .line.r5 { stroke: var(--r5); }
.line.lost { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 5 4; }
circle.r1 { fill: var(--r1); } circle.r2 { fill: var(--r2); } circle.r3 { fill: var(--r3); }
circle.r4 { fill: var(--r4); } circle.r5 { fill: var(--r5); } circle.lost { fill: var(--bad); }
i.r1 { background: var(--r1); } i.r5 { background: var(--r5); } i.lost { background: var(--bad); }
.line.ideal { stroke: var(--soft); stroke-dasharray: 3 4; stroke-width: 1.5; }
.dot { stroke: var(--card); stroke-width: 1.5; }
circle.ring { fill: var(--card); stroke-width: 2; }
.ring.c1 { stroke: var(--c1); } .ring.c2 { stroke: var(--c2); } .ring.c3 { stroke: var(--c3); }
.ring.c4 { stroke: var(--c4); } .ring.c5 { stroke: var(--c5); } .ring.c6 { stroke: var(--c6); }
.ring.c7 { stroke: var(--c7); } .ring.c8 { stroke: var(--c8); } .ring.c9 { stroke: var(--c9); }
.gantt .bar { stroke: var(--card); stroke-width: .6; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13px;
  color: var(--soft); margin-bottom: 8px; }
.chip { white-space: nowrap; } .chip b { font-weight: 600; }
.legend i, .chip i { display: inline-block; width: 10px; height: 10px; border-radius: 2px;
  margin-right: 6px; }
i.c0 { background: var(--c0); } i.c1 { background: var(--c1); } i.c2 { background: var(--c2); }
i.c3 { background: var(--c3); } i.c4 { background: var(--c4); } i.c5 { background: var(--c5); }
i.c6 { background: var(--c6); } i.c7 { background: var(--c7); } i.c8 { background: var(--c8); }
i.c9 { background: var(--c9); } i.c10 { background: var(--c10); }
i.c11 { background: var(--c11); } i.c12 { background: var(--c12); }
)css";

// Tables, facts, the deck, the switch of the loss picture.
constexpr char kTables[] = R"css(
.scroll { overflow-x: auto; margin-top: 12px; } .scroll + .box { margin-top: 16px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { font-weight: 500; color: var(--soft); font-size: 12.5px; vertical-align: bottom; }
th, td { padding: 5px 0 5px 18px; border-bottom: 1px solid var(--hair); text-align: right;
  white-space: nowrap; }
.runs th, .runs td { padding-left: 12px; }
th.t, td.t { text-align: left; } th:first-child, td:first-child { padding-left: 0; }
td.b { width: 24%; } tr:last-child td { border-bottom: 0; }
td.t.long { white-space: normal; overflow-wrap: anywhere; min-width: 240px; }
a { color: var(--c1); text-decoration: none; } a:hover { text-decoration: underline; }
td.best { font-weight: 650; color: var(--good); }
td.good, td.fair, td.bad { background: none; font-weight: 650; }
td.good { color: var(--good); } td.fair { color: var(--fair); } td.bad { color: var(--bad); }
tr.total td { font-weight: 650; border-top: 1px solid var(--axis); }
dl div { display: grid; grid-template-columns: 132px 1fr; gap: 12px; padding: 4px 0;
  border-bottom: 1px solid var(--hair); font-size: 13.5px; }
dt { color: var(--soft); } dd { margin: 0; }
details { margin-top: 18px; } summary { cursor: pointer; font-weight: 500; }
pre { overflow-x: auto; padding: 14px 16px; border-radius: 8px; background: var(--page);
  font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
.loss { position: relative; }
.loss input { position: absolute; opacity: 0; pointer-events: none; }
.switch { position: absolute; top: 18px; right: 24px; font-size: 13px; color: var(--soft); }
.switch label { margin-left: 4px; padding: 2px 9px; border-radius: 11px; cursor: pointer; }
#x-linear:checked ~ .switch [for=x-linear], #x-log:checked ~ .switch [for=x-log] {
  background: var(--idle); color: var(--ink); }
#x-linear:focus-visible ~ .switch [for=x-linear], #x-log:focus-visible ~ .switch [for=x-log] {
  outline: 2px solid var(--c1); }
#x-linear:checked ~ .log, #x-log:checked ~ .linear { display: none; }
footer { color: var(--soft); font-size: 12.5px; padding: 4px 2px; }
)css";

constexpr char kNarrow[] = R"css(
@media (max-width: 820px) {
  main { padding: 24px 14px; } section { padding: 16px 16px 18px; } .tiles { padding: 0; }
  .tiles { grid-template-columns: repeat(2, 1fr); } .tile { padding: 12px 16px; }
  .tile .value { font-size: 24px; } h1 { font-size: 27px; }
  .two, .three { grid-template-columns: 1fr; } .switch { right: 16px; top: 14px; }
  text.inside { display: none; } th, td { padding-left: 12px; }
}
@media print { body { background: #fff; } section { break-inside: avoid; } }
)css";

}  // namespace

std::string style_sheet() { return std::string(kColours) + kText + kPictures + kTables + kNarrow; }

}  // namespace trireme::report
