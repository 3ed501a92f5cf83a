"""What a dotted name, or an expression by its form, has to do with devices."""

from __future__ import annotations

import ast

from porter.auditing.names import FUNCTIONS, Scope, device_name
from porter.auditing.rules import BACKENDS, DEVICE_WORD, PLUGINS, TYPES


def rule_of(dotted: str) -> str:
    """The rule for what a dotted name stands for; empty if that is no device's."""
    parts = dotted.split(".")
    if parts[0] == "torch" and len(parts) > 1:
        if parts[1] in ("autocast", "amp") or (len(parts) > 2 and parts[1] in TYPES and parts[2] == "amp"):
            return "amp"
        if parts[1] in TYPES or parts[1] == "accelerator" or parts[1] in {f"is_{kind}_available" for kind in TYPES}:
            return "device-api"
        if parts[1] == "backends" and len(parts) > 2:
            return "backend-flags"
        if parts[1] in ("set_default_device", "set_default_tensor_type"):
            return "device-default"
        if dotted in (f"torch.distributed.is_{name}_available" for name in BACKENDS):
            return "distributed-backend"
        return ""
    plugin = next((name for name in PLUGINS if f"{dotted}.".startswith(f"{name}.")), "")
    if plugin:
        return "runtime-device" if plugin == "tensorrt" else "amp" if "amp" in parts[1:] else "device-api"
    if parts[0] == "cv2" and len(parts) > 2 and parts[1] == "dnn" and parts[2].endswith(("_CUDA", "_CUDA_FP16")):
        return "runtime-device"
    return ""


def device_word(text: str) -> bool:
    """Whether a text is the name of a device, the host among them."""
    return text == "cpu" or DEVICE_WORD.fullmatch(text) is not None


def device_side(node: ast.expr) -> bool:
    """Whether one side of a comparison is a device or its type."""
    if isinstance(node, ast.Attribute) and node.attr == "type":
        return True
    if isinstance(node, ast.Call):  # str(device), device.lower()
        inner = node.func.value if isinstance(node.func, ast.Attribute) else node.args[0] if node.args else node.func
        return node is not inner and device_side(inner)
    return device_name(node.value if isinstance(node, ast.Subscript) else node)


def asks_backend(node: ast.expr) -> bool:
    """Whether an expression is torch.distributed's backend: dist.get_backend(), opt.backend."""
    if isinstance(node, ast.Call):
        node = node.func
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.endswith("backend")


def takes_strings(node: ast.Call) -> bool:
    """Whether a call is of a method of strings, whose numbers are no devices."""
    return isinstance(node.func, ast.Attribute) and node.func.attr in (
        "replace", "split", "strip", "lstrip", "startswith", "endswith", "partition", "removeprefix", "count",
    )  # fmt: skip


def environment(node: ast.expr) -> bool:
    """Whether an expression is the process's environment: os.environ, environ.get, env."""
    while isinstance(node, ast.Attribute):
        if node.attr == "environ":
            return True
        node = node.value
    return isinstance(node, ast.Name) and node.id in ("environ", "env")


def is_layer(scope: Scope) -> bool:
    """Whether a class is a torch.nn.Module by what its bases are called, or has a forward()."""
    node = scope.node
    if not isinstance(node, ast.ClassDef):
        return False
    around = scope.parent or scope
    return any((around.dotted(base) or "").startswith("torch.nn.") for base in node.bases) or any(
        isinstance(part, FUNCTIONS) and part.name == "forward" for part in node.body
    )
