#!/usr/bin/env bash
# python_tools.sh FOLDER SET...
# Installs PyPI packages that tests need into a virtual environment in FOLDER; skips each SET that is installed already:
#   nvdisasm     NVIDIA's disassembler, which a toolkit may lack: the checks of the kernels' machine code
#   safetensors  not in Debian: reads an encoder in PyTorch
#   tensorboard  the reader of a run's event files, with Pillow for their pictures
#   werkzeug     serves TensorBoard's plugins
#   sklearn      scikit-learn: an independent check of figures
#   onnx         the checker of ONNX files, and ONNX Runtime, which runs them
#   timm         builds and loads networks in PyTorch; needs safetensors
# The environment also sees the system's packages (PyTorch, NumPy, Pillow) and does not change them: only the packages named
# here are installed. If a set cannot be installed, prints pip's message and exits with status 1; earlier sets stay. Tests
# that run at the same time wait for each other.
set -euo pipefail
folder=${1:?usage: python_tools.sh FOLDER SET...}
shift
[[ $# -gt 0 ]] || { echo "usage: python_tools.sh FOLDER SET..." >&2; exit 2; }
numpy='numpy>=1.24.2,<2' # Debian's, for which the versions below are made

packages_of() { # SET: its packages, with all they need
  case $1 in
    nvdisasm) echo nvidia-cuda-nvdisasm==13.2.86 ;;
    safetensors) echo safetensors==0.8.0 ;;
    tensorboard) echo tensorboard==2.20.0 protobuf==5.29.3 absl-py==2.1.0 'pillow>=9.4' "$numpy" ;;
    werkzeug) echo werkzeug==3.1.3 markupsafe==3.0.2 ;;
    sklearn) echo scikit-learn==1.2.2 scipy==1.10.1 joblib==1.4.2 threadpoolctl==3.5.0 "$numpy" ;;
    onnx) echo onnx==1.16.2 onnxruntime==1.16.3 protobuf==5.29.3 "$numpy" ;;
    timm)
      echo timm==1.0.31 huggingface_hub==0.34.4 filelock==3.16.1 fsspec==2024.10.0 tqdm==4.67.1 packaging==24.2 pyyaml==6.0.2 \
        requests==2.32.3 urllib3==1.26.20 idna==3.10 certifi==2024.8.30 charset-normalizer==3.4.0
      ;;
    *) echo "python_tools.sh: there is no set '$1'" >&2; exit 2 ;;
  esac
}

install() { # SET
  local packages
  packages=$(packages_of "$1") || exit 2
  [[ -f $folder/$1.installed && $(<"$folder/$1.installed") == "$packages" ]] && return
  [[ -x $folder/bin/pip ]] || "$python" -m venv --system-site-packages "$folder" >&2 || return 1
  # shellcheck disable=SC2086  # one word each
  "$folder/bin/pip" install --quiet --disable-pip-version-check --retries 0 --timeout 20 --no-deps --only-binary :all: \
    $packages >&2 || return 1
  echo "$packages" >"$folder/$1.installed"
}

mkdir -p "$folder"
exec 9>"$folder/.lock"
flock 9
python=/usr/bin/python3 # the one that Debian's PyTorch is for
[[ -x $python ]] || python=python3
for set in "$@"; do install "$set" || exit 1; done
