#!/usr/bin/env bash
# Builds a free-threaded Python from Debian's source package, installs the checkout into it, and runs its tests.
#
#     tests/stress/free_threaded.sh [folder] [python3.13] [trixie]
#
# Needs apt-get with the Debian archive's keyring, a C compiler, and the libraries' headers (libssl-dev, libffi-dev,
# zlib1g-dev, liblzma-dev, libbz2-dev). Three minutes on two cores; what is in the folder already is used again.
set -euo pipefail
folder=${1:-/tmp/free-threaded}
name=${2:-python3.13}
suite=${3:-trixie}
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$folder/$name/bin/${name}t

if [ ! -x "$python" ]; then
    mkdir -p "$folder"/apt/{lists/partial,cache/archives/partial}
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb-src [signed-by=$keys] http://deb.debian.org/debian $suite main" >"$folder/apt/sources.list"
    options=(-o "Dir::Etc::sourcelist=$folder/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null)
    options+=(-o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt/cache")
    apt-get -qq "${options[@]}" update
    (cd "$folder" && apt-get -qq "${options[@]}" source --download-only "$name")
    mkdir -p "$folder/source"
    tar xf "$folder/${name}"_*.orig.tar.xz -C "$folder/source" --strip-components=1
    (cd "$folder/source" && ./configure -q --disable-gil --prefix="$folder/$name" >/dev/null && make -s -j"$(nproc)" >/dev/null 2>&1 && make -s install >/dev/null 2>&1)
fi

"$python" -c 'import sys; assert not sys._is_gil_enabled(); print(sys.version)'
"$python" -m venv "$folder/environment"
# Wheels alone: the latest version of a package may have none for this Python, an older one has.
"$folder/environment/bin/pip" install -q --only-binary :all: "$root[test]"
"$folder/environment/bin/python" - <<'PY'
import sys
import parallel_deco
from parallel_deco import _iterator, _sampler, _shared
import parallel_deco.kernels
assert not sys._is_gil_enabled(), "an extension module of ours switched the GIL on"
PY
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$root/tests" "$root/benchmarks" "$root/pyproject.toml" "$root/README.md" "$root/docs" "$root/.ci" "$work"
cd "$work" && "$folder/environment/bin/pytest" -q "${@:4}"
