# Sourced by the scripts beside it; says what it does, so that a first run is not a silent minute.

# Where this is set, as in many a container, nothing that was compiled is kept: every command that is run, by a person or
# by a test, would compile all of its modules first, which takes it longer than its work.
unset PYTHONDONTWRITEBYTECODE

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

# install_packages INSTALLER LOCK: the packages of LOCK and recpipe itself, for development, where the command INSTALLER
# ("uv pip install -p PYTHON", "PYTHON -m pip install") puts them. The lock files are complete, so nothing is resolved:
# what a resolver finds depends on its age and on what was published since. Nor does the build of recpipe fetch anything.
install_packages() {
  local lock=${*: -1} installer=("${@:1:$#-1}")
  "${installer[@]}" -q --no-deps --require-hashes -r requirements-build.lock -r "$lock" &&
    "${installer[@]}" -q --no-deps --no-build-isolation -e .
}

# What .venv is made of; another value means that it has to be refreshed.
stamp() { echo "$1 $(sha256sum "$1" requirements-build.lock requirements-uv.lock pyproject.toml | sha256sum | cut -c1-16)"; }

# install_with_own_uv LOCK: uv into .venv, which installs the rest. It fails where there is no uv for this machine, or where it
# does not reach the registry as pip is told to here. pip looks at each file of every version that was ever published,
# which takes it a minute of CPU.
install_with_own_uv() {
  local pip=(.venv/bin/python -m pip --disable-pip-version-check) index
  "${pip[@]}" install -q --no-compile --no-deps --require-hashes -r requirements-uv.lock || return
  index=${PIP_INDEX_URL:-$("${pip[@]}" config get global.index-url 2>/dev/null || true)}
  [ -z "$index" ] || local -x UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}
  install_packages .venv/bin/uv pip install -p .venv/bin/python "$1"
}

# Make or refresh .venv from the lock file; a stamp makes a second run free.
# ensure_venv [LOCK]: requirements-dev.lock by default, requirements.lock for running only.
ensure_venv() {
  local lock=${1:-requirements-dev.lock} python have why compile=()
  have=$(cat .venv/recpipe-stamp 2>/dev/null || true)
  if [ -x .venv/bin/recpipe ]; then
    [ "$have" = "$(stamp "$lock")" ] && return 0
    # Everything for development holds everything for running.
    [ "$lock" = requirements.lock ] && [ "$have" = "$(stamp requirements-dev.lock)" ] && return 0
  fi

  python=${PYTHON:-python3}
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    { say "recpipe needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 2; }
  say "Installing the packages of $lock into .venv"
  if command -v uv >/dev/null; then
    [ -x .venv/bin/python ] || uv venv -q --seed --python "$python" .venv
    install_packages uv pip install -p .venv/bin/python "$lock"
  else
    if [ ! -x .venv/bin/python ]; then
      "$python" -m venv .venv || { say "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 2; }
    fi
    if ! why=$(install_with_own_uv "$lock" 2>&1); then
      say "pip installs them, which takes about a minute: uv cannot here ($(grep -im 1 ^error <<<"$why" || tail -n 1 <<<"$why"))"
      # Most of what the tests bring is never loaded: Python compiles what is. uv does not compile at all.
      [ "$lock" = requirements.lock ] || compile=(--no-compile)
      install_packages .venv/bin/python -m pip --disable-pip-version-check install "${compile[@]}" "$lock"
    fi
  fi
  stamp "$lock" > .venv/recpipe-stamp
}

# Debian packages: installed where we are root and they are missing, named where we are not.
ensure_debian() {
  local missing=() package
  command -v dpkg-query >/dev/null || { say "Not Debian: please install what corresponds to: $*"; return 0; }
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    say "Missing Debian packages; what needs them is skipped. To have them: sudo apt-get install ${missing[*]}"
    return 0
  fi
  say "Installing Debian packages: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
