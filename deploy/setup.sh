#!/usr/bin/env bash
# Installs what is missing, and only that, on Debian 12. Quiet when there is nothing to do.
#   setup.sh build            compilers for BoringSSL
#   setup.sh test             clients and origins for the end-to-end tests
#   setup.sh peers            other caches, to compare with
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
  local wanted venv=${CARGO_TARGET_DIR:-target}/test-venv
  wanted=$(cat "$@")
  if [ -x "$venv/bin/python" ] && [ "$wanted" = "$(cat "$venv/requirements.txt" 2>/dev/null)" ]; then return 0; fi
  echo "installing: $(grep -v '^#' <<<"$wanted" | sort -u | paste -sd' ') in $venv"
  rm -rf "$venv"
  /usr/bin/python3 -m venv "$venv"
  # sniffpy comes as source only: plain Python, nothing to compile.
  "$venv/bin/pip" install -qq --disable-pip-version-check --no-deps --use-pep517 \
    --only-binary :all: --no-binary sniffpy --no-cache-dir "${@/#/--requirement=}"
  printf '%s\n' "$wanted" >"$venv/requirements.txt"
}

# The suite for HTTP caches and the Node that runs it, by its lock file. Any npm will do; without one, Debian's comes.
cache_suite() {
  local source=tests/conformance/http-cache-tests target=${CARGO_TARGET_DIR:-target}/http-cache-tests wanted
  wanted=$(cksum <"$source/package-lock.json")
  [ "$wanted" = "$(cat "$target/installed" 2>/dev/null)" ] && return 0
  echo "installing: http-cache-tests in $target"
  rm -rf "$target"
  mkdir -p "$target"
  cp -r "$source"/{package.json,package-lock.json,.npmrc,no-npm} "$target"
  (cd "$target" && npm ci --silent)
  printf '%s\n' "$wanted" >"$target/installed"
}

npm=()
command -v npm >/dev/null || npm=(npm)

case "${1:-}" in
  build)
    packages build-essential cmake clang libclang-dev pkg-config perl git ca-certificates
    command -v cargo >/dev/null || {
      echo "cargo is missing: install the Rust toolchain (1.95 or later) from https://rustup.rs and run this again" >&2
      exit 1
    }
    ;;
  test)
    packages curl nginx-light nghttp2-client python3 python3-venv ca-certificates "${npm[@]}"
    stop_services nginx
    python_packages tests/interop/requirements.txt tests/conformance/requirements.txt
    cache_suite
    ;;
  peers)
    packages nginx-light varnish squid trafficserver apache2 haproxy python3
    stop_services nginx varnish squid trafficserver apache2 haproxy
    ;;
  bench)
    packages nginx-light haproxy varnish nghttp2-client wrk python3 python3-venv curl valgrind strace
    stop_services nginx haproxy varnish
    ;;
  *)
    sed -n '2,6p' "$0" >&2
    exit 2
    ;;
esac
