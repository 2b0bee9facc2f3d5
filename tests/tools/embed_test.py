#!/usr/bin/env python3
"""embed on small data, read with NumPy:  embed_test.py BUILD

Arrays, tables, labels and names fit each other; layers, types and unit rows; the same bytes with any threads and workers, and
after kills with -9 at several places; damaged and unlabeled images; files of others stay; queries against NumPy's cosines; kNN from
the arrays gives evaluate's figures; and what the options say about another program's encoder counts as the encoder does. Exit
status: 0 all is well, 1 something is not, 77 there is no NumPy here.
"""
import csv
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

try:
    import numpy
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

BUILD = pathlib.Path(sys.argv[1]).resolve()
FAILURES = []
SHAPES = "--dataset confounded_shapes --device cpu".split()


def check(name, good, told=""):
    print("ok" if good else "FAILED", name, "" if good else told)
    if not good:
        FAILURES.append(name)


def tool(name, *words, **more):
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", **more}
    return subprocess.run([BUILD / name, *map(str, words)], capture_output=True, text=True, env=environment, check=False)


def must(name, *words, **more):
    done = tool(name, *words, **more)
    if done.returncode != 0:
        raise SystemExit(f"{name} {' '.join(map(str, words))}: exit status {done.returncode}: {done.stderr}")
    return done.stdout


def expect_refused(name, parts, *words):
    """Exit status 2 and one line with all these parts."""
    done = tool("embed", *words)
    lines = done.stderr.splitlines()
    check(name, done.returncode == 2 and len(lines) == 1 and all(part in lines[0] for part in parts),
          f"exit status {done.returncode}: {done.stderr}")


def write_png(path, pixels):
    """uint8 [height, width, 3]"""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                     chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def write_folder(folder, classes, count):
    """Noise of several sizes around a color of its own."""
    random = numpy.random.default_rng(5)
    for name in classes:
        for i in range(count):
            color = random.integers(0, 256, 3)
            noise = random.integers(-60, 61, (20 + i % 7, 24 + i % 5, 3))
            write_png(folder / name / f"{i:03}.png", numpy.clip(color + noise, 0, 255).astype(numpy.uint8))


def names_of(path):
    return path.with_suffix(".names.txt").read_text().splitlines()


def all_bytes(path):
    return [path.read_bytes(), path.with_suffix(".labels.npy").read_bytes(), path.with_suffix(".names.txt").read_bytes()]


