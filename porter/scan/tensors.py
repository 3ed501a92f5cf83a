"""What torch's own names mean on a tensor, a list or its options, and when a tensor goes from one side to the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from porter.scan.conditions import Unknown
from porter.scan.cpp import Node, text
from porter.scan.kernels import Statements
from porter.scan.values import (
    KINDS,
    Argument,
    Choice,
    Const,
    Items,
    Logic,
    Number,
    Options,
    Tensor,
    choice,
    compared,
    is_dtype,
    is_place,
    origins,
    truth,
)

NUMERIC = {"toDouble", "toFloat", "toInt", "toLong", "toBool", "to", "int64_t", "int", "float", "double", "expect_int"}
PRESERVING = {"view", "reshape", "unsqueeze", "flatten", "unsafe_view", "squeeze"}
MOVING = {
    "transpose", "t", "permute", "expand", "expand_as", "narrow", "slice", "select", "as_strided", "diagonal", "unfold",
    "movedim", "swapaxes", "index", "unbind",
}  # fmt: skip
DIRECT = {
    "dim": "dim", "ndimension": "dim", "numel": "numel", "scalar_type": "dtype", "dtype": "dtype",
    "device": "place", "is_contiguous": "contiguous", "is_non_overlapping_and_dense": "",
}  # fmt: skip
ITSELF = {
    "value", "operator->", "toTensor", "detach", "alias", "value_or", "data", "get", "data_ptr", "mutable_data_ptr",
    "const_data_ptr", "unsafeGetTensorImpl",
}  # fmt: skip
FRESH = {"clone", "new_empty", "new_zeros", "new_full", "new_ones"}


class Tensors(Statements):
    """Methods of values; the expressions around them are the subclass's (expressions.py)."""

    def kept(self, container: Node | None, value: Any) -> None:
        raise NotImplementedError

    def of_torch(self, node: Node, name: str, template: str, values: list[Any]) -> Any:
        raise NotImplementedError

    # -- tensors ---------------------------------------------------------------------------------------------------
    def method(self, node: Node, target: Node, arguments: list[Node]) -> Any:
        subject_node = target.child_by_field_name("argument")
        subject = self.evaluate(subject_node)
        field = text(target.child_by_field_name("field"))
        name = field.split("<")[0].strip()
        if name in ("push_back", "emplace_back", "insert", "emplace", "append", "assign", "set", "resize", "reserve"):
            values = [self.evaluate(each) for each in arguments]
            for value in values if name not in ("resize", "reserve") else []:
                if isinstance(subject, Const) and subject_node is not None and name == "emplace":
                    self.frame.names[text(subject_node)] = value
                else:
                    self.kept(subject_node, value)
            return Const(None)
        if isinstance(subject, Choice):
            options = []
            for under, each in subject.options:
                self.path.append(under)
                if self.cases():
                    options.append((under, self.of_value(node, each, name, arguments)))
                self.path.cut(len(self.path) - 1)
            return choice(options)
        return self.of_value(node, subject, name, arguments)

    def of_value(self, node: Node, subject: Any, name: str, arguments: list[Node]) -> Any:
        if isinstance(subject, Tensor):
            handler = getattr(self, "of_tensor_" + name, None)
            return (handler or self.of_tensor)(node, subject, *((arguments,) if handler else (name, arguments)))
        values = [self.evaluate(each) for each in arguments]
        if isinstance(subject, Options):
            return self.options(subject, name, values)
        if name in ("has_value", "defined"):
            return Logic(subject.value is not None if isinstance(subject, Const) else truth(subject, text(node)))
        if name == "value_or":
            return values[0] if isinstance(subject, Const) and subject.value is None else subject
        if name in ("value", "type", "get", "scalarType") or name in NUMERIC:
            return replace(subject, optional=False) if isinstance(subject, Argument) else subject
        found = self.of_list(node, subject, name) if isinstance(subject, (Argument, Items)) else None
        if isinstance(subject, (Number, Const)):
            found = self.of_number(node, subject, name)
        return self.generic_values([subject, *values]) if found is None else found

    def of_list(self, node: Node, subject: Any, name: str) -> Any:
        """A method of a list argument or of a known list; None where it is not one of those that matter."""
        if isinstance(subject, Items):
            return Const(len(subject.values)) if name == "size" else None
        if subject.kind not in ("list", "tensors"):
            return None
        length = Number(subject.argument, "length")
        if name == "size":
            return length
        if name == "empty":
            return Logic(compared(length, "==", Const(0), text(node), ()))
        if name in ("front", "back", "at"):
            return self.part(subject, 0)
        return Tensor(subject.of) if name in ("begin", "end", "data", "vec", "slice") else None

    def of_number(self, node: Node, subject: Any, name: str) -> Any:
        """A method of a device, a dtype or a scalar; None where it is not one of those that matter."""
        if name in ("is_cpu", "is_privateuseone"):
            kind = "cpu" if name == "is_cpu" else self.rules.device
            return Logic(compared(subject, "==", Const(kind), text(node), ()))
        if name in ("isIntegral", "isFloatingPoint", "isComplex", "isBoolean"):
            return Logic(Unknown(text(node)))
        return None

    def of_tensor(self, node: Node, subject: Tensor, name: str, arguments: list[Node]) -> Any:
        if name in DIRECT and not arguments:
            value = getattr(subject, DIRECT[name], None)
            known = subject.argument is not None or subject.base is not None
            return Tensor(subject.of if known else frozenset()) if value is None else value
        values = [self.evaluate(each) for each in arguments]
        if name in ("defined", "has_value"):
            return self.defined(node, subject)
        found = self.asked(node, subject, name)
        if found is not None:
            return found
        if name in ("sizes", "sym_sizes"):
            return Tensor(subject.of, dim=subject.dim, numel=subject.numel)
        if name in ("size", "strides", "stride", "nbytes", "storage_offset"):
            return subject.dim if name == "size" and not arguments and subject.dim is not None else Tensor(subject.of)
        if name in ITSELF:
            return replace(subject, optional=False, uid=subject.uid)
        if name in FRESH:
            return self.made(subject.place, subject)
        if name in PRESERVING:
            return replace(self.made(subject.place, subject), dim=None)
        if name in MOVING:
            return Tensor(subject.of, place=subject.place, dtype=subject.dtype)
        return replace(self.generic_values([subject, *values]), called=False)

    @staticmethod
    def defined(node: Node, subject: Tensor) -> Any:
        if subject.argument is None or subject.element:
            return Const(True) if subject.place is not None else Logic(Unknown(text(node)))
        if not subject.optional:
            return Const(True)
        return Logic(compared(Number(subject.argument, "value"), "!=", Const(None), text(node), ()))

    def asked(self, node: Node, subject: Tensor, name: str) -> Any:
        """A question about a tensor's device, dtype or members; None where it is another one or nothing is known."""
        if name in ("is_cpu", "is_privateuseone") and subject.place is not None:
            return self.of_number(node, subject.place, name)
        if name in ("is_floating_point", "is_complex") and subject.dtype is not None:
            kind = "isFloatingType" if name == "is_floating_point" else "isComplexType"
            return self.of_torch(node, kind, "", [subject.dtype])
        if name in ("back", "front", "at"):
            return subject.items
        return Options(subject.place, subject.dtype) if name == "options" else None

    def of_tensor_contiguous(self, node: Node, subject: Tensor, arguments: list[Node]) -> Any:
        return replace(self.made(subject.place, subject), contiguous=Const(True), items=subject.items)

    def of_tensor_cpu(self, node: Node, subject: Tensor, arguments: list[Node]) -> Any:
        return self.moved(node, subject, Const("cpu"), None)

    def of_tensor_item(self, node: Node, subject: Tensor, arguments: list[Node]) -> Any:
        if not self.on_host(subject) and subject.place is not None:
            self.copied("down", subject, node)
        return Tensor(subject.of)

    def of_tensor_to(self, node: Node, subject: Tensor, arguments: list[Node]) -> Any:
        values = [self.evaluate(each) for each in arguments]
        place, dtype = None, None
        for each, said in zip(values, map(text, arguments)):
            if isinstance(each, Options):
                place, dtype = each.place or place, each.dtype or dtype
            elif isinstance(each, Tensor) and each.place is not None and not each.called:
                place, dtype = each.place, each.dtype
            elif isinstance(each, Const) and each.value in ("cpu", self.rules.device):
                place = each
            elif isinstance(each, Const) and isinstance(each.value, str):
                dtype = each if each.value in KINDS.values() else dtype
                place = Const("cpu") if "cpu" in each.value else place
            elif is_dtype(each):
                dtype = each
            elif not isinstance(each, Const) and is_place(each, ("cpu", self.rules.device)):
                place = each
            elif "evice" in said:
                place = Const(self.rules.device)
        return self.moved(node, subject, place, dtype)

    def of_tensor_copy_(self, node: Node, subject: Tensor, arguments: list[Node]) -> Any:
        source = self.evaluate(arguments[0]) if arguments else None
        for each in arguments[1:]:
            self.evaluate(each)
        if isinstance(source, Tensor) and source.place is not None and subject.place is not None:
            if self.on_host(source) and not self.on_host(subject):
                self.copied("up", subject, node)
            elif self.on_host(subject) and not self.on_host(source):
                self.copied("down", source, node)
        return subject

    def moved(self, node: Node, subject: Tensor, place: Any, dtype: Any) -> Tensor:
        """The tensor on place: a copy where it was on the other side."""
        host = place == Const("cpu")
        out = replace(self.made(place or subject.place, subject), items=None)
        if dtype is not None:
            out = replace(out, dtype=dtype)
            if isinstance(dtype, Const) and subject.argument is not None and not subject.element:
                self.found.casts.append((self.place(node), dtype.value, self.cases()))
        if place is None or (subject.place is None and not host):
            return out
        if host and not self.on_host(subject):
            self.copied("down", subject, node)
        elif not host and self.on_host(subject):
            self.copied("up", out, node)
        return out

    def on_host(self, one: Tensor) -> bool:
        if one.place == Const("cpu"):
            return True
        if isinstance(one.place, Number):
            here = compared(one.place, "!=", Const("cpu"), "", ())
            self.path.append(here)
            never = not self.cases()
            self.path.cut(len(self.path) - 1)
            return never
        return False

    @staticmethod
    def made(place: Any, like: Tensor) -> Tensor:
        """A new tensor of the shape, dtype and order of like."""
        base = like.base if like.argument is None else like.argument
        facts = {"dtype": like.dtype, "dim": like.dim, "numel": like.numel, "contiguous": like.contiguous}
        return replace(Tensor(like.of, place=place, base=base), **facts)

    def factory(self, values: list[Any]) -> Tensor:
        place: Any = Const("cpu")
        dtype = None
        for each in values:
            if isinstance(each, Options):
                place, dtype = each.place or place, each.dtype or dtype
            elif is_place(each, ("cpu", self.rules.device)):
                place = each
            elif is_dtype(each):
                dtype = each
        first = values[0] if values else None
        dim = first.dim if isinstance(first, Tensor) else Const(len(first.values)) if isinstance(first, Items) else None
        found = frozenset().union(*map(origins, values)) if values else frozenset()
        return Tensor(found, place=place, dtype=dtype, dim=dim, contiguous=Const(True))

    @staticmethod
    def options(one: Options, name: str, values: list[Any]) -> Any:
        if name in ("dtype", "device") and not values:
            found = one.dtype if name == "dtype" else one.place
            return Tensor() if found is None else found
        for each in values:
            if isinstance(each, Options):
                one = each
            elif is_dtype(each):
                one = replace(one, dtype=each)
            elif is_place(each, ("cpu", each.value if isinstance(each, Const) else "")):
                one = replace(one, place=each)
            elif name in ("device", "TensorOptions") and each.place if isinstance(each, Tensor) else False:
                one = replace(one, place=each.place)
        return one

    def generic(self, node: Node, arguments: list[Node]) -> Tensor:
        return self.generic_values([self.evaluate(each) for each in arguments])

    def generic_values(self, values: list[Any]) -> Tensor:
        """What a function that is not in the source returns: a tensor where it was given some, on their side."""
        place = None
        flat = [each for value in values for each in self.flat(value)]
        for each in flat:
            if isinstance(each, Tensor) and each.place is not None and (place is None or each.place == Const("cpu")):
                place = each.place
        found = frozenset().union(*map(origins, values)) if values else frozenset()
        return Tensor(found, place=place, called=True)

    @staticmethod
    def flat(value: Any) -> list[Any]:
        if isinstance(value, Items):
            return [each for part in value.values for each in Tensors.flat(part)]
        if isinstance(value, Choice):
            return [each for _, part in value.options for each in Tensors.flat(part)]
        return [value]
