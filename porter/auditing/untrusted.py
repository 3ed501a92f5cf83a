"""Where a piece of Python may run or fetch what a file, a server or a word of the user says, whatever the device.

A name counts wherever it is read, called or not: ``pool.map(os.system, words)`` runs as much as ``os.system(word)``.
"""

from __future__ import annotations

import ast

from porter.auditing import slots
from porter.auditing.names import Scope

# The tree's own reader of checkpoints.  What it may call is held by the check `safety`, case by case.
READERS = ("utils/pickles.py", "utils/checkpoint.py")

_SHELL = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
_SHELL |= {"asyncio.create_subprocess_shell", "pty.spawn"}
_PROGRAM = {f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen")}
_PROGRAM |= {
    "asyncio.create_subprocess_exec",
    "os.startfile",
    "torch.utils.cpp_extension.load",
    "torch.utils.cpp_extension.load_inline",
}
_BUILTINS = {"eval", "exec", "compile", "__import__"}
_IMPORTS = {"importlib.import_module", "importlib.reload", "importlib.util.spec_from_file_location"}
_CODE = _IMPORTS | {"runpy.run_path", "runpy.run_module", "code.interact", "types.CodeType", "types.FunctionType"}
_CODE |= {"pandas.eval"}
_PICKLES = ("pickle", "cPickle", "dill", "cloudpickle", "marshal", "joblib", "jsonpickle")
_READERS = ("load", "loads", "decode", "Unpickler", "_Unpickler")
_STORED = {f"{module}.{name}" for module in _PICKLES for name in _READERS}
_STORED |= {"torch.load", "torch.jit.load", "torch.package.PackageImporter", "shelve.open", "numpy.load"}
_STORED |= {"torch.hub.load", "torch.hub.load_state_dict_from_url", "pandas.read_pickle", "pandas.read_hdf"}
_STORED |= {f"yaml.{name}" for name in ("load", "load_all", "full_load", "full_load_all", "unsafe_load", "Loader")}
_STORED |= {f"yaml.{name}" for name in ("unsafe_load_all", "UnsafeLoader", "FullLoader")}
_STORED |= {"tensorflow.keras.models.load_model", "tensorflow.saved_model.load", "keras.models.load_model"}
_STORED |= {"tensorflow.compat.v1.import_graph_def", "torchvision.models.__dict__", "torch.ops.load_library"}
_STORED |= {"ctypes.CDLL", "ctypes.cdll.LoadLibrary", "cv2.dnn.readNetFromONNX", "onnxruntime.InferenceSession"}
_STORED |= {"tensorflow.lite.Interpreter"}
_VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "request", "Session", "session")
_NETWORK = {f"{module}.{verb}" for module in ("requests", "httpx") for verb in _VERBS}
_NETWORK |= {"urllib.request.urlopen", "urllib.request.urlretrieve", "urllib.request.build_opener", "pafy.new"}
_NETWORK |= {"http.client.HTTPConnection", "http.client.HTTPSConnection", "ftplib.FTP", "smtplib.SMTP"}
_NETWORK |= {"wandb.login", "wandb.init", "wandb.Api", "socket.socket", "socket.create_connection", "cv2.VideoCapture"}
_NETWORK |= {"torch.hub.download_url_to_file", "wandb.use_artifact"}
_FETCHING = ("download", "use_artifact")  # methods, of Weights & Biases' objects for one
_NAMES = {
    **dict.fromkeys(_SHELL, "shell"),
    **dict.fromkeys(_PROGRAM, "program"),
    **dict.fromkeys(_CODE, "code-from-text"),
    **dict.fromkeys(_STORED, "stored-code"),
    **dict.fromkeys(_NETWORK, "network"),
}
_SAFE = ("yaml.SafeLoader", "yaml.CSafeLoader")


def rule_of(dotted: str) -> str:
    """The rule for what a dotted name stands for; empty if it neither runs nor fetches anything."""
    if dotted.startswith(("os.exec", "os.spawn", "os.posix_spawn")):
        return "program"
    return _NAMES.get(dotted, "")


def fetches(call: ast.Call | None, dotted: str) -> bool:
    """Whether a call of a method downloads, by the method's name, on an object that is not known."""
    return not dotted and call is not None and getattr(call.func, "attr", "") in _FETCHING


def builtin(node: ast.Name, scope: Scope) -> bool:
    """Whether a name is one of Python's own functions that run a text, and nothing else of that name."""
    return node.id in _BUILTINS and scope.owner(node.id) is None


def shell(call: ast.Call) -> bool:
    """Whether a call says ``shell=`` anything but False, whatever it calls."""
    value = slots.keyword(call, "shell")
    return value is not None and not (isinstance(value, ast.Constant) and value.value is False)


def harmless(call: ast.Call, dotted: str, scope: Scope) -> bool:
    """Whether a call says by itself that it reads data alone, or imports what stands there by name."""
    if dotted == "numpy.load":
        value = slots.keyword(call, "allow_pickle")
        return isinstance(value, ast.Constant) and value.value is False
    if dotted in ("yaml.load", "yaml.load_all"):
        loader = slots.keyword(call, "Loader") or (call.args[1] if len(call.args) > 1 else None)
        return loader is not None and scope.dotted(loader) in _SAFE
    if dotted in _IMPORTS or dotted == "__import__":
        return bool(call.args) and isinstance(call.args[0], ast.Constant)
    return False
