#!/usr/bin/env bash
# quickstart.sh [RUN_FOLDER]
# Goes from a fresh clone to a first result in a few minutes on two CPU cores: installs missing packages, builds the
# tools, pretrains a small encoder on the rendered data set (downloads nothing) and compares a linear probe of it with
# the same probe of an untrained encoder, and makes a page about the run. Run it again to resume where it stopped.
set -euo pipefail
run=${1:+$(realpath -m -- "$1")}
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
run=${run:-runs/quickstart}
began=$SECONDS

step() { printf '\n== %s\n' "$*"; }
top1_of() { sed -n 's/^top1 \([0-9.]*\) top5 .*/\1/p' | tail -n 1; }

step "Packages"
bash tools/install_packages.sh

step "Build"
configure=(-S . -B build -DCMAKE_BUILD_TYPE=Release -DVERGENCE_TESTS=OFF)
# Compiling the CUDA kernels takes minutes, so a new build includes them only if it finds a GPU.
[[ -e build/CMakeCache.txt ]] || nvidia-smi -L >/dev/null 2>&1 || configure+=(-DVERGENCE_CUDA=OFF)
# A build folder keeps the generator it was made with.
[[ -e build/CMakeCache.txt ]] || ! command -v ninja >/dev/null || configure+=(-G Ninja)
cmake --log-level=WARNING "${configure[@]}"
cmake --build build --parallel "$(nproc)"

step "Pretraining without labels: SimCLR on confounded_shapes, into $run"
build/pretrain --dataset confounded_shapes --objective simclr --epochs 6 --out "$run" --resume

step "Linear probe of the pretrained encoder"
trained=$(build/linear_probe --run "$run" | tee >(cat >&2) | top1_of)

step "The same probe of an encoder with random weights"
untrained=$(build/linear_probe --run "$run" --untrained | tee >(cat >&2) | top1_of)

step "A page about the run"
build/report "$run" --out "$run/report.html"

cat <<END

Done in $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s.

  linear probe, top-1 on test images     pretrained  ${trained:?the probe printed no accuracy} %
                                         untrained   ${untrained:?the probe printed no accuracy} %

What is in $run: encoder.safetensors (torchvision's parameter names), config.toml, metrics.jsonl, train.log, run.json,
checkpoint.safetensors.
What to do next:
  build/evaluate --run $run                                        kNN, crowding, collapse, alignment
  build/compare $run OTHER_RUN                                     a table of several runs
  build/pretrain --help                                            its options; --help all: every one
  build/pretrain --objective barlow_twins                          another objective on the same images
  build/pretrain --dataset cifar10 --data DIR --config cifar10_simclr_short
                    a real data set: bash tools/fetch_data.sh cifar10 DIR brings it

Open this page in a browser: curves, views, neighbors and a map of test images:
  $run/report.html
END