def check_forms(folder, run):
    """The same rows as f32, f16, unit rows, a table, and by layer."""
    def made(file, *words):
        must("embed", "--run", run, *SHAPES, "--split", "val", "--limit", 600, "--out", folder / file, *words)
        return numpy.load(folder / file) if file.endswith(".npy") else None
    rows = made("rows.npy")
    check("rows are f32 [N, D]", rows.dtype == numpy.float32 and rows.shape == (600, 64), (rows.dtype, rows.shape))
    check("rows differ and are finite", numpy.isfinite(rows).all() and rows.std(axis=0).max() > 0)
    labels = numpy.load(folder / "rows.labels.npy")
    check("labels are integers of ten classes", labels.dtype == numpy.int64 and set(labels) == set(range(10)), labels[:20])
    names = names_of(folder / "rows.npy")
    check("names say split and place", names[0] == "val/000000" and names[599] == "val/000599" and len(set(names)) == 600)
    half = made("half.npy", "--type", "f16")
    check("f16 is NumPy's rounding", half.dtype == numpy.float16 and numpy.array_equal(half, rows.astype(numpy.float16)))
    unit = made("unit.npy", "--normalize")
    expected = rows.astype(float) / numpy.linalg.norm(rows.astype(float), axis=1, keepdims=True)
    check("unit rows are the rows over their length", numpy.abs(unit - expected).max() < 1e-7)
    made("rows.csv")
    with open(folder / "rows.csv", encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    check("the table has a column for each feature", table[0] == ["name", "label"] + [f"f{j}" for j in range(64)])
    check("the table has names and labels", [(r[0], int(r[1])) for r in table[1:]] == list(zip(names, labels)))
    found = numpy.array([r[2:] for r in table[1:]], dtype=numpy.float32)
    check("the table has the same numbers", numpy.array_equal(found, rows))
    check("the last stage's mean is the features", numpy.array_equal(made("stage4.npy", "--layer", "stage4"), rows))
    check("stages have their channels", made("stage1.npy", "--layer", "stage1").shape == (600, 8))
    whole = made("map.npy", "--layer", "map")
    check("the map has all pixels", whole.shape == (600, 2 * 2 * 64), whole.shape)
    check("its mean is the features", numpy.abs(whole.reshape(600, 4, 64).mean(axis=1) - rows).max() < 1e-5)
    about = json.loads((folder / "unit.json").read_text())
    check("the description says how", (about["layer"], about["normalize"], about["rows"], about["split"]) ==
          ("features", True, 600, "val"), about)
    expect_refused("an unknown layer", ["--layer", "stage5", "stage4, map"], "--run", run, *SHAPES, "--layer", "stage5", "--out",
                   folder / "no.npy")
    expect_refused("another ending", ["--out", ".npy or .csv"], "--run", run, *SHAPES, "--out", folder / "no.txt")
    expect_refused("a missing folder", ["there is no folder"], "--run", run, *SHAPES, "--out", folder / "none" / "no.npy")
    expect_refused("a number without a query", ["--k: expected --query FILE"], "--run", run, *SHAPES, "--k", "10", "--out", folder / "no.npy")
    expect_refused("f16 in a table", ["--type f16"], "--run", run, *SHAPES, "--type", "f16", "--out", folder / "no.csv")
    left = [p.name for p in folder.iterdir() if "partial" in p.name or ".tmp" in p.name]
    check("nothing unfinished is left", not left, left)


def check_bits(folder, run):
    """The bytes do not depend on threads or workers."""
    files = []
    for i, (threads, workers) in enumerate([(1, 0), (2, 0), (3, 2), (1, 1)]):
        out = folder / f"bits{i}.npy"
        must("embed", "--run", run, *SHAPES, "--split", "probe", "--out", out, "--workers", workers, OMP_NUM_THREADS=str(threads))
        files.append(all_bytes(out))
    check("the same bytes with 1, 2 and 3 threads, and 0 to 2 workers", all(each == files[0] for each in files[1:]))


def rows_done(out):
    try:
        return json.loads(pathlib.Path(f"{out}.partial.json").read_text())["rows"]
    except FileNotFoundError:
        return 0


def stop_after(words, out, rows, number):
    """Starts it and sends the signal once more than so many rows are kept. Returns its exit status and what it said."""
    with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True) as process:
        while rows_done(out) <= rows and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(number)
        said = process.stdout.read()
    return process.returncode, said


def check_kills(folder, run, ending):
    words = [BUILD / "embed", "--run", run, *SHAPES, "--split", "train", "--threads", "1", "--out"]
    whole, killed = folder / f"whole{ending}", folder / f"killed{ending}"
    must("embed", *words[1:], whole)
    rows, before = 0, []
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        status, said = stop_after([*words, killed], killed, rows, number)
        expected = 143 if number == signal.SIGTERM else -number
        check(f"{ending}: ends by signal {int(number)}", status == expected, f"{status}: {said}")
        check(f"{ending}: there is no finished file yet", not killed.exists() and pathlib.Path(f"{killed}.partial").exists())
        rows = rows_done(killed)
        before.append(rows)
    check(f"{ending}: each start went on", before == sorted(set(before)) and 0 < before[0] and before[-1] < 8000, before)
    expect_refused(f"{ending}: other options do not go on", [f"{killed}.partial", "layer \"features\", not \"stage1\"", "remove"],
                   *words[1:], killed, "--layer", "stage1")
    said = must("embed", *words[1:], killed)
    check(f"{ending}: says where it goes on", f"goes on after {before[-1]:,} rows" in said, said)
    check(f"{ending}: the bytes are those of one start", killed.read_bytes() == whole.read_bytes())
    if ending == ".npy":
        check("and those of labels and names", all_bytes(killed) == all_bytes(whole))
    check(f"{ending}: nothing unfinished is left", not list(folder.glob("*.partial*")), list(folder.glob("*.partial*")))


