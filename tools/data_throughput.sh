#!/usr/bin/env bash
# data_throughput.sh [--cifar10 DIR] [--images DIR] [--packed FILE] [--workers N] [--rounds N] [--seconds S]
#   [--blur torchvision|pillow] [--build FOLDER] [--venv FOLDER]
# Compares how fast two augmented views of each image are made: `bench data` against torchvision's transforms in
# PyTorch's DataLoader, with the same recipe and number of workers, in alternating rounds; prints the ratio. Rows:
# CIFAR-10's binary files (--cifar10), a folder of image files in class folders (--images), and the same images packed
# (--packed, in addition to --images, which torchvision reads). Installs torch, torchvision and Pillow from PyPI into
# FOLDER (venv_throughput; torch brings libraries of several GB), or uses Debian's packages if PyPI cannot be reached.
set -euo pipefail
here=$(dirname -- "${BASH_SOURCE[0]}")
venv=venv_throughput
given=("$@")
while [[ $# -gt 0 ]]; do
  [[ $1 != --venv ]] || venv=${2:?data_throughput.sh: --venv needs a folder}
  shift
done

works() { "$1" -c 'import torch, torchvision, PIL' >/dev/null 2>&1; }

python=$venv/bin/python3
if ! works "$python"; then
  echo "Installing torch, torchvision and pillow into $venv" >&2
  python3 -m venv "$venv" >&2 &&
    { "$venv/bin/pip" install -q --index-url https://download.pytorch.org/whl/cpu torch torchvision pillow >&2 ||
      "$venv/bin/pip" install -q torch torchvision pillow >&2; } || echo "That failed." >&2
fi
if ! works "$python"; then
  python=/usr/bin/python3
  echo "Going on with Debian's python3-torch and python3-torchvision." >&2
  works "$python" || bash "$here/install_packages.sh" --tests >&2
fi
exec "$python" -B "$here/data_throughput.py" "${given[@]}"
