#!/usr/bin/env bash
# install_packages.sh [--tests | --fuzz | --tidy]
# Lists the missing Debian 12 packages for building Vergence, then installs them: with --tests also those for the tests,
# with --fuzz those for the tests and clang, with --tidy those for the tests and clang-tidy. None needs a GPU.
set -euo pipefail

needed=(g++ cmake ninja-build libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libdnnl-dev
  libopenblas-openmp-dev liblbfgs-dev libstb-dev libjpeg-dev libxxhash-dev libmd-dev
  libeigen3-dev libprotozero-dev libzip-dev curl ca-certificates)
optional=()
case "${1:-}" in
  '') ;;
  --tests)
    needed+=(libgtest-dev xz-utils python3 python3-venv)
    # For the format check (tests/format.sh), several processes, the comparisons with PyTorch and the look at a report in a
    # browser, which are skipped without them.
    optional=(clang-format-14 openmpi-bin libopenmpi-dev python3-torch python3-torchvision chromium)
    ;;
  --fuzz) needed+=(libgtest-dev clang libomp-dev libclang-rt-dev) ;;
  --tidy) needed+=(libgtest-dev clang-tidy-14 libomp-14-dev) ;;
  *)
    echo "usage: install_packages.sh [--tests | --fuzz | --tidy]" >&2
    exit 2
    ;;
esac

is_installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

missing_of() { # PACKAGE...: those that are not installed, one a line
  local package
  for package in "$@"; do
    is_installed "$package" || echo "$package"
  done
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "This is not a Debian system; the packages there are called: ${needed[*]} ${optional[*]}"
  echo "Going on without installing anything."
  exit 0
fi

mapfile -t missing < <(missing_of "${needed[@]}")
mapfile -t wanted < <(missing_of ${optional[@]+"${optional[@]}"})
[[ ${#missing[@]} -gt 0 || ${#wanted[@]} -gt 0 ]] || exit 0
echo "Packages to install: ${missing[*]} ${wanted[*]}"

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "install_packages.sh: neither root nor sudo: ask your administrator for the packages above" >&2
    [[ ${#missing[@]} -eq 0 ]] && exit 0 || exit 1
  fi
  # Nothing that is needed is missing: do not ask for a password in every test run.
  if [[ ${#missing[@]} -eq 0 ]] && ! sudo -n true 2>/dev/null; then
    echo "Not installed without a password for sudo. The tests that need these packages will be skipped."
    exit 0
  fi
  as_root=(sudo)
fi
install() { ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; }

${as_root[@]+"${as_root[@]}"} apt-get update -q || echo "apt-get update failed; trying with the lists there are"
[[ ${#missing[@]} -eq 0 ]] || install "${missing[@]}"
for package in ${wanted[@]+"${wanted[@]}"}; do
  install "$package" || echo "Not installed: $package. The tests that need it will be skipped."
done
