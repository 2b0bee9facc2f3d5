#!/usr/bin/env python3
"""compare and report on small runs:  report_test.py BUILD

The tables against numbers computed here from the run folders, and the page in headless Chromium: no complaint on its console, a
curve for each group and figure, nothing from elsewhere, no sideways scrolling on a narrow screen. Exit status: 0 all is well, 1
something is not, 77 there is no Chromium here.
"""
import base64
import csv
import html
import html.parser
import io
import json
import math
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(sys.argv[1]).resolve()
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SMALL = ("--dataset confounded_shapes --image-size 16 --limit 100 --batch 50 --width 8 --epochs 2 --eval-every 1 "
         "--eval-limit 60 --device cpu --workers 1").split()
ODD = 'a<b>&"c"'  # of a run folder
RUNS = {"s1": ("simclr", 1), "s2": ("simclr", 2), ODD: ("metamask", 1), "mrcl": ("mrcl", 1), "dsa": ("dsa", 1)}
FAILURES = []


def check(name, good, told=""):
    print("ok" if good else "FAILED", name, "" if good else told)
    if not good:
        FAILURES.append(name)


def tool(name, *words, **more):
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", **more}
    return subprocess.run([BUILD / name, *map(str, words)], capture_output=True, text=True, env=environment, check=False)


def must(name, *words):
    done = tool(name, *words)
    if done.returncode != 0:
        raise SystemExit(f"{name}: exit status {done.returncode}: {done.stderr}")
    return done.stdout


def metrics_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def figures_of(run):
    """The figures with a finite value; of the clock only the rate. kNN's names say on what."""
    names = set()
    for line in metrics_of(run):
        clock = line.pop("clock", {})
        line.update({k: v for k, v in clock.items() if k == "images_per_s"})
        names |= {k for k, v in line.items() if k not in ("step", "epoch", "knn_images") and v is not None and math.isfinite(v)}
    return {name + (" (60 images)" if name.startswith("knn_") else "") for name in names}


class Parsed(html.parser.HTMLParser):
    """Elements with their attributes; complains about tags that do not match."""
    VOID = {"meta", "img", "br", "path", "polygon", "polyline"}

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.faults = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if len({name for name, _ in attrs}) != len(attrs):
            self.faults.append(f"an attribute of {tag} twice")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in self.VOID:  # as a browser writes them out
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> ends something else")

    def of(self, tag, kind=""):
        return [a for t, a in self.elements if t == tag and (not kind or kind in (a.get("class") or "").split())]


def check_compare(runs):
    last = {name: [line for line in metrics_of(path) if "knn_cosine_200" in line][-1] for name, path in runs.items()}
    rows = list(csv.DictReader(io.StringIO(must("compare", *runs.values(), "--format", "csv"), newline="")))
    knn = {row["group"]: row for row in rows if row["figure"] == "knn_cosine_200 (60 images)"}
    splits = {(row["figure"].startswith("knn_"), row["split"]) for row in rows if row["tool"] == "pretrain"}
    check("CSV: only kNN is of the split test", splits == {(True, "test"), (False, "")}, splits)
    values = [last[name]["knn_cosine_200"] for name in ("s1", "s2")]
    check("CSV: a row for each group", sorted(knn) == ["dsa", "metamask", "mrcl", "simclr"], knn)
    both = knn["simclr"]
    check("CSV: mean and deviation over seeds", both["n"] == "2" and math.isclose(float(both["mean"]), sum(values) / 2)
          and math.isclose(float(both["sd"]), statistics.stdev(values), abs_tol=1e-12), both)
    check("CSV: names with quotation marks", knn["metamask"]["runs"] == ODD, knn["metamask"])
    check("CSV: one seed has no deviation", knn["mrcl"]["sd"] == "" and knn["mrcl"]["n"] == "1", knn["mrcl"])
    probes = {row["group"]: row for row in rows if row["tool"] == "linear_probe" and row["figure"] == "top1"}
    probed = json.loads((runs["s1"] / "probe.json").read_text())["top1"]
    check("CSV: the probe's result", float(probes["simclr"]["mean"]) == probed and probes["dsa"]["mean"] == "", probes)
    lines = must("compare", *runs.values(), "--format", "markdown").splitlines()
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    check("Markdown: as many cells in each row", cells == {6} and set(lines[1]) <= set("| -"), cells)
    for columns in (60, 100):
        text = tool("compare", *runs.values(), COLUMNS=str(columns)).stdout
        widest = max(map(len, text.splitlines()))
        check(f"text of at most {columns} columns", "simclr" in text and 40 < widest <= columns, widest)
    texts = [tool("compare", *runs.values(), COLUMNS=columns).stdout for columns in ("0", "100")]
    check("COLUMNS=0 says nothing about the width", texts[0] == texts[1], texts[0])
    check("no unfinished run among them", "unfinished:" not in "\n".join(lines))


