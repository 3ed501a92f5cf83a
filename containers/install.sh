#!/bin/sh
# Put porter and a ported YOLOv5 v6.0 into an image, so that both work there without a network.
#
#   sh containers/install.sh TARGET [emulated]
#
# TARGET is mlu, tpu, npu or musa. The Python that has torch is python3, or what PYTHON names; its torch and its NumPy stay as
# they are. With `emulated` the device that stands in for the card is built too, and a tree is trained on it once.
# All of it lies under PREFIX, /opt unless said otherwise: porter/env (a virtual environment, or a link to the one that
# PYTHON is of), porter/cache, yolov5.
set -eu

target=${1:?name a target: mlu, tpu, npu or musa}
device=${2:-}
source=$(cd "$(dirname "$0")/.." && pwd)
prefix=${PREFIX:-/opt}
python=${PYTHON:-python3}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

[ -d "$source/patches/$target" ] || fail "there is no target $target"
command -v git >/dev/null || fail "git is not installed: apt-get install git, or yum install git"
command -v "$python" >/dev/null || fail "there is no $python: name the one with torch in PYTHON"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
    fail "$python is older than 3.9, which porter needs: docs/containers.md says how it works from beside such a Python"
"$python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)' ||
    fail "$python has no torch: name the one that has it in PYTHON"
if [ "$device" = emulated ]; then
    command -v c++ >/dev/null || fail "an emulated device is compiled, and there is no c++: apt-get install g++"
fi

mkdir -p "$prefix/porter"
kept="$prefix/porter/kept.txt"
"$python" -m pip --disable-pip-version-check list --format=freeze 2>/dev/null | grep -iE '^(torch|torch[-_](mlu|tpu|npu|musa)|numpy)==' >"$kept" || true
if "$python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)'; then
    # it is a virtual environment's already, whose packages another one would not see
    ln -sfn "$("$python" -c 'import sys; print(sys.prefix)')" "$prefix/porter/env"
else
    "$python" -m venv --system-site-packages "$prefix/porter/env"
fi
"$prefix/porter/env/bin/python" -m pip --disable-pip-version-check install --quiet --no-cache-dir -c "$kept" "$source[train]"

PORTER_CACHE="$prefix/porter/cache"
PATH="$prefix/porter/env/bin:$PATH"
export PORTER_CACHE PATH
cd "$prefix"
porter apply --target "$target" "$prefix/yolov5"
porter verify --target "$target" --level static "$prefix/yolov5"
if [ "$device" = emulated ]; then
    porter verify --target "$target" --device emulated --data scenes --check probe --check train "$prefix/yolov5"
fi
chmod -R a+rX "$prefix/porter" "$prefix/yolov5"
