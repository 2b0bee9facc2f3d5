#!/usr/bin/env python3
"""Whole runs shared by several processes:  ranks_run_test.py BUILD MPIEXEC

Runs of two and four ranks against a run of one; a rank that is killed, stopped or silent; runs that go on with as many ranks or
another number; what is refused. Only the standard library is needed.
"""
import json
import os
import pathlib
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time

LONG = ("--objective simclr --dataset confounded_shapes --image-size 16 --limit 160 --batch 16 --width 4 --epochs 2000 "
        "--checkpoint-every 1 --figures off --lr 0.001 --device cpu --workers 1").split()
SMALL = ("--objective simclr --dataset confounded_shapes --image-size 16 --limit 160 --batch 16 --width 4 --epochs 2 "
         "--optimizer sgd --lr 0.001 --warmup-epochs 0 --eval-limit 60 --device cpu --workers 1").split()
# Small learning rates: differences of rounding grow with every step.
SLOW = ("--objective simclr --dataset confounded_shapes --image-size 32 --limit 320 --batch 32 --width 16 --epochs 2 "
        "--optimizer sgd --lr 0.00002 --warmup-epochs 0 --figures off --checkpoint-every 1 --device cpu --workers 1").split()
STEPS = 20
FAILURES = []


def check(name, good, told=""):
    print("ok" if good else "FAILED", name, "" if good else told, flush=True)
    if not good:
        FAILURES.append(name)


def command(ranks, *words, tool="pretrain"):
    before = [] if ranks == 0 else [MPIEXEC, "-n", str(ranks)]
    return [*before, str(BUILD / tool), *map(str, words)]


def run(ranks, *words, tool="pretrain", **environment):
    return subprocess.run(command(ranks, *words, tool=tool), capture_output=True, text=True, check=False,
                          env={**os.environ, **environment}, timeout=100)


def trained(ranks, out, *words, options=SMALL):
    done = run(ranks, *options, "--out", out, *words)
    if done.returncode != 0:
        raise SystemExit(f"{ranks} ranks, {words}: exit status {done.returncode}: {done.stdout}{done.stderr}")
    return done


def processes_of(out):
    """The ranks of the run in this folder: {rank: process id}."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"/pretrain") and str(out).encode() in words:
                variables = dict(v.split(b"=", 1) for v in (folder / "environ").read_bytes().split(b"\0") if b"=" in v)
                found[int(variables[b"OMPI_COMM_WORLD_RANK"])] = int(folder.name)
        except (OSError, KeyError):  # ended meanwhile, or not a rank
            continue
    return found


def begin(ranks, out, *words, options=LONG):
    """Starts a run, and returns it and its processes once it has saved a checkpoint."""
    started = subprocess.Popen(command(ranks, *options, "--out", out, *words),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    end = time.monotonic() + 60
    while not (out / "checkpoint.safetensors").exists() or len(processes_of(out)) < ranks:
        if started.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"{ranks} ranks, {words}: no checkpoint: {started.communicate()[0]}")
        time.sleep(0.02)
    return started, processes_of(out)


def tensors(path):
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    values = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        first, last = (8 + size + offset for offset in entry["data_offsets"])
        values[name] = struct.unpack(f"<{(last - first) // 4}f", data[first:last])
    return values


def difference(one, two, part):
    """The largest of the tensors whose name holds `part`, and relative to the tensor's largest value."""
    a, b = tensors(one), tensors(two)
    assert a.keys() == b.keys()
    gaps = [(max(abs(x - y) for x, y in zip(a[n], b[n])), max(map(abs, a[n]))) for n in a if part in n and "optimizer" not in n]
    return max(gap for gap, _ in gaps), max(gap / most for gap, most in gaps if most > 0)


def bytes_of(path):
    data = path.read_bytes()
    return data[8 + struct.unpack("<Q", data[:8])[0]:]


def metrics(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "clock"} for line in lines]