def check_errors(folder, run):
    cut = folder / "cut"
    shutil.copytree(run, cut)
    (cut / "encoder.safetensors").unlink()
    lines = (cut / "metrics.jsonl").read_text().splitlines(keepends=True)
    (cut / "metrics.jsonl").write_text("".join(lines[:3]))
    marked = " ".join(tool("compare", cut, COLUMNS="200").stdout.split())
    check("an unfinished run is marked", "unfinished: step 3, epoch 2 of 2" in marked, marked)
    must("report", cut, "--out", folder / "cut.html")
    check("what is not shown", "Not shown: map and neighbors of " in (folder / "cut.html").read_text())
    page, twin = folder / "both.html", folder / "twin"
    for done in (tool("compare", cut, run), tool("report", cut, run, "--out", page)):
        check("a notice names the unfinished run", done.returncode == 0 and done.stderr.startswith(
            f"notice: {cut}: left out of the figures, since it is unfinished (step 3, epoch 2 of 2") and
            done.stderr.count("\n") == 1, done.stderr)
    check("the page names the unfinished run", "Not shown: figures of cut: it is unfinished" in page.read_text())
    shutil.copytree(run, twin)
    both = must("compare", run, twin, "--format", "markdown")
    check("one seed twice: two columns", "| simclr (1) | simclr (2) |" in both and "(n=2)" not in both, both)
    (cut / "metrics.jsonl").write_text(lines[0] + "{broken}\n" + lines[1])
    for name, words in (("compare", []), ("report", ["--out", folder / "none.html"])):
        done = tool(name, cut, *words)
        check(f"{name}: file and line of damage", done.returncode == 2 and done.stderr == f"{name}: {cut}/metrics.jsonl:2: "
              "is damaged, expected a JSON object with a step\n", done.stderr)
        done = tool(name, folder, *words)
        check(f"{name}: no run folder", done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr)
    shutil.copytree(run, folder / "whole")
    metrics = folder / "whole/metrics.jsonl"
    before = metrics.read_bytes()
    done = tool("report", folder / "whole", "--out", metrics)
    check("a file of a run is not replaced", done.returncode == 2 and done.stderr ==
          f"report: {metrics}: exists and is not an HTML page, expected the name of another file\n", done.stderr)
    check("and stays as it is", metrics.read_bytes() == before)
    check("no page of a damaged run", not (folder / "none.html").exists())


def check_source(page, text):
    """What can be seen without a browser."""
    check("at most 5 MiB", page.stat().st_size <= 5 << 20, page.stat().st_size)
    outside = [u for u in re.findall(r"""https?:[^"' )<]*""", text) if u != "http://www.w3.org/2000/svg"]
    check("no reference to elsewhere", not outside and "url(" not in text and "@import" not in text, outside)
    parsed = Parsed(text)
    check("tags match", not parsed.faults and not parsed.open, parsed.faults or parsed.open)
    check("no scripts", not parsed.of("script") and not parsed.of("link"))
    images = parsed.of("img")
    check("images are PNG data with words for them", images and all(
        image["alt"] and base64.b64decode(image["src"].removeprefix("data:image/png;base64,"), validate=True)[:8] ==
        b"\x89PNG\r\n\x1a\n" for image in images))
    check("charts have words for them", all(a.get("aria-label") or a.get("aria-hidden") for a in parsed.of("svg")))
    neighbors = [a for kind in ("right", "wrong") for a in parsed.of("figure", kind)]
    check("neighbors of each group", len(parsed.of("figure", "query")) == 4 * 6 and len(neighbors) == 4 * 6 * 8, len(neighbors))
    points = sum(int(a["data-count"]) for a in parsed.of("path", "points"))
    check("maps of each group", len(parsed.of("figure", "map")) == 4 and points == 4 * 60, points)
    check("mask, reconstructions and views", len(parsed.of("figure", "mask")) == len(parsed.of("figure", "reconstruction")) ==
          len(parsed.of("img", "views")) == 1)
    check("names are escaped", html.escape(ODD) in text and ODD not in text)
    check("scores", len(parsed.of("figure", "scores")) == 1)


