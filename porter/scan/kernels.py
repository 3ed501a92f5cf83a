"""Reads a kernel's body along every path: what it demands of its arguments, and its trips through the host.

Statements are followed in order with the condition under which each is reached; a helper of the same sources is read
where it is called, a few levels deep.  A loop is read as if its body ran; environment variables count as not set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from porter.scan.conditions import Conjunction, Expression, Path, Unknown, both, either, merged, negated, unknowns, ways
from porter.scan.cpp import Code, Function, Node, line, text, walk
from porter.scan.values import (
    Argument,
    Choice,
    Const,
    Lambda,
    Tensor,
    argument_value,
    choice,
    compared,
    member,
    origins,
    truth,
)

DEPTH = 7
STEPS = 60_000  # a kernel that takes more statements than these to follow counts as not read


class TooLong(Exception):
    """A kernel, with what it calls, is longer than STEPS."""


@dataclass(frozen=True)
class Rules:
    """What a vendor's sources mean, where torch's own names do not say it.

    device is the device's type; host_names are functions that copy: name -> (index of the target, index of the source,
    "up" or "down"); passed are helpers that only print or compare, or whose condition is known: name -> its value;
    prefixes are put before one and the same constant by the vendor's libraries; quiet matches checks that look at what
    the vendor's library returned; outside matches files whose functions are not followed (allocators, logs);
    contiguous are helpers that return a contiguous tensor.
    """

    device: str
    copies: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    passed: dict[str, Any] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    quiet: str = r"_SUCCESS\b|== *0 *$|^ret\b"
    outside: str = r"$^"
    contiguous: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copy:
    """One copy between host and device: direction "down" or "up", which tensor, where, in which cases."""

    direction: str
    tensor: Tensor
    place: str
    cases: tuple[Conjunction, ...]
    each: int | None
    repeated: bool


@dataclass(frozen=True)
class KernelCheck:
    """A check that raises: in each of cases (its path, and what is violated) at place."""

    place: str
    cases: tuple[tuple[Conjunction, Conjunction], ...]


@dataclass
class Frame:
    function: Function
    names: dict[str, Any]
    types: dict[str, str]
    base: int
    returns: list[tuple[Expression, Any]] = field(default_factory=list)


@dataclass
class Findings:
    checks: list[KernelCheck] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    neighbours: list[tuple[str, int, tuple[Conjunction, ...]]] = field(default_factory=list)
    replaced: list[tuple[str, int, tuple[Conjunction, ...]]] = field(default_factory=list)
    casts: list[tuple[str, str, tuple[Conjunction, ...]]] = field(default_factory=list)
    results: list[tuple[Expression, Any]] = field(default_factory=list)


class Statements:
    """Follows statements; what an expression means is the subclass's (expressions.py)."""

    def __init__(self, code: Code, rules: Rules) -> None:
        self.code = code
        self.rules = rules
        self.path = Path()
        self.facts: list[Any] = []
        self.frames: list[Frame] = []
        self.loops: list[tuple[int | None, bool]] = []
        self.found = Findings()
        self.steps = 0

    # -- the kernel ------------------------------------------------------------------------------------------------
    def kernel(self, function: Function) -> Findings:
        names = {each.name: argument_value(at, each.type) for at, each in enumerate(function.parameters)}
        types = {each.name: each.type for each in function.parameters}
        frame = Frame(function, names, types, 0)
        self.frames.append(frame)
        self.body(function.body)
        self.found.results = frame.returns
        return self.found

    @property
    def frame(self) -> Frame:
        return self.frames[-1]

    def evaluate(self, node: Node | None) -> Any:
        raise NotImplementedError

    def place(self, node: Node) -> str:
        return f"{self.frame.function.path}:{line(node)}"

    def cases(self, extra: Expression = True) -> tuple[Conjunction, ...]:
        return self.path.ways(tuple(self.facts), extra)

    # -- statements ------------------------------------------------------------------------------------------------
    def body(self, node: Node | None) -> bool:
        """Follows a statement or a block; False where nothing after it is reached."""
        if node is None:
            return True
        self.steps += 1
        if self.steps > STEPS:
            raise TooLong
        handler = getattr(self, "do_" + node.type, None)
        if handler is not None:
            return bool(handler(node))
        if node.type == "compound_statement" or node.type in ("ERROR", "labeled_statement", "declaration_list"):
            return self.block(node)
        if node.type == "expression_statement":
            self.evaluate(next(iter(node.named_children), None))
        elif node.type == "throw_statement":
            self.violated(node, True)
            return False
        return True

    def block(self, node: Node) -> bool:
        return all(self.body(child) for child in node.named_children)

    def do_declaration(self, node: Node) -> bool:
        kind = text(node.child_by_field_name("type"))
        for child in node.children_by_field_name("declarator"):
            self.declared(child, kind)
        return True

    def declared(self, node: Node, kind: str) -> None:
        value: Any = Tensor()
        target = node
        if node.type == "init_declarator":
            value = self.evaluate(node.child_by_field_name("value"))
            target = node.child_by_field_name("declarator")
        elif kind in ("Tensor", "at::Tensor", "torch::Tensor"):
            value = Const(None)
        elif node.type in ("function_declarator",):
            return
        while target is not None and target.type in ("reference_declarator", "pointer_declarator", "array_declarator"):
            target = target.child_by_field_name("declarator") or next(iter(target.named_children), None)
        if target is None:
            return
        if target.type == "structured_binding_declarator":
            for at, each in enumerate(target.named_children):
                self.frame.names[text(each)] = self.part(value, at)
            return
        name = text(target)
        self.frame.names[name] = value
        self.frame.types[name] = "local"

    def part(self, value: Any, at: int) -> Any:
        """Member number at of a tuple, a pair or a list."""
        if isinstance(value, Choice):
            return choice([(under, self.part(each, at)) for under, each in value.options])
        items = getattr(value, "values", None)
        if isinstance(items, tuple) and at < len(items):
            return items[at]
        if isinstance(value, Argument):
            return member(value)
        if isinstance(value, Tensor):
            return Tensor(value.of, place=value.place, items=value.items)
        return Tensor(origins(value))

    def do_if_statement(self, node: Node) -> bool:
        clause = node.child_by_field_name("condition")
        inner = clause.child_by_field_name("value") if clause is not None else None
        initial = clause.child_by_field_name("initializer") if clause is not None else None
        if initial is not None:
            self.body(initial)
        condition = truth(self.evaluate(inner), text(inner))
        otherwise = node.child_by_field_name("alternative")
        if otherwise is not None and otherwise.type == "else_clause":
            otherwise = next(iter(otherwise.named_children), None)
        return self.branches([(condition, node.child_by_field_name("consequence")), (negated(condition), otherwise)])

    def branches(self, arms: list[tuple[Expression, Node | None]]) -> bool:
        """Follows each arm under its condition, then goes on with what the arms that come through leave behind."""
        before, facts = dict(self.frame.names), list(self.facts)
        depth = len(self.path)
        ends: list[tuple[Expression, dict[str, Any], list[Any], bool]] = []
        for condition, arm in arms:
            self.frame.names, self.facts = dict(before), list(facts)
            self.path.append(condition)
            if not self.cases():
                self.path.cut(depth)
                continue
            through = self.body(arm)
            if through:
                joint: Expression = True
                for one in self.path[depth:]:
                    joint = both(joint, one)
                ends.append((joint, self.frame.names, self.facts, len(self.path) > depth + 1))
            self.path.cut(depth)
        if not ends:
            self.frame.names, self.facts = before, facts
            return False
        self.frame.names = self.joined([(condition, names) for condition, names, _, _ in ends])
        self.facts = facts if len(ends) > 1 else ends[0][2]
        if len(ends) < len(arms) or any(partly for _, _, _, partly in ends):
            joint = False
            for condition, _, _, _ in ends:
                joint = either(joint, condition)
            if joint is not True:
                self.path.append(joint)
        return True

    @staticmethod
    def joined(ends: list[tuple[Expression, dict[str, Any]]]) -> dict[str, Any]:
        if len(ends) == 1:
            return ends[0][1]
        out = {}
        for name in ends[0][1]:
            values = [(condition, names[name]) for condition, names in ends if name in names]
            out[name] = values[0][1] if all(each is values[0][1] for _, each in values) else choice(values)
        return out

    def do_switch_statement(self, node: Node) -> bool:
        subject = node.child_by_field_name("condition")
        value = self.evaluate(subject)
        arms: list[tuple[Expression, Node | None]] = []
        rest: Expression = True
        for case in node.child_by_field_name("body").named_children:
            if case.type != "case_statement":
                continue
            label = case.child_by_field_name("value")
            condition: Expression = True
            if label is not None:
                said = f"{text(subject)} == {text(label)}"
                condition = compared(value, "==", self.evaluate(label), said, self.rules.prefixes)
            arms.append((both(rest, condition), case))
            rest = both(rest, negated(condition))
        if rest is not False:
            arms.append((rest, None))
        return self.branches(arms)

    def do_case_statement(self, node: Node) -> bool:
        label = node.child_by_field_name("value")
        for child in node.named_children:
            if label is not None and child.id == label.id:
                continue
            if child.type == "break_statement":
                return True
            if not self.body(child):
                return False
        return True

    def do_return_statement(self, node: Node) -> bool:
        value = self.evaluate(next(iter(node.named_children), None))
        joint: Expression = True
        for one in self.path[self.frame.base :]:
            joint = both(joint, one)
        self.frame.returns.append((joint, value))
        return False

    def do_break_statement(self, node: Node) -> bool:
        return False

    do_continue_statement = do_break_statement

    # -- loops -----------------------------------------------------------------------------------------------------
    def do_for_range_loop(self, node: Node) -> bool:
        over = self.evaluate(node.child_by_field_name("right"))
        target = node.child_by_field_name("declarator")
        while target is not None and target.type in ("reference_declarator", "pointer_declarator"):
            target = next(iter(target.named_children), None)
        self.frame.names[text(target)] = self.part(over, 0) if not isinstance(over, Tensor) else Tensor(over.of)
        each = over.argument if isinstance(over, Argument) and over.kind == "tensors" else None
        if isinstance(over, Tensor) and over.items is not None:
            self.frame.names[text(target)] = over.items
            each = over.items.argument if isinstance(over.items, Tensor) and over.items.element else None
        return self.loop(node, node.child_by_field_name("body"), each)

    def do_for_statement(self, node: Node) -> bool:
        initial = node.child_by_field_name("initializer")
        if initial is not None:
            self.body(initial) if initial.type == "declaration" else self.evaluate(initial)
        bound = node.child_by_field_name("condition")
        each = None
        for name in self.identifiers(bound):
            value = self.frame.names.get(name)
            if isinstance(value, Argument) and value.kind == "tensors":
                each = value.argument
        return self.loop(node, node.child_by_field_name("body"), each)

    def do_while_statement(self, node: Node) -> bool:
        return self.loop(node, node.child_by_field_name("body"), None)

    do_do_statement = do_while_statement

    def do_try_statement(self, node: Node) -> bool:
        return self.body(node.child_by_field_name("body"))

    def loop(self, node: Node, body: Node | None, each: int | None) -> bool:
        once = node.type == "do_statement" and re.fullmatch(
            r"\(\s*(0|false)\s*\)", text(node.child_by_field_name("condition"))
        )
        if once:  # `do { ... } while (0)` of a macro
            return self.body(body)
        before, facts, depth = dict(self.frame.names), list(self.facts), len(self.path)
        returned = len(self.frame.returns)
        for name in self.assigned(node):
            if name in before:
                self.frame.names[name] = Tensor(origins(before[name]))
        for name in self.identifiers(node.child_by_field_name("update")):
            self.frame.names[name] = Tensor()
        self.loops.append((each, each is None))
        self.body(body)
        self.loops.pop()
        left = [condition for condition, _ in self.frame.returns[returned:]]
        self.path.cut(depth)
        after = self.frame.names
        self.facts = facts
        self.frame.names = {}
        for name, value in before.items():
            new = after.get(name, value)
            if new is value or (isinstance(new, Tensor) and isinstance(value, Tensor) and new.items is not None):
                self.frame.names[name] = new
            else:
                self.frame.names[name] = Tensor(origins(value) | origins(new))
        if left:
            self.path.append(Unknown(f"{text(node)[:60]}...: returned", False))
        return True

    @staticmethod
    def identifiers(node: Node | None) -> list[str]:
        return [] if node is None else [text(each) for each in walk(node, "identifier")]

    @classmethod
    def assigned(cls, node: Node) -> set[str]:
        """Names of plain variables that the loop assigns."""
        out: set[str] = set()
        for each in walk(node, "assignment_expression", "update_expression"):
            left = each.child_by_field_name("left")
            if each.type == "update_expression":
                out.update(cls.identifiers(each))
            elif left is not None and left.type == "identifier":
                out.add(text(left))
        return out

    # -- checks ----------------------------------------------------------------------------------------------------
    def checked(self, node: Node, condition: Expression, said: str) -> None:
        """TORCH_CHECK(condition): raises where it does not hold, so that it holds from here on."""
        self.violated(node, negated(condition), said)
        if not isinstance(condition, (tuple, bool)) and not isinstance(condition, Unknown):
            self.facts.append(condition)
        elif isinstance(condition, tuple):
            found = ways(condition, tuple(self.facts))
            if len(found) == 1:
                self.facts += [each for each in found[0] if not isinstance(each, Unknown)]

    def violated(self, node: Node, condition: Expression, said: str = "") -> None:
        paths = self.cases()
        if not paths:
            return
        if condition is True and len(self.path) > self.frame.base:  # TORCH_CHECK(false): the innermost condition is it
            last = self.path[-1]
            self.path.cut(len(self.path) - 1)
            paths, condition = self.cases(), last
            self.path.append(last)
        wrong = ways(condition, tuple(self.facts))
        clear = merged([way for way in wrong if not any(isinstance(each, Unknown) for each in way)])
        vague = any(isinstance(each, Unknown) for way in wrong for each in way)
        # remembered ways may hold the same text out of another kernel: which arguments it is of, this expression says
        if vague and any(each.of for each in unknowns(condition)) and not re.search(self.rules.quiet, said):
            self.found.unread.append((self.place(node), said or text(node)))
        pairs = tuple((path, way) for path in paths for way in clear)
        if pairs:
            self.found.checks.append(KernelCheck(self.place(node), pairs))

    # -- copies ----------------------------------------------------------------------------------------------------
    def copied(self, direction: str, tensor: Any, node: Node) -> None:
        if isinstance(tensor, Tensor):
            cases = self.cases()
            each, repeated = None, False
            for over, unclear in self.loops:
                if over is not None and not (tensor.element and tensor.argument == over):
                    each = over
                repeated = repeated or unclear
            if cases:
                self.found.copies.append(Copy(direction, tensor, self.place(node), cases, each, repeated))

    # -- calls of the same sources -----------------------------------------------------------------------------------
    def resolve(self, name: str, owner: str, given: int) -> Function | None:
        found = [
            each
            for each in self.code.functions.get(name, [])
            if sum(not part.default for part in each.parameters) <= given <= len(each.parameters)
            and not re.search(self.rules.outside, each.path)
        ]
        if owner:
            found = [each for each in found if each.owner == owner] or [each for each in found if not each.owner]
        near = [each for each in found if each.path == self.frame.function.path]
        return (near or found or [None])[0]  # type: ignore[list-item]

    def inlined(self, function: Function, values: list[Any]) -> Any:
        active = [frame.function for frame in self.frames]
        if len(active) > DEPTH or function in active:
            return Tensor(frozenset().union(*map(origins, values)) if values else frozenset(), called=True)
        names = {part.name: value for part, value in zip(function.parameters, values)}
        names.update({part.name: Tensor() for part in function.parameters[len(values) :]})
        types = {part.name: part.type for part in function.parameters}
        depth, loops = len(self.path), self.loops
        self.frames.append(Frame(function, names, types, depth))
        self.body(function.body)
        frame = self.frames.pop()
        self.loops = loops
        self.path.cut(depth)
        return choice(frame.returns) if frame.returns else Const(None)

    def run(self, one: Lambda) -> Any:
        """A lambda is read where it stands, with the names around it."""
        body = one.node.child_by_field_name("body")
        depth = len(self.path)
        before = self.frame.returns
        base, self.frame.base, self.frame.returns = self.frame.base, depth, []
        self.body(body)
        returns, self.frame.returns, self.frame.base = self.frame.returns, before, base
        self.path.cut(depth)
        return choice(returns) if returns else Const(None)
