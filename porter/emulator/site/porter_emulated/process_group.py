"""The vendor's process group, cncl or sccl, over gloo: the host's view of device memory is what travels."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Callable, List, Optional

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from porter_emulated import Device


def register(device: Device) -> None:
    """Make the vendor's backend known to torch.distributed, if torch was built with it and the card has one."""
    name: Optional[str] = device.profile.data["process_group"]["backend"]
    if not name or not dist.is_available() or hasattr(dist.Backend, name.upper()):
        return
    group = _group_class(device, name)

    def create(store: Any, rank: int, size: int, timeout: timedelta) -> Any:
        return group(store, rank, size, timeout)

    dist.Backend.register_backend(name, create, devices=[device.profile.type])


def _done(result: Any) -> Any:
    future: Any = torch.futures.Future()
    future.set_result(result)
    return torch._C._distributed_c10d._create_work_from_future(future)


def _group_class(device: Device, name: str) -> Any:
    view: Callable[[torch.Tensor], torch.Tensor] = device.native.host_alias

    def views(tensors: List[torch.Tensor]) -> List[torch.Tensor]:
        for tensor in tensors:
            if tensor.device.type != device.profile.type:
                raise RuntimeError(f"{name} takes tensors of {device.profile.type} only, this one is on {tensor.device}")
        return [view(tensor) for tensor in tensors]

    class Group(dist.ProcessGroup):
        """Runs each collective with gloo, at once, in place."""

        def __init__(self, store: Any, rank: int, size: int, timeout: timedelta) -> None:
            super().__init__(rank, size)
            self.gloo = dist.ProcessGroupGloo(store, rank, size, timeout)

        def getBackendName(self) -> str:  # noqa: N802 torch's name
            return name

        def allreduce(self, tensors: Any, opts: Any = None) -> Any:
            self.gloo.allreduce(views(tensors), opts or dist.AllreduceOptions()).wait()
            return _done(tensors)

        def allreduce_coalesced(self, tensors: Any, opts: Any = None) -> Any:
            options = dist.AllreduceOptions()
            if opts is not None:
                options.reduceOp = opts.reduceOp
            for tensor in tensors:
                self.allreduce([tensor], options)
            return _done(tensors)

        def broadcast(self, tensors: Any, opts: Any) -> Any:
            self.gloo.broadcast(views(tensors), opts).wait()
            return _done(tensors)

        def reduce(self, tensors: Any, opts: Any) -> Any:
            self.gloo.reduce(views(tensors), opts).wait()
            return _done(tensors)

        def allgather(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
            self.gloo.allgather([views(each) for each in outputs], views(inputs)).wait()
            return _done(outputs)

        def _allgather_base(self, output: Any, given: Any, opts: Any = None) -> Any:
            parts = list(view(output).view(self.size(), -1).unbind(0))
            self.gloo.allgather([parts], [view(given).reshape(-1)]).wait()
            return _done(output)

        def allgather_into_tensor_coalesced(self, outputs: Any, inputs: Any, opts: Any = None) -> Any:
            for output, given in zip(outputs, inputs):
                self._allgather_base(output, given)
            return _done(outputs)

        def gather(self, outputs: Any, inputs: Any, opts: Any) -> Any:
            self.gloo.gather([views(each) for each in outputs], views(inputs), opts).wait()
            return _done(outputs)

        def scatter(self, outputs: Any, inputs: Any, opts: Any) -> Any:
            self.gloo.scatter(views(outputs), [views(each) for each in inputs], opts).wait()
            return _done(outputs)

        def send(self, tensors: Any, to: int, tag: int = 0) -> Any:
            self.gloo.send(views(tensors), to, tag).wait()
            return _done(tensors)

        def recv(self, tensors: Any, source: int, tag: int = 0) -> Any:
            self.gloo.recv(views(tensors), source, tag).wait()
            return _done(tensors)

        def barrier(self, opts: Any = None) -> Any:
            self.gloo.barrier().wait()
            return _done([])

    return Group
