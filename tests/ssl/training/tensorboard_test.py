#!/usr/bin/env python3
"""A run's event files, as TensorBoard reads them:  tensorboard_test.py SOURCE BUILD

Small runs of objectives with and without pictures and distributions: the scalars are those of metrics.jsonl, histograms
have the count and the ends of their values, pictures can be decoded, and the tab HParams has options and last figures of
every run. A run that is killed with -9 and resumed shows every step once. --tensorboard off writes no event file and the
same weights. Exit status: 0 all is so, 1 something is not, 77 TensorBoard cannot be had.
"""
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

SOURCE, BUILD = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
TOOLS = BUILD / "python_tools"
if len(sys.argv) == 3:  # once more, with what python_tools.sh installs
    if subprocess.run([SOURCE / "tests/python_tools.sh", TOOLS, "tensorboard"], check=False).returncode != 0:
        print("skipped: TensorBoard cannot be installed here")
        sys.exit(77)
    os.execv(TOOLS / "bin/python", [str(TOOLS / "bin/python"), "-B", *sys.argv, "again"])

try:
    import numpy
    import PIL.Image
    from tensorboard.backend.event_processing import data_provider, event_accumulator, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

COMMON = ("--dataset confounded_shapes --image-size 16 --limit 48 --batch 16 --width 4 --device cpu --workers 1 --eval-limit 32 "
          "--simclr.hidden 32 --simclr.output 16")
OWN = {
    "simclr": "",
    "metamask": "--metamask.redundancy_hidden 32 --metamask.redundancy_output 32 --metamask.contrastive_hidden 32",
    "mrcl": "--mrcl.decoder_width 8 --mrcl.recalibrate 0",
    "dsa": "--dsa.prior_net stage1 --dsa.stage1_epochs 1 --dsa.eta 4",
}
BATCH, STEPS = 16, 6
FAILURES = []


def expect(good, text):
    if not good:
        FAILURES.append(text)
        print("FAILED", text)


def command(objective, out, more):
    words = f"--objective {objective} {COMMON} {OWN[objective]} {more}".split()
    return [str(BUILD / "pretrain"), *words, "--out", str(out)]


def train(objective, out, more=""):
    words = command(objective, out, f"--epochs 2 --eval-every 1 {more}")
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def event_files(run):
    return sorted(run.glob("events.out.tfevents.*"))


def events_of(run):
    events = event_accumulator.EventAccumulator(str(run), size_guidance={
        event_accumulator.SCALARS: 0, event_accumulator.IMAGES: 0, event_accumulator.HISTOGRAMS: 0})
    return events.Reload()


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def group_of(name):
    """Of a number that is in no object of metrics.jsonl."""
    if name == "images_per_s":
        return "clock"
    return "figures" if name.startswith(("knn_", "std", "rankme")) else "train"


def scalars_of(line):
    """{tag: value} of a line of metrics.jsonl."""
    scalars = {}
    for name, value in line.items():
        if isinstance(value, dict):
            scalars.update({f"{name}/{inner}": number for inner, number in value.items()})
        elif name not in ("step", "knn_images"):
            scalars[f"{group_of(name)}/{name}"] = value
    return scalars


def expect_scalars_of_metrics(run):
    """The same numbers at the same steps, each once."""
    events, found, expected = events_of(run), {}, {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            expect((tag, event.step) not in found, f"{run.name}: {tag} comes twice at step {event.step}")
            found[tag, event.step] = numpy.float32(event.value)
    for line in lines_of(run):
        for tag, value in scalars_of(line).items():
            expected[tag, line["step"]] = numpy.float32("nan" if value is None else value)
    expect(found.keys() == expected.keys(), f"{run.name}: {found.keys() ^ expected.keys()} are not in both")
    for key in found.keys() & expected.keys():
        expect(numpy.array_equal(found[key], expected[key], equal_nan=True), f"{run.name}: {key}: {found[key]}, {expected[key]}")
    return events


def expect_picture(run, events, tag, steps, columns):
    """Eight rows of 16 x 16 images, enlarged six times, two pixels around each."""
    pictures = events.Images(tag)
    expect([p.step for p in pictures] == steps, f"{run.name}: {tag} at {[p.step for p in pictures]}, expected {steps}")
    for picture in pictures:
        size = PIL.Image.open(io.BytesIO(picture.encoded_image_string))
        size.load()
        expected = (columns * 98 + 2, 8 * 98 + 2)
        expect(size.size == expected == (picture.width, picture.height), f"{run.name}: {tag} has size {size.size}")


def mask_in(file):
    """The values of mask.safetensors: its only tensor."""
    bytes_ = file.read_bytes()
    length = int.from_bytes(bytes_[:8], "little")
    return numpy.frombuffer(bytes_[8 + length:], "<f4")


def expect_histogram(run, events, name, steps, check):
    histograms = events.Histograms(f"distributions/{name}")
    expect([h.step for h in histograms] == steps, f"{run.name}: {name} at {[h.step for h in histograms]}, expected {steps}")
    for histogram in histograms:
        values = histogram.histogram_value
        expect(sum(values.bucket) == values.num, f"{run.name}: the buckets of {name} hold {sum(values.bucket)} of {values.num}")
        expect(len(values.bucket) == len(values.bucket_limit), f"{run.name}: {name} has unequal buckets")
    check(histograms[-1].histogram_value)


def check_mask(run):
    mask = mask_in(run / "mask.safetensors").astype(float)

    def check(last):
        expect((last.num, last.min, last.max) == (mask.size, mask.min(), mask.max()), f"{run.name}: the mask is {last}")
        expect(abs(last.sum - mask.sum()) < 1e-9 * mask.size, f"{run.name}: the mask's sum is {last.sum}")
        expect(abs(last.sum_squares - (mask * mask).sum()) < 1e-9 * mask.size, f"{run.name}: squares {last.sum_squares}")
        below = [int((mask <= limit).sum()) for limit in last.bucket_limit]
        expect(numpy.cumsum(last.bucket).tolist() == below, f"{run.name}: the mask's buckets are {last.bucket}")
    return check


def check_scores(run):
    line = lines_of(run)[-1]

    def check(last):
        expect(last.num == BATCH, f"{run.name}: {last.num} scores")
        expect(abs(last.sum / last.num - line["score"]) < 1e-6, f"{run.name}: mean score {last.sum / last.num}, {line['score']}")
        expect(last.min <= line["score"] <= last.max, f"{run.name}: scores from {last.min} to {last.max}")
    return check


def sessions_of(folder):
    """{run: the row of the tab HParams}"""
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=100, allowed_statuses=api_pb2.Status.values())
    groups = list_session_groups.Handler(RequestContext(), context, "", request).run().session_groups
    return {group.sessions[0].name: group for group in groups}


