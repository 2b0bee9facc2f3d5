#!/usr/bin/env bash
# python_tools.sh FOLDER
# Installs what tests take from PyPI into a virtual environment in FOLDER, unless it is there already: NVIDIA's disassembler,
# which a toolkit may lack, and safetensors, which Debian has not. The system's packages (PyTorch) are seen there too. Where
# that cannot be done, what pip said, and exit status 1. Tests that run at once wait for one another.
set -euo pipefail
folder=${1:?usage: python_tools.sh FOLDER}
packages=(nvidia-cuda-nvdisasm==13.2.86 safetensors==0.8.0)
mkdir -p "$folder"
exec 9>"$folder/.lock"
flock 9
[[ -f $folder/installed && $(<"$folder/installed") == "${packages[*]}" ]] && exit
python=/usr/bin/python3  # the one that Debian's PyTorch is for
[[ -x $python ]] || python=python3
{
  "$python" -m venv --system-site-packages "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 0 --timeout 20 "${packages[@]}"
} >&2 || exit 1
echo "${packages[*]}" >"$folder/installed"
