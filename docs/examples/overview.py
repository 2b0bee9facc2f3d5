#!/usr/bin/env python3
"""overview.py VIEWS.png RUN OUT.svg

The README's picture as one SVG file: the PNG file that the example `views` writes, half of the last reconstructions of an
MRCL run, and the run's kNN accuracy by epoch. The run: pretrain --objective mrcl --epochs 16 --eval-every 1 --out RUN, stopped
after nine epochs.
"""
import base64
import json
import pathlib
import struct
import sys

HEIGHT, GAP, TOP = 300, 56, 30
TEXT = 'font-family="sans-serif" font-size="13" fill="#444"'


def image_size(png):
    """Width and height, which stand at the beginning of every PNG file."""
    return struct.unpack(">II", png[16:24])


def picture(path, left, title, share=1.0):
    """The upper `share` of a PNG file at HEIGHT, under its title, and where it ends on the right."""
    png = path.read_bytes()
    full_width, full_height = image_size(png)
    shown = full_height * share
    width = round(full_width * HEIGHT / shown)
    data = base64.b64encode(png).decode()
    return (f'<text x="{left}" y="18" {TEXT}>{title}</text>\n'
            f'<svg x="{left}" y="{TOP}" width="{width}" height="{HEIGHT}" viewBox="0 0 {full_width} {shown:g}">'
            f'<image width="{full_width}" height="{full_height}" href="data:image/png;base64,{data}"/></svg>\n'), left + width


def curve(points, left, width):
    """Accuracy over epochs, with axes."""
    last = max(epoch for epoch, _ in points)
    low, high = (int(min(y for _, y in points)) // 10) * 10, (int(max(y for _, y in points)) // 10 + 1) * 10
    right, bottom = left + width, TOP + HEIGHT - 24

    def place(epoch, accuracy):
        return left + 36 + (width - 46) * epoch / last, bottom - (bottom - TOP - 6) * (accuracy - low) / (high - low)

    text = f'<text x="{left}" y="18" {TEXT}>kNN top-1 (%), by epoch</text>\n'
    for tick in range(low, high + 1, 10):
        y = place(0, tick)[1]
        text += f'<path d="M{left + 36} {y:.1f}H{right - 10}" stroke="#ddd"/>\n'
        text += f'<text x="{left + 28}" y="{y + 5:.1f}" text-anchor="end" {TEXT}>{tick}</text>\n'
    for tick in (0, last):
        text += f'<text x="{place(tick, low)[0]:.1f}" y="{bottom + 20}" text-anchor="middle" {TEXT}>{tick}</text>\n'
    line = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in points)
    return text + f'<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="2.5"/>\n'


def knn_by_epoch(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(line["epoch"], line["knn_cosine_200"]) for line in lines if "knn_cosine_200" in line]


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: overview.py VIEWS.png RUN OUT.svg")
    views, run, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    drawn = sorted((run / "pictures").glob("epoch_*.png"))[-1]
    parts, end = picture(views, 10, "image, two random views")
    more, end = picture(drawn, end + GAP, "MRCL: image, masked, reconstructed", share=0.5)
    left, width = end + GAP, 330
    body = parts + more + curve(knn_by_epoch(run), left, width)
    size = f'width="{left + width}" height="{TOP + HEIGHT + 10}"'
    out.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {left + width} {TOP + HEIGHT + 10}">\n'
                   f'<rect width="100%" height="100%" fill="white"/>\n{body}</svg>\n', encoding="utf-8")


if __name__ == "__main__":
    main()