def check_folders(folder, run):
    """The user's own images: with classes, without, damaged."""
    photos = folder / "photos"
    write_folder(photos, ["cat", 'dog, "old"'], 200)
    of_photos = ["--run", run, "--dataset", "image_folder", "--data", photos, "--device", "cpu"]
    out = folder / "photos.npy"
    said = must("embed", *of_photos, "--out", out)
    rows, names, labels = numpy.load(out), names_of(out), numpy.load(folder / "photos.labels.npy")
    check("a folder without splits is embedded whole", rows.shape == (400, 64) and "embeds train, all its images" in said, said)
    check("names are the files'", names[0] == "cat/000.png" and names[399] == 'dog, "old"/199.png', names[::399])
    check("labels are the folders'", list(labels) == [0] * 200 + [1] * 200)
    must("embed", *of_photos, "--out", folder / "photos.csv")
    with open(folder / "photos.csv", encoding="utf-8", newline="") as file:
        check("a table quotes its names", [r[0] for r in csv.reader(file)][1:] == names)

    said = must("embed", "--run", run, "--dataset", "image_folder", "--data", photos / "cat", "--device", "cpu", "--out",
                folder / "cats.npy")
    check("images without classes have no labels", not (folder / "cats.labels.npy").exists() and "no labels" in said, said)
    check("and the same rows", numpy.allclose(numpy.load(folder / "cats.npy"), rows[:200], atol=1e-5))
    check("and their names", names_of(folder / "cats.npy") == [name[4:] for name in names[:200]])

    for i in (7, 150):  # valid headers: found while reading, the second in the second batch
        path = photos / 'dog, "old"' / f"{i:03}.png"
        path.write_bytes(path.read_bytes()[:-400])
    bad = folder / "bad.npy"
    done = tool("embed", *of_photos, "--out", bad)
    check("a damaged image stops it with one line", done.returncode == 2 and "007.png" in done.stderr and
          len(done.stderr.splitlines()) == 1, done.stderr)
    said = must("embed", *of_photos, "--out", bad, "--bad-images", "skip")
    check("skipped images are named", said.count("skipped ") == 2 and "007.png" in said and "150.png" in said, said)
    kept = [i for i in range(400) if i not in (207, 350)]
    check("names stay with their rows", names_of(bad) == [names[i] for i in kept])
    check("labels too", list(numpy.load(folder / "bad.labels.npy")) == list(labels[kept]))
    check("rows too", numpy.allclose(numpy.load(bad), rows[kept], atol=1e-5))
    about = json.loads((folder / "bad.json").read_text())
    check("the description names them", about["skipped"] == [names[207], names[350]] and about["rows"] == 398)
    check_queries(folder, run, photos, out, rows, names)


def check_files_of_others(folder, run):
    """Images, labels and records that embed did not make stay as they are; its own files are replaced."""
    images = folder / "images"
    images.mkdir()
    for name in ("train", "test"):
        numpy.save(images / f"{name}.npy", numpy.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), dtype=numpy.uint8))
    for name in ("notes.csv", "some.labels.npy", "other.names.txt"):
        (images / name).write_text("name,label,kept")
    for name in ("record.json", "list.json", "text.json"):
        (images / name).write_text({"record": '{"format": "another"}', "list": "[1]", "text": "no JSON"}[name[:-5]])
    before = {path: path.read_bytes() for path in [*images.iterdir(), *run.iterdir()] if path.is_file()}
    words = ["--run", run, "--dataset", "npy", "--data", images, "--split", "test", "--device", "cpu", "--out"]
    for out, named in (("test.npy", "test.npy"), ("notes.csv", "notes.csv"), ("some.npy", "some.labels.npy"),
                       ("other.npy", "other.names.txt"), ("record.npy", "record.json"), ("list.npy", "list.json"),
                       ("text.npy", "text.json")):
        expect_refused(f"{named} is not replaced", [f"{images / named}: is there", "--out"], *words, images / out)
    expect_refused("a run's record is not replaced", [f"{run / 'run.json'}: is there"], *words, run / "run.npy")
    after = {path: path.read_bytes() for path in [*images.iterdir(), *run.iterdir()] if path.is_file()}
    check("no file of others is changed", before == after, before.keys() ^ after.keys())
    (folder / "empty.npy").touch()
    for out in ("own.npy", "own.npy", "own.csv", "own.csv", "empty.npy"):
        must("embed", *words, folder / out)

    killed, two = folder / "killed_at_names.npy", folder / "two"
    write_folder(two, ["cat"], 2)
    path = two / "cat/001.png"
    path.write_bytes(path.read_bytes()[:-400])
    words = ["--run", run, "--dataset", "image_folder", "--data", two, "--device", "cpu", "--out", killed]
    check("a damaged image ends it", tool("embed", *words).returncode == 2)
    for ending in (".names.txt", ".labels.npy"):  # as a kill leaves them before the description is there
        killed.with_suffix(ending).write_text("from before the kill")
    must("embed", *words, "--bad-images", "skip")
    check("an unfinished file goes on beside its names", names_of(killed) == ["cat/000.png"])


