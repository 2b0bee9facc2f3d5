"""Draws docs/planted_confounders.svg from what a test has recorded.

  metamask_test --gtest_filter='*Drowned*' --gtest_output=json:mask.json; confounder_figure.py mask.json > FIGURE.svg
"""
import json
import sys

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 300, 48, 16, 12, 40
DROWNED = 4  # the last ones


def curves(path):
    """[feature][step], the mask after each step."""
    with open(path, encoding="utf-8") as file:
        tests = [test for suite in json.load(file)["testsuites"] for test in suite["testsuite"]]
    record = next(test for test in tests if "mask_at_1" in test)
    steps = [[float(x) for x in record[f"mask_at_{step}"].split()] for step in range(1, 301)]
    return list(zip(*steps))


def main():
    masks = curves(sys.argv[1])

    def x(step):
        return LEFT + step / 300 * (WIDTH - LEFT - RIGHT)

    def y(value):
        return TOP + (1 - value) * (HEIGHT - TOP - BOTTOM)

    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">')
    print(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    for value in (0, 0.25, 0.5, 0.75, 1):
        print(f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
              f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value}</text>')
    for step in range(0, 301, 50):
        print(f'<text x="{x(step):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{step}</text>')
    print(f'<text x="{x(150):.1f}" y="{HEIGHT - 6}" text-anchor="middle">step</text>')
    for feature, values in enumerate(masks):
        points = [(0, 0.5)] + [(step + 1, value) for step, value in enumerate(values) if step < 20 or step % 5 == 4]
        color = "#c0392b" if feature >= len(masks) - DROWNED else "#2c5f8a"
        path = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)
        print(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.2"/>')
    print(f'<text x="{WIDTH - RIGHT - 4}" y="{y(0.94):.1f}" text-anchor="end" fill="#2c5f8a">good features</text>'
          f'<text x="{WIDTH - RIGHT - 4}" y="{y(0.06):.1f}" text-anchor="end" fill="#c0392b">drowned features</text>')
    print("</svg>")


if __name__ == "__main__":
    main()