def check_equal_runs(work):
    for ranks in (1, 2, 4):
        done = trained(ranks, work / f"r{ranks}")
        lines = [line for line in done.stdout.splitlines() if "kNN top1" in line or line.startswith("done:")]
        check(f"{ranks} ranks: only one of them speaks", len(lines) == 3 and not done.stderr, done.stdout + done.stderr)
    one = work / "r1"
    check("a run of 20 steps", metrics(one)[-1]["step"] == STEPS)
    trained(1, work / "start", "--max-steps", 1)
    moved = difference(one / "encoder.safetensors", work / "start" / "encoder.safetensors", "weight")[0]
    for ranks in (2, 4):
        here = work / f"r{ranks}"
        check(f"{ranks} ranks: the files of one", sorted(f.name for f in here.iterdir() if "tfevents" not in f.name) ==
              sorted(f.name for f in one.iterdir() if "tfevents" not in f.name))
        gap, _ = difference(one / "checkpoint.safetensors", here / "checkpoint.safetensors", "weight")
        check(f"{ranks} ranks: weights within 1e-5", gap <= 1e-5 < moved / 4, f"{gap}, the weights moved by {moved}")
        gap, relative = difference(one / "encoder.safetensors", here / "encoder.safetensors", "running")
        check(f"{ranks} ranks: running statistics", relative <= 1e-3, f"{gap}, relative {relative}")
        for mine, theirs in zip(metrics(one), metrics(here)):
            check(f"{ranks} ranks: step {mine['step']}",
                  mine.keys() == theirs.keys() and abs(mine["loss"] - theirs["loss"]) < 1e-4 and
                  abs(mine.get("rankme", 0) - theirs.get("rankme", 0)) < 0.05 and
                  abs(mine.get("knn_cosine_200", 0) - theirs.get("knn_cosine_200", 0)) < 4, f"{mine}, {theirs}")


def check_micro_batches(work):
    trained(1, work / "m1", "--micro-batch", 4)
    trained(2, work / "m2", "--micro-batch", 4)
    for part, most in (("weight", 1e-5), ("running", 1e-3)):
        gap, relative = difference(work / "m1" / "encoder.safetensors", work / "m2" / "encoder.safetensors", part)
        check(f"micro-batches: {part}", min(gap, relative) <= most, f"{gap}, relative {relative}")


def check_kill(work):
    """One of two ranks is killed with -9; four go on, to the weights of one rank."""
    out = work / "killed"
    started, processes = begin(2, out, options=SLOW)
    os.kill(processes[1], signal.SIGKILL)
    told = started.communicate(timeout=60)[0]
    check("killed: the run ends and says so", started.returncode != 0 and "signal 9" in told, told)
    check("killed: no rank is left", not processes_of(out), processes_of(out))
    more = trained(4, out, "--resume", options=SLOW)
    at = [int(line.split()[-1]) for line in more.stdout.splitlines() if line.startswith("resumed at step")]
    check("killed: four ranks go on", len(at) == 1 and 0 < at[0] < STEPS and metrics(out)[-1]["step"] == STEPS, more.stdout)
    trained(1, work / "whole", options=SLOW)
    trained(1, work / "first", "--max-steps", 1, options=SLOW)
    gap, moved = (difference(work / "whole" / "encoder.safetensors", folder / "encoder.safetensors", "weight")[0]
                  for folder in (out, work / "first"))
    check("killed: the weights of one rank, within 1e-5", gap <= 1e-5 < moved / 4, f"{gap}, the weights moved by {moved}")


def check_resume(work):
    for ranks, folder, whole in ((1, "r1_on", "r1"), (2, "r2_on", "r2")):
        trained(ranks, work / folder, "--max-steps", 8)
        more = trained(ranks, work / folder, "--max-steps", STEPS, "--resume")
        check(f"{folder}: resumed", "resumed at step 8" in more.stdout, more.stdout)
        check(f"{folder}: the bits of an uninterrupted run",
              bytes_of(work / whole / "encoder.safetensors") == bytes_of(work / folder / "encoder.safetensors"))


def check_stop(work):
    """A signal to one rank stops all after the same step, saved."""
    out = work / "stopped"
    started, processes = begin(2, out)
    os.kill(processes[1], signal.SIGTERM)
    told = started.communicate(timeout=60)[0]
    check("SIGTERM to a rank: all stop and save", started.returncode == 143 and "stopped by a signal at step" in told, told)


def check_silence(work):
    out = work / "silent"
    started, processes = begin(2, out, "--rank-timeout", 10)
    os.kill(processes[1], signal.SIGSTOP)
    told = started.communicate(timeout=60)[0]
    check("silence: the run ends and says so",
          started.returncode == 1 and "waited 10 s for the other ranks, without an answer" in told, f"{started.returncode}: {told}")
    done = run(0, *LONG, "--out", out, "--max-steps", 1, "--resume")
    check("silence: one rank resumes it", done.returncode == 0 and "resumed at step" in done.stdout, done.stdout + done.stderr)


