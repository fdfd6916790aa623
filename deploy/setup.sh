#!/usr/bin/env bash
# Installs what is missing, and only that, on Debian 12. Quiet when there is nothing to do.
#   setup.sh build            compilers for BoringSSL
#   setup.sh test             clients and origins for the end-to-end tests
#   setup.sh bench            servers and load generators for the benchmarks
set -euo pipefail
cd "$(dirname "$0")/.."

sudo=""
[ "$(id -u)" -eq 0 ] || sudo="sudo"
missing=()

packages() {
  local name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  echo "installing: ${missing[*]}"
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "${missing[@]}" >/dev/null
}

# Debian's packages start their services on installation; the tests and benchmarks bring their own. A service
# that was there before is somebody's and left alone.
stop_services() {
  local name
  for name in "$@"; do
    [[ " ${missing[*]} " == *" $name"* ]] || continue
    if [ -d /run/systemd/system ]; then $sudo systemctl disable --now "$name" >/dev/null 2>&1 || true
    else $sudo service "$name" stop >/dev/null 2>&1 || true; fi
  done
}

# The Python programs of the tests get what they import from a folder of their own, pinned; the system's Python
# stays as it is.
python_packages() {
  local wanted=$1 venv=${CARGO_TARGET_DIR:-target}/test-venv
  if [ -x "$venv/bin/python" ] && cmp -s "$wanted" "$venv/requirements.txt"; then return 0; fi
  echo "installing: $(grep -v '^#' "$wanted" | paste -sd' ') in $venv"
  rm -rf "$venv"
  /usr/bin/python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r "$wanted"
  cp "$wanted" "$venv/requirements.txt"
}

case "${1:-}" in
  build)
    packages build-essential cmake clang libclang-dev pkg-config perl git ca-certificates
    command -v cargo >/dev/null || {
      echo "cargo is missing: install the Rust toolchain (1.95 or later) from https://rustup.rs and run this again" >&2
      exit 1
    }
    ;;
  test)
    packages curl nginx-light nghttp2-client python3 python3-venv ca-certificates
    stop_services nginx
    python_packages tests/interop/requirements.txt
    ;;
  bench)
    packages nginx-light haproxy nghttp2-client wrk python3 curl
    stop_services nginx haproxy
    ;;
  *)
    sed -n '2,5p' "$0" >&2
    exit 2
    ;;
esac
