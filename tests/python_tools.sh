#!/usr/bin/env bash
# python_tools.sh FOLDER
# Installs what tests take from PyPI into a virtual environment in FOLDER, unless it is there already: NVIDIA's disassembler,
# which a toolkit may lack. Where that cannot be done, what pip said, and exit status 1.
set -euo pipefail
folder=${1:?usage: python_tools.sh FOLDER}
packages=(nvidia-cuda-nvdisasm==13.2.86)
[[ -f $folder/installed && $(<"$folder/installed") == "${packages[*]}" ]] && exit
{
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 0 --timeout 20 "${packages[@]}"
} >&2 || exit 1
echo "${packages[*]}" >"$folder/installed"