def check_queries(folder, run, photos, out, rows, names):
    unit = rows.astype(float) / numpy.linalg.norm(rows.astype(float), axis=1, keepdims=True)
    wanted = [5, 260]
    said = must("embed", "--run", run, "--device", "cpu", "--query", *[photos / names[i] for i in wanted], "--index", out, "--k", 7)
    lines = said.splitlines()
    check("queries have a line each, and their neighbors", len(lines) == 16 and lines[0] == str(photos / names[5]), said)
    for place, i in enumerate(wanted):
        cosines = unit @ unit[i]
        order = numpy.argsort(-cosines, kind="stable")[:7]
        shown = lines[8 * place + 1:8 * place + 8]
        for rank, (row, line) in enumerate(zip(order, shown)):
            name = names[row]
            expected = f"{rank + 1:5}  {cosines[row]:7.4f}  {name}  {name.split('/')[0]}"
            near = abs(float(line.split()[1]) - cosines[row]) < 1e-4
            check(f"query {i}: neighbor {rank + 1}", near and line[15:] == expected[15:], f"{line}, expected {expected}")
        check(f"query {i}: is most similar to itself", f" 1.0000  {names[i]}" in shown[0], shown[0])
    must("embed", "--run", run, "--dataset", "image_folder", "--data", photos / "cat", "--split", "train", "--device", "cpu",
         "--type", "f16", "--normalize", "--out", folder / "half_cats.npy")
    said = must("embed", "--run", run, "--device", "cpu", "--query", photos / names[5], "--index", folder / "half_cats.npy")
    check("an index of f16 unit rows", " 1.0000  005.png\n" in said and len(said.splitlines()) == 11, said)
    said = must("embed", "--run", run, "--device", "cpu", "--query", photos / names[5], "--index", out, "--k", 1000)
    check("no more than there are", len(said.splitlines()) == 401)

    query = ["--query", photos / names[5], "--index", out, "--device", "cpu"]
    expect_refused("another encoder's index", ["encoder_xxh128", "not", "photos.npy"], "--run", f"{run}2", *query)
    expect_refused("initial weights", ["untrained false, not true"], "--run", run, "--untrained", *query)
    expect_refused("another layer", ["layer features, not stage1"], "--run", run, "--layer", "stage1", *query)
    expect_refused("a query that is no image", ["names.txt"], "--run", run, "--query", folder / "photos.names.txt", "--index", out)
    for option in ("--type f16", "--normalize", "--limit 5", "--split val"):
        expect_refused("what a query ignores", [option.split()[0]], "--run", run, *query, *option.split())
    expect_refused("no index", ["--index"], "--run", run, "--query", photos / names[5])
    expect_refused("an array of others", ["photos.labels.json"], "--run", run, "--query", photos / names[5], "--index",
                   folder / "photos.labels.npy")


def knn_of(bank, bank_labels, query, k, temperature):
    """As in docs/evaluation.md: the classes of the k nearest, by cosine with weights or by distance; the smaller wins ties."""
    bank, query = bank.astype(float), query.astype(float)
    if temperature:
        bank, query = (x / numpy.linalg.norm(x, axis=1, keepdims=True) for x in (bank, query))
    near = -((query[:, None, :] - bank[None, :, :]) ** 2).sum(-1) if not temperature else query @ bank.T
    order = numpy.argsort(-near, axis=1, kind="stable")[:, :k]
    votes = numpy.zeros((len(query), bank_labels.max() + 1))
    for row, chosen in enumerate(order):
        weights = numpy.exp(near[row, chosen] / temperature) if temperature else numpy.ones(k)
        numpy.add.at(votes[row], bank_labels[chosen], weights)
    return votes.argmax(axis=1)


def check_knn(folder, run):
    """kNN from the arrays is evaluate's."""
    arrays = {}
    for split in ("probe", "test"):
        must("embed", "--run", run, *SHAPES, "--split", split, "--limit", 500, "--out", folder / f"{split}.npy")
        arrays[split] = numpy.load(folder / f"{split}.npy"), numpy.load(folder / f"{split}.labels.npy")
    must("evaluate", "--run", run, *SHAPES, "--limit", 500, "--metrics", "knn", "--out", folder / "knn.json")
    found = json.loads((folder / "knn.json").read_text())["knn"]
    (bank, bank_labels), (query, labels) = arrays["probe"], arrays["test"]
    for name, k, temperature in (("knn_cosine_200", 200, 0.1), ("knn_euclidean_5", 5, 0)):
        own = round(100 * float((knn_of(bank, bank_labels, query, k, temperature) == labels).mean()), 2)
        value = found[name]["top1"]
        check(f"{name} from the arrays is evaluate's", abs(own - value) < 1e-9, f"{own}, {value}")


def without_description(source, target):
    """An encoder's tensors alone, as another program's file."""
    data = source.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    del header["__metadata__"]
    text = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])


