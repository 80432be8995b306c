"""A device that is far away: every number of the CPU, and none of it at hand.

No machine of the tests has an accelerator. This one says that it is `cuda:0`, computes on the CPU,
and behaves as an accelerator does where that is easily forgotten:

* tensors of two devices do not mix, but for numbers;
* what makes the host wait is noted in `Far.waits`: a number read (`item`, `float`, `if tensor`), a
  choice by a mask, a copy home, and a copy there that is not pinned or not `non_blocking`;
* `numpy()` and `np.asarray` are refused.

`with FarDevice() as far:` makes it; `far.waits` lists what waited, each with the line of labelgap
that did it, and `far.home` counts the numbers that were copied home.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

PLACE = torch.device("cuda", 0)
_CPU = torch.device("cpu")
_READ = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal"}
_READ |= {"unique_consecutive", "is_nonzero", "nonzero_numpy"}
_BY_MASK = {"index", "index_put", "index_put_", "_index_put_impl_"}
_COPIES = {"_to_copy", "copy_"}
SOURCE = str(Path(__file__).parents[1] / "src" / "labelgap")


class Far(Tensor):
    """A tensor that is far away. `near` holds its numbers."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> "Far":
        # To torch's C++ it is a tensor without storage: autograd would ask the driver otherwise.
        made: Far = Tensor._make_wrapper_subclass(
            cls, near.shape, strides=near.stride(), storage_offset=near.storage_offset(),
            dtype=near.dtype, layout=near.layout, device="meta",
        )  # fmt: skip
        made.near = near
        return made

    device = property(lambda self: PLACE)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Backward runs in threads to which the mode does not reach.
        return _run(func, args, kwargs or {}, _NOW[-1])

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_listed(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_listed(index), value)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")

    def data_ptr(self) -> int:
        return self.near.data_ptr()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copy = Far(self.near.clone())
        made = torch.nn.Parameter(copy) if isinstance(self, torch.nn.Parameter) else copy
        made.requires_grad_(self.requires_grad)
        memo[id(self)] = made
        return made


def _listed(index: Any) -> Any:
    """Rows by a list are rows of the host; C++ would make them without numbers, as it sees far."""
    if isinstance(index, list):
        return torch.tensor(index, dtype=None if index else torch.long)
    return tuple(_listed(i) for i in index) if isinstance(index, tuple) else index


class FarDevice(TorchDispatchMode):
    """While it is entered, `cuda` is the far device. waits: what made the host wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.home = 0
        self.pinned: dict[int, Tensor] = {}

    def __enter__(self) -> "FarDevice":
        self._undo = ExitStack()
        self._undo.enter_context(_pretending())
        _NOW.append(self)
        super().__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        _NOW.pop()
        self._undo.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, self)

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """What waits inside, alone."""
        kept, self.waits = self.waits, []
        try:
            yield self.waits
        finally:
            self.waits = kept

    def wait(self, what: str) -> None:
        frame: FrameType | None = sys._getframe()
        while frame and not frame.f_code.co_filename.startswith(SOURCE):
            frame = frame.f_back
        where = frame and f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        self.waits.append(f"{what} at {where or 'a test'}")


_NOW: list[FarDevice] = []


def _moved(make: Any) -> Any:
    """torch makes tensors of numbers without asking a mode: here they are made near and moved."""

    def made(data: Any, *, device: Any = None, **kwargs: Any) -> Tensor:
        tensor: Tensor = make(data, **kwargs)
        return tensor if device is None else tensor.to(device)

    return made


@contextmanager
def _pretending() -> Iterator[None]:
    """As if torch found the device: no driver is asked for, no kernel of cuDNN chosen."""
    with ExitStack() as stack:
        for name, value in {
            "torch.cuda._lazy_init": lambda: None,
            "torch.cuda.synchronize": lambda device=None: _NOW[-1].wait("synchronise"),
            "torch.cuda.mem_get_info": lambda device=None: (80 << 30, 80 << 30),
            "torch.tensor": _moved(torch.tensor),
            "torch.as_tensor": _moved(torch.as_tensor),
        }.items():
            stack.enter_context(mock.patch(name, value))
        # A parameter that moves becomes another tensor, instead of being given other data.
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, before)
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield


def _is_far(device: Any) -> bool:
    return device is not None and torch.device(device).type in ("cuda", "meta")


def _run(func: Any, args: Any, kwargs: dict[str, Any], at: FarDevice) -> Any:
    name = func.overloadpacket.__name__
    if name in ("is_pinned", "_pin_memory"):
        return _pin(name, args[0], at)
    flat, spec = pytree.tree_flatten((args, kwargs))
    tensors = [a for a in flat if isinstance(a, Tensor)]
    far = [t for t in tensors if isinstance(t, Far)]
    device = kwargs.get("device")
    _notice(name, args, kwargs, tensors, far, at)
    near = [
        a.near if isinstance(a, Far) else _CPU if isinstance(a, torch.device) else a for a in flat
    ]
    near_args, near_kwargs = pytree.tree_unflatten(near, spec)
    out = func(*near_args, **near_kwargs)
    if name == "copy_":
        return args[0]
    if not (_is_far(device) or (far and device is None)):
        return out
    known = {id(n): f for n, f in zip(near, flat, strict=True) if isinstance(f, Far)}
    return pytree.tree_map(lambda t: known.get(id(t), Far(t)) if isinstance(t, Tensor) else t, out)


def _notice(
    name: str, args: Any, kwargs: Any, tensors: list[Tensor], far: list[Far], at: FarDevice
) -> None:
    """Note what waits, and refuse what does not mix."""
    if name in _COPIES:
        source = args[1] if name == "copy_" else args[0]
        target = isinstance(args[0], Far) if name == "copy_" else _is_far(kwargs.get("device"))
        if kwargs.get("device") is None and name == "_to_copy":
            return  # another type, where it is
        if isinstance(source, Far) == target or (source.ndim == 0 and target):
            return
        queued = bool(kwargs.get("non_blocking")) or (name == "copy_" and args[2:] == (True,))
        here = args[0] if name == "copy_" and not target else source
        at.home += 0 if target else source.numel()
        if not target and name == "_to_copy":
            at.wait("a copy home")
        elif not (queued and _pinned(here, at)):
            at.wait("a copy home" if not target else "a copy there")
        return
    if not far:
        return
    if name in _READ:
        at.wait(name)
    indexes = [i for i in args[1] if i is not None] if name in _BY_MASK else []
    if any(i.dtype in (torch.bool, torch.uint8) for i in indexes):
        at.wait(f"{name} by a mask")
    if any(not isinstance(i, Far) for i in indexes):
        at.wait(f"{name} by rows of the host")
    apart = [
        t for t in tensors if not isinstance(t, Far) and t.ndim and not any(t is i for i in indexes)
    ]
    if apart:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, cuda:0.")


def _pinned(tensor: Tensor, at: FarDevice) -> bool:
    return tensor.untyped_storage().data_ptr() in at.pinned


def _pin(name: str, tensor: Tensor, at: FarDevice) -> Any:
    if name == "is_pinned":
        return not isinstance(tensor, Far) and _pinned(tensor, at)
    copy = tensor.clone()
    at.pinned[copy.untyped_storage().data_ptr()] = copy
    return copy