def expect_hparams(folder):
    rows = sessions_of(folder)
    expect(rows.keys() >= OWN.keys(), f"HParams shows {list(rows)}")
    for objective in OWN.keys() & rows.keys():
        options, last = rows[objective].hparams, lines_of(folder / objective)[-1]
        expect(options["objective"].string_value == objective, f"{objective}: its objective is {options['objective']}")
        expect(options["batch"].number_value == BATCH, f"{objective}: its batch is {options['batch']}")
        expect(options["joint-head-norm"].HasField("bool_value"), f"{objective}: {options['joint-head-norm']} is not on or off")
        others = [name for name in options if name.split(".")[0] in OWN.keys() - {objective, "simclr"}]
        expect(not others, f"{objective}: has options of others, {others}")
        status = rows[objective].sessions[0].status
        expect(status == api_pb2.STATUS_SUCCESS, f"{objective}: its status is {status}")
        values = {value.name.tag: value.value for value in rows[objective].metric_values}
        for tag, name in (("train/loss", "loss"), ("figures/knn_cosine_200", "knn_cosine_200")):
            found = values.get(tag)
            expect(found is not None and numpy.float32(found) == numpy.float32(last[name]), f"{objective}: {tag} is {found}")


def kill_after(words, run, lines):
    """Kills the run with -9 once metrics.jsonl has so many lines."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while not (run / "metrics.jsonl").is_file() or len((run / "metrics.jsonl").read_text().splitlines()) < lines:
        expect(process.poll() is None, "the run ended before it was killed")
        if process.poll() is not None:
            return
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def expect_resumed(folder):
    """The checkpoint is older than the last lines that a kill leaves: the resumed run makes these steps again."""
    run = folder / "killed"
    words = command("simclr", run, "--epochs 30")
    kill_after(words, run, 3)  # perhaps before its first checkpoint
    for lines in (29, 50):
        kill_after([*words, "--resume"], run, lines)
    steps = [event.step for event in events_of(run).Scalars("train/loss")]
    expect(steps == sorted(set(steps)), f"killed: the steps are {steps}")
    subprocess.run([*words, "--resume"], check=True, stdout=subprocess.DEVNULL)
    expect(len(event_files(run)) == 4, f"killed: {event_files(run)}")
    steps = [event.step for event in expect_scalars_of_metrics(run).Scalars("train/loss")]
    expect(steps == list(range(1, 91)), f"killed: the steps are {steps}")
    subprocess.run([*words, "--resume"], check=True, stdout=subprocess.DEVNULL)
    expect(len(event_files(run)) == 4, "nothing was left to do, and yet there is a new event file")


def expect_off(folder):
    """Nothing is written, and on resume it may change; with and without, the weights are the same."""
    run = folder / "off"
    train("simclr", run, "--tensorboard off --max-steps 4")
    expect(not event_files(run), f"off: {event_files(run)}")
    train("simclr", run, "--tensorboard off --resume")
    expect(not event_files(run), f"off: {event_files(run)}")
    weights = [(folder / name / "encoder.safetensors").read_bytes() for name in ("off", "simclr")]
    expect(weights[0] == weights[1], "off: the weights are not the same")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for objective in OWN:
            run = folder / objective
            train(objective, run)
            expect(len(event_files(run)) == 1, f"{objective}: {event_files(run)}")
            events = expect_scalars_of_metrics(run)
            expect_picture(run, events, "pictures/views", [0], 2)
            expect(len(events.Scalars("train/loss")) == STEPS, f"{objective}: not {STEPS} steps")
            if objective == "metamask":
                expect_histogram(run, events, "mask", [3, 6], check_mask(run))
            if objective == "dsa":
                expect_histogram(run, events, "scores", [3, 6], check_scores(run))
            if objective == "mrcl":
                expect_picture(run, events, "pictures/mrcl", [3, 6], 3)
                expect(events.Images("pictures/mrcl")[-1].encoded_image_string ==
                       (run / "pictures/epoch_0002.png").read_bytes(), "mrcl: the picture is not that of the folder")
        expect_hparams(folder)
        expect_off(folder)
        expect_resumed(folder)
    print(f"{len(OWN)} objectives, kills and resumes: {len(FAILURES)} failures")
    sys.exit(1 if FAILURES else 0)


main()
