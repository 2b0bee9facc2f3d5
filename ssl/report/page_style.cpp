// Light and dark colors that differ for color-blind readers too, one column on narrow screens.
#include "ssl/report/page.h"

namespace vergence {

const char* const page_style = R"(
:root { color-scheme: light dark;
  --page: #ffffff; --text: #1b1f24; --muted: #57606a; --line: #d0d7de; --panel: #f6f8fa; --good: #0b62a8; --bad: #b03a00;
  --c0: #0072b2; --c1: #d55e00; --c2: #00805c; --c3: #aa4499; --c4: #8a6d00; --c5: #5f6b78; --c6: #332288; --c7: #882255;
  --k0: #0072b2; --k1: #d55e00; --k2: #117733; --k3: #cc79a7; --k4: #999933; --k5: #332288; --k6: #882255; --k7: #2fa193;
  --k8: #e09c00; --k9: #777777; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171c; --text: #e6e9ee; --muted: #a0a9b4; --line: #3a424d; --panel: #1d2229; --good: #6cb8f0; --bad: #ffa066;
  --c0: #56b4e9; --c1: #ff8c42; --c2: #2cc295; --c3: #e28bc4; --c4: #e8c33c; --c5: #b6bec8; --c6: #a79bf0; --c7: #f28ca8;
  --k0: #56b4e9; --k1: #ff8c42; --k2: #4cc27a; --k3: #f2a7cf; --k4: #d6d65c; --k5: #a79bf0; --k6: #e0709a; --k7: #7fe0d0;
  --k8: #ffc94d; --k9: #bbbbbb; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1rem clamp(0.75rem, 3vw, 2.5rem) 3rem; max-width: 90rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.2rem; margin: 2.25rem 0 0.5rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.25rem 0 0.4rem; }
p { margin: 0.4rem 0; max-width: 65rem; }
.muted, figcaption { color: var(--muted); font-size: 0.875rem; }
.scroll { overflow: auto; max-height: 42rem; border: 1px solid var(--line); border-radius: 6px; margin: 0.75rem 0; max-width: 100%; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 0.3rem 0.75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  min-width: 6rem; max-width: 24rem; }
tbody th { font-weight: 400; color: var(--muted); }
tr.heading th { font-weight: 600; color: var(--text); background: var(--panel); max-width: none; }
thead > tr > * { position: sticky; top: 0; background: var(--page); z-index: 2; }
tbody th, thead td { position: sticky; left: 0; background: var(--page); z-index: 1; min-width: 8.5rem;
  max-width: min(24rem, 40vw); overflow-wrap: anywhere; }
.number { white-space: nowrap; }
thead > tr > td { z-index: 3; }
tbody tr:last-child > * { border-bottom: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1.5rem; list-style: none; margin: 0.5rem 0; padding: 0; }
.legend svg { width: 2.25rem; height: 0.75rem; margin-right: 0.5rem; display: inline-block; }
.legend.classes { gap: 0.1rem 0.9rem; font-size: 0.8rem; }
.legend.classes svg { width: 0.75rem; margin-right: 0.25rem; }
.grid-of { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
.two { grid-template-columns: repeat(auto-fill, minmax(min(100%, 39.5rem), 1fr)); column-gap: 2rem; }
figure { margin: 0; min-width: 0; }
.panel { border: 1px solid var(--line); border-radius: 6px; padding: 0.6rem; }
.panel figcaption { color: var(--text); font-weight: 600; margin-bottom: 0.25rem; }
.panel .note { font-weight: 400; color: var(--muted); }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--text); font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
.axis path { stroke: var(--muted); fill: none; }
.grid path { stroke: var(--line); fill: none; }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
.dots { fill: none; stroke-width: 6; stroke-linecap: round; }
.band { opacity: 0.22; stroke: none; }
.points, .others { fill: none; stroke-width: 5; stroke-linecap: round; opacity: 0.75; }
.swatch { stroke-width: 10; stroke-linecap: round; }
.others { stroke: var(--muted); opacity: 0.4; }
.names text { font-weight: 600; paint-order: stroke; stroke: var(--page); stroke-width: 4px; stroke-linejoin: round; }
.bars { fill: var(--c0); }
img { max-width: 100%; height: auto; image-rendering: pixelated; border-radius: 2px; background: #ffffff; }
img.wide { width: min(100%, 44rem); display: block; }
.row { display: flex; flex-wrap: wrap; gap: 0.4rem; margin: 0.5rem 0; padding-bottom: 0.5rem;
  border-bottom: 1px dashed var(--line); }
.row figure { width: 3.9rem; }
.row img { width: 3.75rem; height: 3.75rem; display: block; border: 3px solid var(--line); }
.row figcaption { font-size: 0.75rem; line-height: 1.25; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.row .query { margin-right: 0.6rem; }
.row .query img { border-color: var(--text); }
.row .right img { border-color: var(--good); border-style: solid; }
.row .wrong img { border-color: var(--bad); border-style: dashed; }
.right b { color: var(--good); } .wrong b { color: var(--bad); }
)"
                               // One rule for each color of a group, with its dashes, and of a class.
                               R"(
.g0 { stroke: var(--c0); } .g1 { stroke: var(--c1); } .g2 { stroke: var(--c2); } .g3 { stroke: var(--c3); }
.g4 { stroke: var(--c4); } .g5 { stroke: var(--c5); } .g6 { stroke: var(--c6); } .g7 { stroke: var(--c7); }
.curve.g1 { stroke-dasharray: 8 3; } .curve.g2 { stroke-dasharray: 2 3; } .curve.g3 { stroke-dasharray: 9 3 2 3; }
.curve.g4 { stroke-dasharray: 14 4; } .curve.g5 { stroke-dasharray: 5 5; } .curve.g6 { stroke-dasharray: 9 3 2 3 2 3; }
.curve.g7 { stroke-dasharray: 1 4; }
.band.g0 { fill: var(--c0); } .band.g1 { fill: var(--c1); } .band.g2 { fill: var(--c2); } .band.g3 { fill: var(--c3); }
.band.g4 { fill: var(--c4); } .band.g5 { fill: var(--c5); } .band.g6 { fill: var(--c6); } .band.g7 { fill: var(--c7); }
.k0 { stroke: var(--k0); } .k1 { stroke: var(--k1); } .k2 { stroke: var(--k2); } .k3 { stroke: var(--k3); }
.k4 { stroke: var(--k4); } .k5 { stroke: var(--k5); } .k6 { stroke: var(--k6); } .k7 { stroke: var(--k7); }
.k8 { stroke: var(--k8); } .k9 { stroke: var(--k9); }
@media print { .scroll { max-height: none; } .panel, .row { break-inside: avoid; } }
)";

}  // namespace vergence
