#!/usr/bin/env bash
# Installs what is missing, and only that, on Debian 12. Quiet when there is nothing to do.
#   setup.sh build            compilers for BoringSSL
#   setup.sh test             clients and origins for the end-to-end tests
#   setup.sh bench            servers and load generators for the benchmarks
set -euo pipefail

packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  echo "installing: ${missing[*]}"
  local sudo=""
  [ "$(id -u)" -eq 0 ] || sudo="sudo"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Debian's packages start their services on installation; the tests and benchmarks bring their own.
stop_services() {
  local name
  for name in "$@"; do
    if [ -d /run/systemd/system ]; then systemctl disable --now "$name" >/dev/null 2>&1 || true
    else service "$name" stop >/dev/null 2>&1 || true; fi
  done
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
    packages curl
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
