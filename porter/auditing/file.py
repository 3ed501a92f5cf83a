"""One Python file: every place in it that names a device, or may run or fetch something."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from porter.auditing import slots, untrusted
from porter.auditing.names import (
    FUNCTIONS,
    SCOPES,
    Exports,
    Scope,
    asks_backend,
    device_like,
    device_rule,
    device_side,
    device_word,
    is_environment,
    is_layer,
    package,
    scopes,
    source,
    takes_strings,
)
from porter.auditing.rules import (
    ACCELERATOR_FOLDER,
    ALLOWED,
    ASKED,
    BACKENDS,
    DEVICE_WORD,
    INDEX_WORD,
    ROUTED,
    RULES,
    RUNTIME_WORD,
    TENSOR_TYPE,
    TYPES,
    UNPORTED,
    VISIBLE,
    WORST,
    Place,
)

_IN_ACCELERATOR = "the accelerator's own code"
_THROUGH = "through the accelerator"
_BY_CONDITION = "only as the accelerator says"
_INTO_HOST = "into host memory, from whatever device it was saved"
_CONSTANTS = "onto the device it is given, its graph's constants too, which .to() does not move"
_READER = "the tree's own reader, which the check safety holds to its list"
_HARMLESS = "reads data alone, or imports what it names, as it says"
_NO_CHOICE = "chooses nothing: select_device() resolves it"

_MOVES = {"to", "type_as", "cuda", "new_tensor", "copy_", *TYPES}
_HALF, _PARALLEL, _FACTORIES = (RULES[name].names for name in ("half-precision", "parallel", "factory"))
_ATTRIBUTES = {f"is_{kind}" for kind in TYPES}


class File:
    """One file: its scopes, its nodes' parents, and the places found in it."""

    def __init__(self, path: str, tree: ast.Module, text: str, exports: Exports) -> None:
        self.path, self.tree, self.text = path, tree, text
        self.scopes = scopes(tree, package(path), exports)
        self.lines = text.split("\n")
        self.children, self.parents = _family(tree)
        self.found: dict[tuple[int, str], Place] = {}
        self._whats: dict[tuple[int, str], list[str]] = {}
        self._on_device: dict[ast.AST, bool] = {}

    def places(self) -> list[Place]:
        self._walk(self.tree, self.scopes[self.tree])
        code = _coder(self.text, self.lines, {place.line for place in self.found.values()})
        finished = [
            replace(place, code=code(place.line), what=", ".join(self._whats[key])) for key, place in self.found.items()
        ]
        return sorted(finished, key=lambda place: (place.line, place.column, place.rule))

    def _walk(self, node: ast.AST, scope: Scope) -> None:
        inner = self.scopes.get(node, scope)
        around = set(_outside(node)) if inner is not scope else set()
        self._look(node, scope)
        for child in self.children[node]:
            self._walk(child, scope if child in around else inner)

    # -- what a node is ------------------------------------------------------------------------------

    def _look(self, node: ast.AST, scope: Scope) -> None:
        # by far the most are names and constants, and none of these has a slot
        if isinstance(node, (ast.Attribute, ast.Name)):
            self._name(node, scope)
            return
        if isinstance(node, ast.Constant):
            self._constant(node, scope)
            return
        if isinstance(node, ast.Call):
            self._call(node, scope)
        elif isinstance(node, ast.Compare):
            self._compare(node, scope)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node, scope)
        for slot in slots.devices(node, scope):
            self._slot(slot, node, scope)
        for place, default in slots.defaults(node):
            inner = self.scopes.get(node, scope)
            self._default(place, default, inner)

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            origin = source(node, package(self.path))
            names = [f"{origin}.{alias.name}" for alias in node.names]
        for name in names:
            rule = device_rule(name)
            if rule:
                self._add(rule, node, scope, f"import of {name}")

    def _name(self, node: ast.Attribute | ast.Name, scope: Scope) -> None:
        parent = self._outermost(node, ())
        if isinstance(node, ast.Attribute) and scope.is_accelerator(node.value):
            # accelerator.get(device).half is one place, not two
            gives = isinstance(parent, ast.Call) and parent.func is node and scope.is_accelerator(parent)
            if not isinstance(self._outermost(parent, ()) if gives and parent else parent, ast.Attribute):
                self._routed(node, scope)
            return
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            return
        if isinstance(parent, ast.Attribute):
            return  # the whole of a.b.c is looked at, once
        dotted = scope.dotted(node)
        self._untrusted(node, parent, dotted or "", scope)
        if dotted is None:
            if isinstance(node, ast.Attribute) and node.attr in _ATTRIBUTES and isinstance(node.ctx, ast.Load):
                self._add("device-method", node, scope)
            return
        if isinstance(node, ast.Name) and scope.is_accelerator(node):
            if isinstance(parent, ast.Call) and parent.func is node:  # from utils.accelerator import get
                self._routed(node, scope)
            return
        if dotted in _HALF:
            if not isinstance(self._outermost(node, (ast.Tuple, ast.List)), ast.Compare):
                self._add("half-precision", node, scope)
            return
        rule = device_rule(dotted)
        if rule:
            called = isinstance(parent, ast.Call) and parent.func is node
            self._add(rule, node, scope, dotted + "()" * called)

    def _untrusted(self, node: ast.expr, parent: ast.AST | None, dotted: str, scope: Scope) -> None:
        """A name that runs or fetches something."""
        call = parent if isinstance(parent, ast.Call) and parent.func is node else None
        if isinstance(node, ast.Name) and untrusted.builtin(node, scope):
            rule, dotted = "code-from-text", node.id
        elif untrusted.fetches(call, dotted):
            rule, dotted = "network", self._source(node)
        else:
            rule = untrusted.rule_of(dotted)
        if not rule:
            return
        reason = _HARMLESS if call and untrusted.harmless(call, dotted, scope) else ""
        self._add(rule, node, scope, dotted + "()" * bool(call), ALLOWED if reason else "", reason)

    def _routed(self, node: ast.Attribute | ast.Name, scope: Scope) -> None:
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        self._add(ASKED.get(name, "device-api"), node, scope, state=ROUTED, reason=_THROUGH)

    def _call(self, node: ast.Call, scope: Scope) -> None:
        dotted = scope.dotted(node.func) or ""
        if isinstance(node.func, ast.Attribute) and (not dotted or dotted.startswith("torch")):
            self._method(node, node.func, scope)
        if getattr(node.func, "id", "") == "getattr":  # getattr(os, 'system')
            self._untrusted(node, self.parents.get(node), scope.dotted(node) or "", scope)
        if untrusted.shell(node):
            self._add("shell", node, scope, f"{self._source(node.func)}() by a shell")
        if slots.loads(node, scope):
            self._load(node, dotted, scope)
        if dotted in _FACTORIES:
            self._factory(node, scope)
        if dotted in _PARALLEL or dotted.startswith("torch.nn.SyncBatchNorm"):
            routed = any(word.arg is None and self._asks(word.value, scope) for word in node.keywords)
            self._add("parallel", node, scope, f"{dotted}()", ROUTED if routed else "", _THROUGH * routed)
        if dotted == "torch.distributed.init_process_group" and not node.args and not node.keywords:
            self._add("distributed-backend", node, scope)
        if dotted in ("importlib.import_module", "__import__") or getattr(node.func, "id", "") == "__import__":
            for word, value in slots.literals(node.args[0]) if node.args else ():
                rule = device_rule(str(value))
                if rule:
                    self._add(rule, word, scope, f"import of {value}")
        self._options(node, dotted, scope)

    def _load(self, node: ast.Call, dotted: str, scope: Scope) -> None:
        reason = _INTO_HOST if slots.onto_host(node, scope) else ""
        if not reason and dotted == "torch.jit.load" and slots.target_of(node) is not None:
            reason = _CONSTANTS
        self._add("checkpoint-load", node, scope, state=ALLOWED if reason else UNPORTED, reason=reason)

    def _method(self, node: ast.Call, function: ast.Attribute, scope: Scope) -> None:
        name = function.attr
        if name in TYPES and not scope.dotted(function):
            self._add("device-method", node, scope, f".{name}()")
        elif name in ("half", "bfloat16") and not node.args and not scope.is_accelerator(function.value):
            self._add("half-precision", node, scope, f".{name}()")
        elif name == "pin_memory":
            self._add("loader-option", node, scope, ".pin_memory()")

    def _options(self, node: ast.Call, dotted: str, scope: Scope) -> None:
        if dotted.endswith("InferenceSession") and slots.keyword(node, "providers") is None:
            self._add("runtime-device", node, scope, "InferenceSession without providers")
        if dotted.startswith("tensorflow.") and dotted.endswith(".device"):
            self._add("runtime-device", node, scope)
        for name, value in slots.keywords(node):
            off = isinstance(value, ast.Constant) and not value.value
            if name in ("pin_memory", "non_blocking", "pin_memory_device") and not off:
                self._add("loader-option", value, scope, f"{name}={self._source(value)}")
            elif name in ("device_ids", "output_device"):
                self._add("parallel", value, scope, f"{name}={self._source(value)}")
            elif name == "backend":
                self._backend(value, scope)
        if dotted.endswith("init_process_group") and node.args:
            self._backend(node.args[0], scope)

    def _backend(self, value: ast.expr, scope: Scope) -> None:
        for word, text in slots.literals(value):
            if str(text).lower() in BACKENDS:
                self._add("distributed-backend", word, scope, f"backend {text!r}")

    def _factory(self, node: ast.Call, scope: Scope) -> None:
        given = slots.keyword(node, "device") is not None
        splatted = any(word.arg is None for word in node.keywords)
        if not given and not splatted and self._runs_on_device(scope) and not self._moved(node, scope):
            self._add("factory", node, scope, f"{self._source(node.func)}()")

    def _compare(self, node: ast.Compare, scope: Scope) -> None:
        sides = [node.left, *node.comparators]
        for side in sides:
            others = [other for other in sides if other is not side]
            for word, text in slots.literals(side):
                if not isinstance(text, str):
                    continue
                if text.lower() in BACKENDS and any(asks_backend(other) for other in others):
                    self._add("distributed-backend", node, scope)
                elif device_word(text) and any(device_side(other) for other in others):
                    self._add("device-type", node, scope)
                elif DEVICE_WORD.fullmatch(text) and any(device_like(other) for other in others):
                    self._add("device-literal", word, scope, f"{text!r}")

    def _constant(self, node: ast.Constant, scope: Scope) -> None:
        if not isinstance(node.value, str):
            return
        if RUNTIME_WORD.fullmatch(node.value) and self._in_use(node):
            self._add("runtime-device", node, scope, repr(node.value))
        elif VISIBLE.fullmatch(node.value) and self._in_environment(node):
            self._add("visible-devices", node, scope, node.value)

    # -- devices -------------------------------------------------------------------------------------

    def _slot(self, slot: ast.expr, node: ast.AST, scope: Scope) -> None:
        """An expression that is used as a device."""
        for word, value in slots.literals(slot):
            self._literal(word, value, node, scope)
        handed = [choice for choice in slots.choices(slot) if scope.is_device(choice)]
        own = isinstance(node, ast.Call) and (slots.loads(node, scope) or self._asks(node.func, scope))
        if handed and isinstance(node, ast.Call) and not own:
            self._add("device-handed-on", node, scope, self._source(handed[0]))

    def _literal(self, word: ast.Constant, value: slots.Literal, node: ast.AST, scope: Scope) -> None:
        text = str(value)
        string = isinstance(node, ast.Call) and takes_strings(node)
        if TENSOR_TYPE.fullmatch(text) or DEVICE_WORD.fullmatch(text):
            self._add("device-literal", word, scope, repr(value))
        elif text == "cpu":
            host = self._loads_onto_host(node, scope)
            self._add("host-literal", word, scope, repr(value), ALLOWED if host else "", _INTO_HOST * host)
        elif INDEX_WORD.fullmatch(text) and not string:
            self._add("device-index", word, scope, f"device {value!r}")

    def _loads_onto_host(self, node: ast.AST, scope: Scope) -> bool:
        """Whether a host's name is a load's map_location, as it stands or in torch.device()."""
        outer = self._outermost(node, (ast.keyword,))
        return any(isinstance(one, ast.Call) and slots.loads(one, scope) for one in (node, outer))

    def _default(self, node: ast.expr, default: ast.expr, scope: Scope) -> None:
        fixed = [value for _, value in slots.literals(default) if value != ""]
        other = [one for one in slots.choices(default) if not isinstance(one, ast.Constant)]
        if fixed or other:
            self._add("device-default", default, scope, f"device by default: {self._source(default)}")
        else:
            self._add("device-default", default, scope, f"device={self._source(default)}", ALLOWED, _NO_CHOICE)

    # -- around a node -------------------------------------------------------------------------------

    def _outermost(self, node: ast.AST, through: tuple[type[ast.AST], ...]) -> ast.AST | None:
        """The first node around one that is none of these kinds."""
        parent = self.parents.get(node)
        while parent is not None and isinstance(parent, through):
            parent = self.parents.get(parent)
        return parent

    def _around(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        """Each node around one, with the child through which it is there, up to the function."""
        child, parent = node, self.parents.get(node)
        while parent is not None and not isinstance(parent, SCOPES):
            yield parent, child
            child, parent = parent, self.parents.get(parent)

    def _moved(self, node: ast.Call, scope: Scope) -> bool:
        """Whether a tensor goes elsewhere in the expression that it is made in: torch.arange(n).view(n, 1).to(d).

        Not one that a function is given whose result goes there: model(torch.zeros(1)).to(d).
        """
        for parent, child in self._around(node):
            given = isinstance(parent, ast.Call) and parent.func is not child
            if isinstance(parent, ast.stmt) or (given and not self._is_torch(parent, scope)):
                return False
            if isinstance(parent, ast.Attribute) and parent.value is child and parent.attr in _MOVES:
                return True
        return False

    @staticmethod
    def _is_torch(node: ast.AST, scope: Scope) -> bool:
        return isinstance(node, ast.Call) and (scope.dotted(node.func) or "").startswith("torch.")

    def _in_accelerator_call(self, node: ast.AST, scope: Scope) -> bool:
        return any(
            isinstance(parent, ast.Call) and parent.func is not child and self._asks(parent.func, scope)
            for parent, child in self._around(node)
        )

    def _by_condition(self, node: ast.AST, scope: Scope) -> bool:
        """Whether what an accelerator says decides about a place: ``if acc.half:``, ``a if acc.host_nms else b``."""
        for parent, child in self._around(node):
            decides = isinstance(parent, (ast.If, ast.IfExp, ast.While)) and parent.test is not child
            if decides and scope.says(parent.test):  # type: ignore[attr-defined]  # the three have a test
                return True
        return False

    @staticmethod
    def _asks(node: ast.expr, scope: Scope) -> bool:
        """Whether an expression is a call of, or an attribute of, an accelerator."""
        node = node.func if isinstance(node, ast.Call) else node
        return isinstance(node, ast.Attribute) and scope.is_accelerator(node.value)

    def _runs_on_device(self, scope: Scope) -> bool:
        """Whether a function's tensors may have to lie on a device: it handles one, or is a layer's computation."""
        for one in scope.enclosing():
            node = one.node
            if isinstance(node, FUNCTIONS):
                if node not in self._on_device:
                    layer = one.parent is not None and is_layer(one.parent)
                    own = layer and node.name != "__init__"
                    self._on_device[node] = own or slots.handles_device(node)
                if self._on_device[node]:
                    return True
        return False

    def _in_use(self, node: ast.Constant) -> bool:
        """Whether a string is an argument or an item, and no statement of its own, key or message."""
        parent = self._outermost(node, (ast.Tuple, ast.List, ast.IfExp, ast.BinOp, ast.keyword))
        return isinstance(parent, (ast.Call, ast.Assign, ast.Return)) and not (
            isinstance(parent, ast.Call) and getattr(parent.func, "id", "") == "print"
        )

    def _in_environment(self, node: ast.Constant) -> bool:
        parent = self._outermost(node, ())
        if isinstance(parent, ast.Subscript):
            return is_environment(parent.value)
        if isinstance(parent, ast.Compare):
            return any(is_environment(side) for side in parent.comparators)
        if isinstance(parent, ast.Call) and isinstance(parent.func, (ast.Attribute, ast.Name)):
            name = parent.func.attr if isinstance(parent.func, ast.Attribute) else parent.func.id
            return name in ("getenv", "putenv", "unsetenv") or is_environment(parent.func)
        if isinstance(parent, ast.Dict):
            outer = self._outermost(parent, (ast.Dict,))
            return (isinstance(outer, ast.keyword) and outer.arg == "env") or (
                isinstance(outer, ast.Call) and is_environment(outer.func)
            )
        return False

    # -- a place -------------------------------------------------------------------------------------

    def _source(self, node: ast.AST) -> str:
        """An expression's own text, on one line."""
        if any(isinstance(parent, ast.JoinedStr) for parent, _ in self._around(node)):
            return ast.unparse(node)  # the positions in an f-string are its own before Python 3.12
        line, column, end_line, end_column = self._span(node)
        rows = self.lines[line - 1 : end_line]
        rows[-1] = rows[-1][: end_column - 1]
        rows[0] = rows[0][column - 1 :]
        text = " ".join(" ".join(rows).split())
        return text if len(text) <= 60 else text[:57] + "…"

    def _add(self, rule: str, node: ast.AST, scope: Scope, what: str = "", state: str = "", reason: str = "") -> None:
        known = RULES[rule]
        what = what or self._source(node)
        if not state and known.follows:
            state, reason = ALLOWED, known.follows
        if state != ROUTED and known.by_condition and self._by_condition(node, scope):
            state, reason = ROUTED, _BY_CONDITION
        if state != ROUTED and known.by_condition and self._in_accelerator_call(node, scope):
            state, reason = ROUTED, _THROUGH
        if known.any_device and self.path in untrusted.READERS:
            state, reason = ROUTED, _READER
        if not known.any_device and self.path.startswith(ACCELERATOR_FOLDER):
            state, reason = ROUTED, _IN_ACCELERATOR
        at = next((parent for parent, _ in self._around(node) if isinstance(parent, ast.JoinedStr)), node)
        line, column, end_line, end_column = self._span(at)
        place = Place(
            rule, self.path, line, column, end_line, end_column, scope.path, "", what, state or UNPORTED, reason
        )
        before = self.found.setdefault((line, rule), place)
        worst = max(before, place, key=lambda one: WORST[one.state])
        self.found[line, rule] = replace(before, state=worst.state, reason=worst.reason)
        whats = self._whats.setdefault((line, rule), [])
        if what not in whats:
            whats.append(what)

    def _span(self, node: ast.AST) -> tuple[int, int, int, int]:
        """Where a node is; ast counts columns in bytes of UTF-8, everybody else in characters."""
        line, end_line = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)

        def column(number: int, offset: int) -> int:
            return len(self.lines[number - 1].encode()[:offset].decode(errors="replace")) + 1

        begin, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", 0)
        return line, column(line, begin), end_line, column(end_line, end)