def browse(folder, url):
    """The document after loading, and what the console said."""
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile",
         "--enable-logging=stderr", "--dump-dom", url], capture_output=True, text=True, timeout=100, check=False)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def check_in_browser(folder, page, runs):
    document, console = browse(folder, page.as_uri())
    check("nothing on the console", not console, console)
    groups = {}
    for name, path in runs.items():
        groups.setdefault(RUNS[name][0], set()).update(figures_of(path))
    expected = sorted((group, figure) for group, figures in groups.items() for figure in figures)
    curves = Parsed(document).of("polyline", "curve")
    drawn = sorted((a["data-group"], a["data-figure"]) for a in curves)
    check("a curve for each group and figure", drawn == expected, set(drawn) ^ set(expected))
    check("the seeds of one group", {a["data-runs"] for a in curves if a["data-group"] == "simclr"} == {"2"})
    frames = "".join(f'<iframe width="{width}" height="900" srcdoc="{html.escape(page.read_text())}"></iframe>'
                     for width in (400, 1400))
    measuring = folder / "measuring.html"
    measuring.write_text(f"""<!DOCTYPE html><meta charset="utf-8"><body>{frames}<script>
        addEventListener("load", () => {{ document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(f => {{
          const page = f.contentDocument.documentElement;
          return [f.contentWindow.innerWidth, page.scrollWidth, page.scrollHeight]; }})); }});</script>""")
    document, console = browse(folder, measuring.as_uri())
    sizes = json.loads(html.unescape(re.search("<title>(.*?)</title>", document).group(1)))
    check("nothing on the console of two sizes", not console, console)
    for inner, width, height in sizes:
        check(f"{inner} pixels wide without scrolling sideways", width <= inner and height > 2000, (width, height))
    check("both sizes were looked at", [size[0] for size in sizes] == [400, 1400], sizes)


def check_missing(folder, run):
    """Parts whose data are not there."""
    bare, away = folder / "bare", folder / "away"
    shutil.copytree(run, bare)
    (bare / "encoder.safetensors").unlink()
    shutil.copytree(run, away)
    config = (away / "config.toml").read_text()
    config = re.sub('(?m)^dataset = .*$', 'dataset = "cifar10"', config)
    (away / "config.toml").write_text(re.sub('(?m)^data = .*$', 'data = "/no/such/folder"', config))
    page = folder / "missing.html"
    must("report", bare, away, "--out", page, "--images", "20")
    missing = re.findall(r"<li>(Not shown: .*)</li>", page.read_text())
    check("missing parts are named", len(missing) == 3 and "no encoder.safetensors" in missing[1] and all(
        "/no/such/folder" in each for each in (missing[0], missing[2])), missing)


def main():
    if not CHROMIUM:
        print("skipped: there is no Chromium (Debian: chromium)")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        runs = {run: folder / run for run in RUNS}
        for run, (objective, seed) in RUNS.items():
            must("pretrain", *SMALL, "--objective", objective, "--seed", seed, "--out", runs[run])
        must("linear_probe", "--run", runs["s1"], "--limit", "60", "--device", "cpu")
        check_compare(runs)
        check_errors(folder, runs["s1"])
        page, again = folder / "page.html", folder / "again.html"
        for path in (page, again):
            must("report", *runs.values(), "--out", path, "--images", "60", "--device", "cpu")
        check("the same page each time", page.read_bytes() == again.read_bytes())
        check_source(page, page.read_text())
        check_in_browser(folder, page, runs)
        check_missing(folder, runs["s1"])
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