def as_earlier_versions_wrote(path, part=None):
    about = json.loads(path.read_text())
    for key in ("prefix", "encoder", "stem", "width", "mean", "std"):
        del (about[part] if part else about)[key]
    path.write_text(json.dumps(about))


def check_described(folder, run):
    """Mean, std, stem and size of another program's encoder: an unfinished file and an index insist on them."""
    plain, some, out = folder / "plain.safetensors", folder / "some", folder / "some.npy"
    without_description(run / "encoder.safetensors", plain)
    write_folder(some, ["cat"], 8)
    path = some / "cat/005.png"
    path.write_bytes(path.read_bytes()[:-400])
    given = {"--image-size": "16", "--mean": "0.5,0.5,0.5", "--std": "0.2,0.2,0.2", "--stem": "cifar"}
    others = {"--image-size": "20", "--mean": "0.5,0.25,0.5", "--std": "0.2,0.2,0.3", "--stem": "stl"}

    def words(*more, other=None):
        values = {**given, other: others[other]} if other else given
        return ["--encoder-file", plain, "--device", "cpu", *[word for pair in values.items() for word in pair], *more]
    to_file = ["--dataset", "image_folder", "--data", some, "--out", out]
    check("a damaged image leaves an unfinished file", tool("embed", *words(*to_file)).returncode == 2 and
          pathlib.Path(f"{out}.partial").exists())
    for name in others:
        expect_refused(f"another {name} does not go on", [f"was made with {name[2:].replace('-', '_')} ", "remove"],
                       *words(*to_file, other=name))
    progress = pathlib.Path(f"{out}.partial.json")
    as_earlier_versions_wrote(progress, "made_by")
    expect_refused("an earlier version's file goes on", ["005.png: damaged image"], *words(*to_file))
    must("embed", *words(*to_file), "--bad-images", "skip")
    about = json.loads(out.with_suffix(".json").read_text())
    check("the description has what the options said", (about["mean"], about["std"], about["stem"], about["prefix"]) ==
          ([0.5] * 3, [0.2] * 3, "cifar", ""), about)
    query = ["--query", some / "cat/003.png", "--index", out]
    said = must("embed", *words(*query))
    check("a query by the same encoder", said.splitlines()[1].split() == ["1", "1.0000", "cat/003.png", "cat"], said)
    for name in others:
        expect_refused(f"a query with another {name}", [f"was made with {name[2:].replace('-', '_')} ", "not"],
                       *words(*query, other=name))
    as_earlier_versions_wrote(out.with_suffix(".json"))
    must("embed", *words(*query))

    (some / "cat/900.png").write_text("no image")
    must("embed", *words(*to_file), "--bad-images", "skip")
    about = json.loads(out.with_suffix(".json").read_text())
    check("the description names files that are no images", about["skipped"] == ["cat/005.png", "cat/900.png"], about)

    stl = folder / "stl"
    stl.mkdir()
    random = numpy.random.default_rng(6)
    images = random.integers(0, 256, (12, 1, 1, 3)) + random.integers(-90, 91, (12, 96, 96, 3))
    images = numpy.clip(images, 0, 255).astype(numpy.uint8)
    (stl / "test_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
    (stl / "test_y.bin").write_bytes(bytes(range(1, 11)) + b"\1\2")
    given["--image-size"] = "96"
    must("embed", *words("--dataset", "stl10", "--data", stl, "--split", "test", "--out", folder / "stl.npy"))
    about = json.loads((folder / "stl.json").read_text())
    check("images of the encoder's size are as they are", about["resize"] == 96, about)
    write_png(folder / "query.png", images[3])
    said = must("embed", *words("--query", folder / "query.png", "--index", folder / "stl.npy"))
    check("and so is such a query", said.splitlines()[1].split()[:3] == ["1", "1.0000", "test/000003"], said)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run = folder / "run"
        for seed, out in ((1, run), (2, f"{run}2")):
            must("pretrain", *SHAPES, "--objective", "simclr", "--image-size", 16, "--limit", 100, "--batch", 50, "--width", 8,
                 "--epochs", 1, "--eval-every", 0, "--figures", "off", "--workers", 1, "--seed", seed, "--out", out)
        check_forms(folder, run)
        check_bits(folder, run)
        for ending in (".npy", ".csv"):
            check_kills(folder, run, ending)
        check_folders(folder, run)
        check_files_of_others(folder, run)
        check_described(folder, run)
        check_knn(folder, run)
    print(f"{len(FAILURES)} failures")
    sys.exit(1 if FAILURES else 0)


main()
