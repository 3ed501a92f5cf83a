"""What an expression of a kernel means: torch's own names for tensors, lists, dtypes and devices."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Callable

from porter.scan.conditions import Atom, both, either, negated
from porter.scan.cpp import Node, string, text
from porter.scan.tensors import Tensors
from porter.scan.values import (
    COMPLEX,
    FLOATING,
    INTEGRAL,
    KINDS,
    TYPES,
    Argument,
    Choice,
    Const,
    Items,
    Lambda,
    Logic,
    Name,
    Number,
    Options,
    Tensor,
    choice,
    compared,
    is_dtype,
    is_one_of,
    origins,
    truth,
)

FACTORIES = {
    "empty", "zeros", "ones", "full", "tensor", "scalar_tensor", "arange", "from_blob", "empty_strided", "rand",
    "randn", "eye", "linspace", "range",
}  # fmt: skip
LIKE = {"empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like"}
SAME = {
    "contiguous_", "detach", "alias", "value_or_else", "borrow_from_optional_tensor", "move", "forward", "get", "data",
    "typeMetaToScalarType", "scalarTypeToTypeMeta", "toTypeMeta", "expect_contiguous", "unwrap", "make_optional",
    "optional", "ref", "MaybeOwned", "c10_value", "getIntrusivePtr", "unsafeGetTensorImpl", "toList", "vec",
    "static_cast",
    "Device", "Scalar", "IntArrayRef",
}  # fmt: skip
CHECKS = {"TORCH_CHECK", "TORCH_INTERNAL_ASSERT", "AT_ASSERT", "TORCH_CHECK_INDEX", "TORCH_CHECK_NOT_IMPLEMENTED",
          "TORCH_CHECK_VALUE", "TORCH_CHECK_TYPE", "TORCH_INTERNAL_ASSERT_DEBUG_ONLY", "TORCH_CHECK_WITH"}  # fmt: skip
DISPATCHES = {
    "FLOATING_TYPES": FLOATING[:2],
    "FLOATING_TYPES_AND_HALF": FLOATING[:3],
    "INTEGRAL_TYPES": INTEGRAL,
    "ALL_TYPES": (*INTEGRAL, *FLOATING[:2]),
    "COMPLEX_TYPES": COMPLEX[:2],
    "FLOATING_AND_COMPLEX_TYPES": (*FLOATING[:2], *COMPLEX[:2]),
    "ALL_TYPES_AND_COMPLEX": (*INTEGRAL, *FLOATING[:2], *COMPLEX[:2]),
}  # ATen/Dispatch.h
NEIGHBOURS = re.compile(r"^(\w+)\s*\[\s*(\w+)\s*\]\s*\+\s*1\s*==\s*(\w+)\s*\[\s*(\w+)\s*\+\s*1\s*\]$")


class Expressions(Tensors):
    """Evaluates expressions; the values are those of values.py."""

    def evaluate(self, node: Node | None) -> Any:
        if node is None:
            return Const(None)
        handler: Callable[[Node], Any] | None = getattr(self, "ev_" + node.type, None)
        if handler is not None:
            return handler(node)
        found: frozenset[int] = frozenset()
        for child in node.named_children:
            found |= origins(self.evaluate(child))
        return Tensor(found)

    # -- leaves ----------------------------------------------------------------------------------------------------
    def ev_number_literal(self, node: Node) -> Any:
        said = text(node).rstrip("uUlLfF") if not text(node).lower().startswith("0x") else text(node)
        try:
            return Const(int(said, 0))
        except ValueError:
            try:
                return Const(float(said))
            except ValueError:
                return Tensor()

    def ev_true(self, node: Node) -> Any:
        return Const(True)

    def ev_false(self, node: Node) -> Any:
        return Const(False)

    def ev_null(self, node: Node) -> Any:
        return Const(None)

    ev_nullptr = ev_null

    def ev_string_literal(self, node: Node) -> Any:
        return Const(string(node))

    ev_concatenated_string = ev_string_literal

    def ev_lambda_expression(self, node: Node) -> Any:
        return Lambda(node, self.frame.function.path)

    def ev_identifier(self, node: Node) -> Any:
        name = text(node)
        return self.frame.names[name] if name in self.frame.names else self.named(name)

    def ev_qualified_identifier(self, node: Node) -> Any:
        return self.named(text(node))

    def named(self, full: str) -> Any:
        name = full.rsplit("::", 1)[-1].strip()
        if name == "nullopt":
            return Const(None)
        if "DeviceType" in full or name in ("kPrivateUse1", "kCPU", "kCUDA"):
            ours = self.rules.device
            return Const(
                {"CPU": "cpu", "kCPU": "cpu", "PrivateUse1": ours, "kPrivateUse1": ours}.get(name, name.lower())
            )
        kind = name[1:] if name.startswith("k") else name
        if kind in KINDS and (name.startswith("k") or "ScalarType" in full):
            return Const(KINDS[kind])
        if re.fullmatch(r"[A-Z][A-Z0-9_]+", name):
            return Name(name)
        return Tensor()

    # -- operators -------------------------------------------------------------------------------------------------
    def ev_parenthesized_expression(self, node: Node) -> Any:
        value: Any = Const(None)
        for child in node.named_children:
            value = self.evaluate(child)
        return value

    ev_condition_clause = ev_parenthesized_expression
    ev_comma_expression = ev_parenthesized_expression
    ev_argument_list = ev_parenthesized_expression

    def ev_cast_expression(self, node: Node) -> Any:
        return self.evaluate(node.child_by_field_name("value"))

    def ev_pointer_expression(self, node: Node) -> Any:
        return self.evaluate(node.child_by_field_name("argument"))

    def ev_unary_expression(self, node: Node) -> Any:
        value = self.evaluate(node.child_by_field_name("argument"))
        sign = text(node.child_by_field_name("operator"))
        if sign in ("!", "not"):
            return Logic(negated(truth(value, text(node.child_by_field_name("argument")))))
        if sign == "-" and isinstance(value, Const) and isinstance(value.value, (int, float)):
            return Const(-value.value)
        return Tensor(origins(value))

    def ev_binary_expression(self, node: Node) -> Any:
        sign = text(node.child_by_field_name("operator"))
        left_node, right_node = node.child_by_field_name("left"), node.child_by_field_name("right")
        left = self.evaluate(left_node)
        if sign in ("&&", "and", "||", "or"):
            one = truth(left, text(left_node))
            conjunct = sign in ("&&", "and")
            self.path.append(one if conjunct else negated(one))  # the right side is reached only then
            other = truth(self.evaluate(right_node), text(right_node)) if self.cases() else conjunct
            self.path.cut(len(self.path) - 1)
            return Logic(both(one, other) if conjunct else either(one, other))
        right = self.evaluate(right_node)
        if sign in ("==", "!=", "<", ">", "<=", ">="):
            return Logic(compared(left, sign, right, text(node), self.rules.prefixes))
        if sign in ("|", "&") and isinstance(left, Logic) and isinstance(right, Logic):
            return Logic((either if sign == "|" else both)(left.expression, right.expression))
        return self.calculated(left, sign, right)

    @staticmethod
    def calculated(left: Any, sign: str, right: Any) -> Any:
        if isinstance(right, Const) and type(right.value) is int and sign in "+-":
            step = right.value if sign == "+" else -right.value
            if isinstance(left, Number):
                return replace(left, offset=left.offset + step)
            if isinstance(left, Const) and type(left.value) is int:
                return Const(left.value + step)
        tensors = [each for each in (left, right) if isinstance(each, Tensor) and each.place is not None]
        place = tensors[0].place if tensors else None
        return Tensor(origins(left) | origins(right), place=place)

    def ev_conditional_expression(self, node: Node) -> Any:
        said = node.child_by_field_name("condition")
        condition = truth(self.evaluate(said), text(said))
        options = []
        for under, part in ((condition, "consequence"), (negated(condition), "alternative")):
            self.path.append(under)
            if self.cases():
                options.append((under, self.evaluate(node.child_by_field_name(part))))
            self.path.cut(len(self.path) - 1)
        return choice(options)

    def ev_assignment_expression(self, node: Node) -> Any:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        value = self.evaluate(right)
        sign = text(node.child_by_field_name("operator"))
        if left is None:
            return value
        name = text(left)
        if left.type == "identifier" and name in self.frame.names:
            old = self.frame.names[name]
            if sign != "=":
                value = Tensor(origins(old) | origins(value))
            kind = self.frame.types.get(name, "")
            mutable = "&" in kind and "const" not in kind
            position = old.argument if mutable and isinstance(old, Tensor) else None
            same = isinstance(value, Tensor) and value.argument == position
            if position is not None and not same and self.cases():
                self.found.replaced.append((self.place(node), position, self.cases()))
            if isinstance(value, Const) and is_dtype(value) and is_dtype(old) and not isinstance(old, Const):
                self.found.casts.append((self.place(node), value.value, self.cases()))
            self.frame.names[name] = value
        elif left.type == "call_expression" and "tie" in text(left.child_by_field_name("function")):
            for at, each in enumerate(left.child_by_field_name("arguments").named_children):
                if text(each) in self.frame.names:
                    self.frame.names[text(each)] = self.part(value, at)
        elif left.type == "subscript_expression":
            self.kept(left.child_by_field_name("argument"), value)
        return value

    def kept(self, container: Node | None, value: Any) -> None:
        """A value goes into a local container: what is later taken out of it comes from there."""
        name = text(container)
        old = self.frame.names.get(name)
        items: Any
        if isinstance(old, Choice):
            inside = [each.items for _, each in old.options if isinstance(each, Tensor) and each.items is not None]
            old = Tensor(origins(old), items=inside[0] if inside else None)
        if isinstance(old, Tensor) and old.argument is None:
            items = value if isinstance(value, (Tensor, Choice)) else old.items
            place = value.place if isinstance(value, Tensor) and value.place is not None else old.place
            self.frame.names[name] = replace(old, of=old.of | origins(value), items=items, place=place)
        elif isinstance(old, (Items, Const)):
            items = value if isinstance(value, (Tensor, Choice)) else None
            place = value.place if isinstance(value, Tensor) else None
            self.frame.names[name] = Tensor(origins(old) | origins(value), items=items, place=place)

    def ev_subscript_expression(self, node: Node) -> Any:
        value = self.evaluate(node.child_by_field_name("argument"))
        listed = node.child_by_field_name("indices")
        inner = [self.evaluate(each) for each in (listed.named_children if listed is not None else [])]
        if isinstance(value, Tensor) and value.items is not None:
            return value.items
        if isinstance(value, (Argument, Items)) and inner:
            at = inner[0].value if isinstance(inner[0], Const) and isinstance(inner[0].value, int) else 0
            return self.part(value, at) if isinstance(value, Argument) or isinstance(inner[0], Const) else Tensor()
        if isinstance(value, Tensor):
            return Tensor(value.of, place=value.place)
        return Tensor(origins(value))

    def ev_initializer_list(self, node: Node) -> Any:
        return Items(tuple(self.evaluate(each) for each in node.named_children))

    def ev_compound_literal_expression(self, node: Node) -> Any:
        value = self.evaluate(node.child_by_field_name("value"))
        return value.values[0] if isinstance(value, Items) and len(value.values) == 1 else value

    def ev_field_expression(self, node: Node) -> Any:
        return Tensor(origins(self.evaluate(node.child_by_field_name("argument"))))

    # -- calls -----------------------------------------------------------------------------------------------------
    def ev_call_expression(self, node: Node) -> Any:
        target = node.child_by_field_name("function")
        listed = node.child_by_field_name("arguments")
        arguments = [each for each in listed.named_children if each.type != "comment"] if listed is not None else []
        if target is None:
            return Tensor()
        if target.type == "field_expression":
            return self.method(node, target, arguments)
        if target.type == "primitive_type" or target.type == "template_type":
            return self.evaluate(arguments[0]) if len(arguments) == 1 else self.generic(node, arguments)
        if target.type == "lambda_expression":
            return self.run(self.ev_lambda_expression(target))
        full = text(target)
        template = re.search(r"<(.*)>$", full)
        parts = re.sub(r"<.*>$", "", full).replace(" ", "").split("::")
        name, owner = parts[-1], parts[-2] if len(parts) > 1 else ""
        return self.called(node, name, owner, template.group(1) if template else "", arguments)

    def called(self, node: Node, name: str, owner: str, template: str, arguments: list[Node]) -> Any:
        if name in CHECKS:
            return self.check(node, arguments)
        if name == "AT_ERROR":
            self.violated(node, True, text(node))
            return Const(None)
        if name in self.rules.copies:
            return self.transfer(node, name, arguments)
        if name.startswith(("porter_switch", "porter_case", "AT_DISPATCH")):
            return self.dispatched(node, name, arguments)
        values = [self.evaluate(each) for each in arguments]
        local = self.frame.names.get(name)
        if isinstance(local, Lambda) and not owner:
            return self.run(local)
        if name in self.rules.passed:
            return Const(self.rules.passed[name])
        if name in self.rules.contiguous and values:
            one = values[0]
            return self.of_tensor_contiguous(node, one, []) if isinstance(one, Tensor) else one
        return self.of_sources(node, name, owner, template, values)

    def of_sources(self, node: Node, name: str, owner: str, template: str, values: list[Any]) -> Any:
        """A function of the same sources is read where it is called; another is torch's or the vendor's library's."""
        if name == "Make" and owner == "TypeMeta":
            return Const(TYPES.get(template.strip(), "other"))
        if name == "getenv":
            return Const(None)
        if owner and name == "apply":  # torch::autograd::Function
            function = self.resolve("forward", owner, len(values) + 1)
            if function is not None:
                return self.inlined(function, [Tensor(), *values])
        function = self.resolve(name, owner if owner[:1].isupper() else "", len(values))
        if function is not None and owner not in ("torch", "native"):
            return self.inlined(function, values)
        return self.of_torch(node, name, template, values)

    def of_torch(self, node: Node, name: str, template: str, values: list[Any]) -> Any:
        if name in ("isFloatingType", "isIntegralType", "isComplexType", "isFloatingPoint"):
            return self.of_kind(node, name, values)
        if name in ("make_tuple", "make_pair", "tuple", "pair", "tie", "make_array"):
            return Items(tuple(values))
        if name == "get" and len(values) == 1:
            return self.part(values[0], int(template) if template.strip().isdigit() else 0)
        if name in ("Tensor", "optional") and not values:
            return Const(None)
        if name in SAME and values:
            return values[0]
        if name in ("TensorOptions", "device", "dtype"):
            return self.options(Options(None, None), name, values)
        if name in LIKE and values and isinstance(values[0], Tensor):
            given = next((each for each in values[1:] if isinstance(each, Options)), Options(None, None))
            out = self.made(given.place or values[0].place, values[0])
            return replace(out, dtype=given.dtype or out.dtype, base=None)
        if name == "dtype_or_default" and values and isinstance(values[0], Argument):
            missing = Atom(values[0].argument, "value", "==", None)
            given_one = (missing.negated(), Number(values[0].argument, "value"))
            return choice([(missing, Const("float32")), given_one])
        return self.factory(values) if name in FACTORIES else self.generic_values(values)

    @staticmethod
    def of_kind(node: Node, name: str, values: list[Any]) -> Any:
        """c10::isIntegralType(dtype, includeBool) and its like."""
        among = {"isIntegralType": INTEGRAL, "isComplexType": COMPLEX}.get(name, FLOATING)
        if name == "isIntegralType" and len(values) > 1 and values[1] == Const(True):
            among = (*INTEGRAL, "bool")
        return Logic(is_one_of(values[0], among, text(node)))

    def check(self, node: Node, arguments: list[Node]) -> Any:
        if not arguments:
            return Const(None)
        said = text(arguments[0])
        match = NEIGHBOURS.match(said)
        if match and match.group(1) == match.group(3) and match.group(2) == match.group(4):
            lists = [each for each in sorted(origins(self.frame.names.get(match.group(1)))) if self.is_list(each)]
            for each in lists:
                self.found.neighbours.append((self.place(node), each, self.cases()))
            if lists:
                return Const(None)
        self.checked(node, truth(self.evaluate(arguments[0]), said), said)
        return Const(None)

    def is_list(self, position: int) -> bool:
        kinds = [each.type for each in self.frames[0].function.parameters]
        return position < len(kinds) and "ArrayRef" in kinds[position] and "Tensor" not in kinds[position]

    def transfer(self, node: Node, name: str, arguments: list[Node]) -> Any:
        values = [self.evaluate(each) for each in arguments]
        target, source, direction = self.rules.copies[name]
        chosen = target if direction == "up" else source
        if chosen < len(values):
            self.copied(direction, values[chosen], node)
        return Const(None)

    def dispatched(self, node: Node, name: str, arguments: list[Node]) -> Any:
        """AT_DISPATCH_SWITCH(dtype, CASE(...), ...) of torch: refuses every dtype that has no case."""
        if name.startswith("AT_DISPATCH"):
            return self.dispatched_by_torch(node, name, arguments)
        values = [self.evaluate(arguments[0])] if arguments else []
        kinds: list[str] = []
        for each in arguments[1:]:
            value = self.evaluate(each)
            if isinstance(value, Lambda):
                self.run(value)
            elif name == "porter_switch" and isinstance(value, Items) and isinstance(value.values[0], Const):
                kinds.append(str(value.values[0].value))
        if name == "porter_case":
            return Items(tuple(values))
        if name == "porter_switch" and values:
            self.checked(node, is_one_of(values[0], kinds, text(node)[:80]), text(arguments[0]))
        return Const(None)

    def dispatched_by_torch(self, node: Node, name: str, arguments: list[Node]) -> Any:
        """AT_DISPATCH_ALL_TYPES_AND2(kind, kind, dtype, name, lambda) and its like."""
        match = re.fullmatch(r"AT_DISPATCH_([A-Z_]+?)(?:_AND(\d?))?", name)
        body = next((each for each in reversed(arguments) if each.type == "lambda_expression"), None)
        kinds = DISPATCHES.get(match.group(1)) if match else None
        more = 0 if match is None or match.group(2) is None else int(match.group(2) or 1)
        if kinds is not None and len(arguments) > more + 1:
            extra = [self.evaluate(each) for each in arguments[:more]]
            dtype, said = self.evaluate(arguments[more]), text(arguments[more])
            kinds = (*kinds, *(str(each.value) for each in extra if isinstance(each, Const)))
            self.checked(node, is_one_of(dtype, kinds, said), said)
        if body is not None:
            self.run(self.ev_lambda_expression(body))
        return Const(None)
