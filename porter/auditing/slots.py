"""Where in a piece of Python a value is used as a device, a backend or a dtype, and the literals in such a place.

A string 'cuda' is a device in ``torch.device('cuda')`` and nothing at all in ``print('cuda')`` or as the key of a
dictionary: only places that PyTorch, or this tree's own functions, take a device from count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Union

from porter.auditing.names import Scope, arguments, device_like, device_name, takes_strings

Literal = Union[str, int]

_DEVICE_KEYWORDS = {
    "device",
    "map_location",
    "device_type",
    "device_ids",
    "output_device",
    "device_id",
    "pin_memory_device",
}
# by the end of a function's name: its arguments that are devices
_DEVICE_ARGUMENTS = {
    "torch.device": (0, 1),
    "torch.load": (1,),
    "torch.jit.load": (1,),
    "torch.autocast": (0,),
    "torch.amp.autocast": (0,),
    "torch.amp.GradScaler": (0,),
    "torch.Generator": (0,),
    "torch.set_default_device": (0,),
    "torch.set_default_tensor_type": (0,),
    "torch.get_device_module": (0,),
}
_DEVICE_METHODS = {"to": (0,), "to_empty": (0,), "type": (0,), "pin_memory": (0,)}
_LOADERS = {"torch.load", "torch.jit.load", "torch.hub.load_state_dict_from_url"}


def keywords(call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """A call's keyword arguments, with those of a dictionary that stands in it: ``f(**{'device_ids': [0]})``."""
    for word in call.keywords:
        if word.arg is not None:
            yield word.arg, word.value
            continue
        for choice in choices(word.value):
            if isinstance(choice, ast.Dict):
                for key, value in zip(choice.keys, choice.values):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield key.value, value


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((value for found, value in keywords(call) if found == name), None)


def choices(node: ast.expr) -> Iterator[ast.expr]:
    """The values that an expression may have: both of ``a if x else b``, each of ``a or b``, the items of a list."""
    if isinstance(node, ast.IfExp):
        yield from choices(node.body)
        yield from choices(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from choices(value)
    elif isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        for item in node.elts:
            yield from choices(item)
    elif isinstance(node, ast.JoinedStr):
        yield from (value for value in node.values if isinstance(value, ast.Constant))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        yield from choices(node.left)
    else:
        yield node


def literals(node: ast.expr) -> Iterator[tuple[ast.Constant, Literal]]:
    """The strings and numbers among the values that an expression may have."""
    for choice in choices(node):
        value = choice.value if isinstance(choice, ast.Constant) else None
        if isinstance(choice, ast.Constant) and isinstance(value, (str, int)) and not isinstance(value, bool):
            yield choice, value


def devices(node: ast.AST, scope: Scope) -> Iterator[ast.expr]:
    """The expressions in ``node`` itself, not in its children, that are used as a device."""
    if isinstance(node, ast.Call):
        yield from _of_call(node, scope)
    elif isinstance(node, ast.Assign):
        if any(device_name(target) for target in node.targets):
            yield node.value
    elif isinstance(node, ast.AnnAssign):
        if node.value is not None and device_name(node.target):
            yield node.value
    elif isinstance(node, ast.Return) and node.value is not None and "device" in scope.path.rpartition(".")[2]:
        yield node.value  # of select_device() and its like


def _of_call(call: ast.Call, scope: Scope) -> Iterator[ast.expr]:
    for name, value in keywords(call):
        if name in _DEVICE_KEYWORDS:
            yield value
    function = scope.dotted(call.func) or ""
    positions = _DEVICE_ARGUMENTS.get(function, ())
    if function.endswith(".select_device") or (isinstance(call.func, ast.Name) and call.func.id == "select_device"):
        positions = (0,)
    elif isinstance(call.func, ast.Attribute):
        if not positions and (not function or function.startswith("torch")):
            positions = _DEVICE_METHODS.get(call.func.attr, ())
        if takes_strings(call) and device_like(call.func.value):  # device.replace('cuda:', '')
            positions = (0,)
    for number, value in enumerate(call.args):
        if number in positions or (scope.is_device(value) and not _only_looks(call)):
            yield value


def _only_looks(call: ast.Call) -> bool:
    """Whether a call is of one of Python's own functions that do nothing with a device: str(device), print(device)."""
    return isinstance(call.func, ast.Name) and call.func.id in ("str", "print", "isinstance", "type", "repr", "hasattr")


def defaults(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Parameters for a device with their defaults, of a function or of ``add_argument('--device', default=…)``."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        named = [*node.args.posonlyargs, *node.args.args]
        pairs = list(zip(named[len(named) - len(node.args.defaults) :], node.args.defaults))
        pairs += [(arg, value) for arg, value in zip(node.args.kwonlyargs, node.args.kw_defaults) if value is not None]
        for argument, value in pairs:
            if argument.arg in _DEVICE_KEYWORDS:
                yield ast.copy_location(ast.Name(argument.arg, ast.Load()), argument), value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
        options = [word.value for word in node.args if isinstance(word, ast.Constant)]
        default = keyword(node, "default")
        if default is not None and any(option in ("--device", "--devices", "device") for option in options):
            yield node, default


def loads(call: ast.Call, scope: Scope) -> bool:
    """Whether a call reads a file with tensors in it, devices and all."""
    return (scope.dotted(call.func) or "") in _LOADERS


def target_of(call: ast.Call) -> ast.expr | None:
    """Where such a call puts what it reads; None if it does not say."""
    return keyword(call, "map_location") or (call.args[1] if len(call.args) > 1 else None)


def onto_host(call: ast.Call, scope: Scope) -> bool:
    """Whether such a call puts what it reads into host memory."""
    where = target_of(call)
    return where is not None and all(is_host(choice, scope) for choice in choices(where))


def is_host(node: ast.expr, scope: Scope) -> bool:
    """Whether an expression is the host by name: ``'cpu'``, ``torch.device('cpu')``."""
    if isinstance(node, ast.Call) and scope.dotted(node.func) == "torch.device" and node.args:
        node = node.args[0]
    return isinstance(node, ast.Constant) and node.value == "cpu"


def handles_device(node: ast.AST) -> bool:
    """Whether a function takes a device or asks for one, so that what it makes may have to lie there."""
    named = arguments(node.args) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else []
    if any(argument.arg in ("device", "map_location") for argument in named):
        return True
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and part.attr == "device" and isinstance(part.ctx, ast.Load):
            return True
        if isinstance(part, ast.Name) and part.id == "device":
            return True
    return False