def _outside(node: ast.AST) -> list[ast.AST]:
    """The children of a function or class that belong to the scope around it: decorators, defaults, bases."""
    if isinstance(node, FUNCTIONS):
        return [*node.decorator_list, node.args]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    return []


def _family(tree: ast.Module) -> tuple[dict[ast.AST, list[ast.AST]], dict[ast.AST, ast.AST]]:
    """Each node's children, in their order, and each child's parent.

    What has no fields (``ast.Load()``, ``ast.Add()``, ``ast.Pass()``) is left out: it is one object for the whole
    file, and says nothing about a device.
    """
    children: dict[ast.AST, list[ast.AST]] = {}
    parents: dict[ast.AST, ast.AST] = {}
    left: list[ast.AST] = [tree]
    for node in left:  # which grows meanwhile
        own: list[ast.AST] = []
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                own += [item for item in value if isinstance(item, ast.AST) and item._fields]
            elif isinstance(value, ast.AST) and value._fields:
                own.append(value)
        children[node] = own
        parents.update(dict.fromkeys(own, node))
        left += own
    return children, parents


def _coder(text: str, lines: Sequence[str], wanted: Iterable[int]) -> Callable[[int], str]:
    """Gives a line by its number, of those that are wanted: without its comment, blanks made single."""
    comments: dict[int, int] = {}
    if any("#" in lines[number - 1] for number in wanted):  # else there is no comment to find
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        comments = {token.start[0]: token.start[1] for token in tokens if token.type == tokenize.COMMENT}
    return lambda number: " ".join(lines[number - 1][: comments.get(number)].split())
