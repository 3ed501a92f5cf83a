"""Everything that a training step makes, in the order in which it is made.

A :class:`Watch` on a model calls back with each module's inputs and outputs, what it writes into its buffers, and each
gradient that the autograd graph's nodes make.  A thing has a name that is the same on every device and in every
version of torch: the module's path, which call of it, and which of its things.
"""

import functools
import re

from tensors import tensors_in

LOSS = "loss"  # stands for the path of what is computed after the model
STEP = "optimizer"
HANDED = "gradient of its output"  # what the loss hands to the model, whose path is empty


class Thing:
    """What a tensor of a step is.

    Attributes:
        phase: ``forward``, ``backward`` or ``step``.
        path: the module's, such as ``model.2.cv1.conv``; empty for the model itself.
        what: ``output``, ``input``, a buffer's name, ``gradient of weight``.
        node: of the backward pass, the node of the graph.
        parameter: the name of the parameter that it is, or is the gradient of; empty for all else.
        name: distinguishes it from all others of its step.
    """

    def __init__(self, phase, path, what, node="", number=0, parameter=""):
        self.phase, self.path, self.what, self.node, self.parameter = phase, path, what, node, parameter
        self.name = "/".join([phase, path or "-", "%d" % number, kind(node) or what])


@functools.lru_cache(maxsize=1000)
def kind(node):
    """What a node of the graph computes: its name, without what differs between devices and versions of torch."""
    found = re.sub(r"Backward\d*$", "", node).lower()
    return "convolution" if "conv" in found else "norm" if "norm" in found else found


def name_of(node):
    """A node's name: torch's own have a class of that name, which is asked in no time; others are made from C++'s."""
    name = type(node).__name__
    return node.name() if name == "CppFunction" else name


class Watch:
    """Watches one step of a model.

    Args:
        model: the model.
        seen: called with a :class:`Thing` and its tensor, as it is made, on whatever device.  If it returns a tensor,
            the step goes on from that one's values instead.
        entered: called with the phase and path of what begins to run, and None when that ends.
    """

    def __init__(self, model, seen, entered=None):
        self.seen, self.entered = seen, entered
        self.parameters = {id(p): name for name, p in model.named_parameters()}
        self.calls, self.known, self.owned, self.numbers = {}, {}, {}, {}
        self.stack, self.handles = [], []
        for path, module in model.named_modules():
            buffers = [name for name, _ in module.named_buffers(recurse=False)] if module.training else []
            self.handles.append(module.register_forward_pre_hook(self._before(path)))
            self.handles.append(module.register_forward_hook(self._after(path, buffers)))

    def close(self):
        for handle in self.handles:
            handle.remove()
        self.handles, self.owned, self.known = [], {}, {}

    def begin(self, phase, path):
        """Something of no module of the model begins."""
        self.stack.append(path)
        if self.entered:
            self.entered(phase, path)

    def end(self, phase):
        self.stack.pop()
        if self.entered:
            self.entered(phase, self.stack[-1] if self.stack else None)

    def computed(self, path, value):
        """What was computed after the model, and so belongs to no module."""
        for number, tensor in enumerate(tensors_in(value)):
            self.show(Thing("forward", path, "output %d" % number), tensor)
        self._own(path, tensors_in(value))

    def show(self, thing, tensor):
        """Let a tensor be seen that stays where it is."""
        other = self.seen(thing, tensor)
        if other is not None:
            tensor.data.copy_(other)  # what the graph has saved of it is this memory

    def handed(self, gradients):
        """The gradients of what the model made, as they go into it."""
        others = [self.seen(Thing("backward", "", HANDED, number=n), each) for n, each in enumerate(gradients)]
        return [each if other is None else other for each, other in zip(gradients, others)]

    # -- forward -------------------------------------------------------------------------------------

    def _is_new(self, tensor):
        """Whether these values were not seen yet: a sequence's output is that of its last module."""
        mark = (tensor._version, tensor.shape, tensor.stride(), tensor.storage_offset())
        key = (tensor.device, tensor.data_ptr())
        if self.known.get(key, (None,))[0] == mark:
            return False
        self.known[key] = (mark, tensor.detach())  # which keeps the place from being another tensor's
        return True

    def _before(self, path):
        def hook(module, inputs):
            call = self.calls[path] = self.calls.get(path, -1) + 1
            around = self.stack[-1] if self.stack else ""
            for number, tensor in enumerate(tensors_in(inputs)):
                if self._is_new(tensor):  # the module around it made it, or it is the model's own input
                    what = "input %d of %s" % (number, path) if path else "input %d" % number
                    self.show(Thing("forward", around, what, number=call), tensor)
            self._own(around, tensors_in(inputs))
            self.begin("forward", path)

        return hook

    def _after(self, path, buffers):
        def hook(module, inputs, output):
            self.end("forward")
            call = self.calls[path]
            for name in buffers:
                tensor = getattr(module, name)
                if tensor.dtype.is_floating_point:
                    self.show(Thing("forward", path, name, number=call), tensor)
            found = tensors_in(output)
            for number, tensor in enumerate(found):
                if self._is_new(tensor):
                    self.show(Thing("forward", path, "output %d" % number if number else "output", number=call), tensor)
            self._own(path, found)

        return hook

    # -- backward ------------------------------------------------------------------------------------

    def _own(self, path, found):
        """Give every node that made these tensors and is nobody's yet to the module."""
        nodes = [t.grad_fn for t in found if t.grad_fn is not None]
        while nodes:
            node = nodes.pop()
            if node in self.owned or hasattr(node, "variable"):  # AccumulateGrad
                continue
            self.owned[node] = path
            node.register_hook(self._made(node, path))
            if self.entered and hasattr(node, "register_prehook"):
                node.register_prehook(self._begins(path))
            nodes += [following for following, _ in node.next_functions if following is not None]

    def _begins(self, path):
        def hook(gradients):
            self.entered("backward", path)

        return hook

    def _made(self, node, path):
        said = name_of(node)
        first = self.numbers.get((path, kind(said)), 0)
        self.numbers[path, kind(said)] = first + len(node.next_functions)
        owners = []
        for following, _ in node.next_functions:
            if following is not None and kind(name_of(following)) == "tocopy":  # autocast's, of a weight
                following = following.next_functions[0][0]
            owners.append(self.parameters.get(id(getattr(following, "variable", None)), ""))

        def hook(gradients, _):
            others = {}
            for number, gradient in enumerate(gradients):
                if gradient is not None:
                    what, of = "gradient", ""
                    if number < len(owners):
                        of = owners[number]
                        what = "gradient of " + (of.rpartition(".")[2] or "its input")
                    thing = Thing("backward", path, what, node=said, number=first + number, parameter=of)
                    other = self.seen(thing, gradient)
                    if other is not None:
                        others[number] = other
            if self.entered:
                self.entered("backward", None)
            return tuple(others.get(n, each) for n, each in enumerate(gradients)) if others else None

        return hook