def check_leader_is_left_time():
    """mpirun kills the leader once another rank has failed, so that one must wait; the leader is missing here."""
    alone = {**os.environ, "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}
    with subprocess.Popen(command(0, "--run", "none", tool="linear_probe"), env=alone, stderr=subprocess.PIPE, text=True) as failed:
        try:
            ended = failed.wait(5)
        except subprocess.TimeoutExpired:
            ended = None
        check("a failed rank leaves the leader time to tell", ended is None, f"it ended at once with {ended}")
        failed.terminate()
        told = failed.communicate(timeout=50)[1]
        check("but ends when asked to, and is silent", failed.returncode == -signal.SIGTERM and not told,
              f"{failed.returncode}: {told}")


def check_refusals(work):
    def refused(name, status, text, done):
        lines = [line for line in done.stderr.splitlines() if line.startswith(("pretrain:", "linear_probe:"))]
        check(name, done.returncode == status and len(lines) == 1 and text in lines[0], done.stdout + done.stderr)

    refused("a batch that ranks cannot share", 2, "--batch: 16 images cannot be shared equally by 3 ranks",
            run(3, *SMALL, "--out", work / "no"))
    refused("a micro-batch that is no part", 2, "--micro-batch: 6, but each of the 2 ranks has 8 images",
            run(2, *SMALL, "--out", work / "no", "--micro-batch", 6))
    refused("an unknown option", 2, "--bach: unknown option", run(2, "--bach", 1))
    one_alone = [*command(1, *SMALL, "--out", work / "no"), ":", *command(1, "--config", work / "gone.toml")[1:]]
    refused("a file that one rank does not find", 2, "rank 1 of 2: ",
            subprocess.run(one_alone, capture_output=True, text=True, check=False, timeout=100))
    for name, option in (("seed is 2", ["--seed", 2]), ("eval-every is 1", ["--eval-every", 1])):
        other = [*command(1, *SMALL, "--out", work / "no"), ":", *command(1, *SMALL, "--out", work / "no", *option)[1:]]
        refused(f"other options on one rank: {name}", 2, f"rank 1 has other options than rank 0: {name} on rank 1 and ",
                subprocess.run(other, capture_output=True, text=True, check=False, timeout=100))
    refused("a folder that holds a run", 2, "already holds a run", run(2, *SMALL, "--out", work / "r1"))
    refused("a data set that is not there", 2, "cifar10", run(2, "--dataset", "cifar10", "--data", work, "--out", work / "no"))
    refused("another tool", 2, "runs as one process, but mpirun started 2", run(2, "--run", work / "r1", tool="linear_probe"))
    check_leader_is_left_time()
    torchrun = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
    slurm = {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}
    for name, variables in (("torchrun", torchrun), ("srun", slurm)):
        refused(f"{name} on the CPU", 2, "on CPUs ranks need mpirun", run(0, *SMALL, "--out", work / "no", **variables))
    check("nothing was made", not (work / "no").exists())
    any_device = [word for word in SMALL if word not in ("--device", "cpu")]
    done = run(2, *any_device, "--max-steps", 1, "--out", work / "hidden", CUDA_VISIBLE_DEVICES="")
    check("hidden GPUs leave the CPU", done.returncode == 0, done.stdout + done.stderr)
    plan = run(2, *SMALL, "--plan")
    check("the plan, shown once", plan.returncode == 0 and plan.stdout.count("on each of 2 ranks") == 1, plan.stdout)


def memory(ranks, work, *words):
    """The peak memory of the hungriest process, in MiB."""
    wide = ["--dataset", "confounded_shapes", "--image-size", "32", "--limit", "192", "--batch", "192", "--width", "16",
            "--max-steps", "1", "--figures", "off", "--workers", "1", "--device", "cpu", "--out", work / f"wide{ranks}", *words]
    report = work / f"memory{ranks}"
    launcher = command(ranks)[:-1]
    subprocess.run([*launcher, sys.executable, "-B", __file__, "--measured", report, BUILD / "pretrain", *wide],
                   capture_output=True, check=True)
    return max(int(file.read_text()) for file in work.glob(report.name + ".*")) / 1024


def check_memory(work):
    one, four = memory(1, work), memory(4, work)
    check("peak memory of one of four ranks", four <= 0.45 * one, f"{four:.0f} MiB, of one rank {one:.0f}")
    print(f"peak memory: one rank {one:.0f} MiB, one of four {four:.0f}")


def measured(report, *words):
    """Runs a command and writes its peak memory in KiB."""
    status = subprocess.run(words, check=False).returncode
    pathlib.Path(f"{report}.{os.environ['OMPI_COMM_WORLD_RANK']}").write_text(
        str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
    sys.exit(status)


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        check_equal_runs(work)
        check_micro_batches(work)
        check_kill(work)
        check_resume(work)
        check_stop(work)
        check_silence(work)
        check_refusals(work)
        check_memory(work)
    sys.exit(1 if FAILURES else 0)


if __name__ == "__main__":
    if sys.argv[1] == "--measured":
        measured(*sys.argv[2:])
    BUILD, MPIEXEC = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    main()
