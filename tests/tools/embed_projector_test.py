#!/usr/bin/env python3
"""embed --projector, as TensorBoard's projector reads it:  embed_projector_test.py SOURCE BUILD

The plugin finds the embedding in the folder, also after it has been moved, and serves the rows of the array (f16 ones as f32),
names and classes. Exit status: 0 all is so, 1 something is not, 77 TensorBoard cannot be had.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE, BUILD = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
TOOLS = BUILD / "python_tools"
if len(sys.argv) == 3:  # once more, with what python_tools.sh installs
    if subprocess.run([SOURCE / "tests/python_tools.sh", TOOLS, "tensorboard", "werkzeug"], check=False).returncode != 0:
        print("skipped: TensorBoard cannot be installed here")
        sys.exit(77)
    os.execv(TOOLS / "bin/python", [str(TOOLS / "bin/python"), "-B", *sys.argv, "again"])

try:
    import numpy
    import werkzeug.test
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.projector import projector_plugin
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

SHAPES = "--dataset confounded_shapes --device cpu".split()
FAILURES = []


def expect(good, text):
    print("ok" if good else "FAILED", text)
    if not good:
        FAILURES.append(text)


def must(name, *words):
    subprocess.run([BUILD / name, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


class Projector:
    """The plugin on a folder, asked over its WSGI applications."""
    def __init__(self, folder):
        multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder))
        multiplexer.Reload()
        provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
        context = base_plugin.TBContext(data_provider=provider, logdir=str(folder))
        self.apps = projector_plugin.ProjectorPlugin(context).get_plugin_apps()

    def ask(self, route, **query):
        answer = werkzeug.test.Client(self.apps[route]).get(route, query_string=query)
        if answer.status_code != 200:
            raise SystemExit(f"{route} {query}: status {answer.status_code}: {answer.get_data(as_text=True)}")
        return answer.get_data()


def expect_served(folder, array, labeled):
    projector = Projector(folder)
    runs = json.loads(projector.ask("/runs"))
    expect(runs == ["."], f"{folder.name}: the run is the folder itself: {runs}")
    [embedding] = json.loads(projector.ask("/info", run="."))["embeddings"]
    rows = numpy.load(array)
    expect(embedding["tensorShape"] == list(rows.shape), f"{folder.name}: its shape is {embedding['tensorShape']}")
    served = numpy.frombuffer(projector.ask("/tensor", run=".", name=embedding["tensorName"]), numpy.float32)
    expect(numpy.array_equal(served.reshape(rows.shape), rows.astype(numpy.float32)), f"{folder.name}: the rows of the array")
    table = projector.ask("/metadata", run=".", name=embedding["tensorName"]).decode().splitlines()
    names = array.with_suffix(".names.txt").read_text().splitlines()
    if labeled:
        labels, classes = numpy.load(array.with_suffix(".labels.npy")), json.loads(array.with_suffix(".json").read_text())["classes"]
        names = ["name\tlabel"] + [f"{name}\t{classes[label]}" for name, label in zip(names, labels)]
    expect(table == names, f"{folder.name}: names{' and classes' if labeled else ''}: {table[:3]}")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run = folder / "run"
        must("pretrain", *SHAPES, "--objective", "simclr", "--image-size", 16, "--limit", 100, "--batch", 50, "--width", 8,
             "--epochs", 1, "--eval-every", 0, "--figures", "off", "--workers", 1, "--out", run)
        for kind in ("f32", "f16"):
            must("embed", "--run", run, *SHAPES, "--limit", 300, "--type", kind, "--out", folder / f"{kind}.npy", "--projector",
                 folder / kind)
            expect_served(folder / kind, folder / f"{kind}.npy", True)
        must("embed", "--run", run, *SHAPES, "--limit", 300, "--out", folder / "f32.npy", "--projector", folder / "f32")  # again
        (folder / "f32").rename(folder / "moved")
        expect_served(folder / "moved", folder / "f32.npy", True)

        images = folder / "images"
        images.mkdir()
        numpy.save(images / "train.npy", numpy.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), dtype=numpy.uint8))
        must("embed", "--run", run, "--dataset", "npy", "--data", images, "--split", "train", "--device", "cpu", "--out",
             folder / "plain.npy", "--projector", folder / "plain")
        expect_served(folder / "plain", folder / "plain.npy", False)
        others = folder / "others"
        others.mkdir()
        (others / "metadata.tsv").write_text("mine")
        done = subprocess.run([BUILD / "embed", "--run", run, "--dataset", "npy", "--data", images, "--split", "train", "--out",
                               folder / "plain.npy", "--projector", others], capture_output=True, text=True, check=False)
        expect(done.returncode == 2 and "metadata.tsv: exists and is not embed's" in done.stderr, f"another's file: {done.stderr}")
        expect((others / "metadata.tsv").read_text() == "mine", "another's file stays")
    print(f"{len(FAILURES)} failures")
    sys.exit(1 if FAILURES else 0)


main()
