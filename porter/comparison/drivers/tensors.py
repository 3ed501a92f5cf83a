"""Tensors in a file, one after the other: an .npz that is written as it comes and read in any order.

A file of a stranger's is data: nothing in it is unpickled, and no array is made larger than its part of the file.
bfloat16, which NumPy has not, is kept as float32; a reader that needs to know is told beside the tensor.
"""

import json
import zipfile

import numpy as np
import torch
from numpy.lib import format as npy

META = "meta.json"
MOST_META = 64 << 20  # bytes
_PLAIN = "biufc"  # kinds of NumPy's that hold numbers, nothing else


class BadFile(Exception):
    """A file that is none of these; its text is one line."""


def host(tensor):
    """A tensor's values in host memory, in one piece."""
    tensor = tensor.detach()
    if tensor.device.type != "cpu":
        tensor = tensor.cpu()
    return tensor.contiguous()


def tensors_in(value):
    """The tensors in what a module or an operator takes or returns."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for each in value for t in tensors_in(each)] if isinstance(value, (list, tuple)) else []


def as_array(tensor):
    """The same as NumPy has it."""
    tensor = host(tensor)
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


class Writer:
    """Writes tensors under names, and in the end what is to be said of them."""

    def __init__(self, path):
        self.file = zipfile.ZipFile(str(path), "w", zipfile.ZIP_STORED, allowZip64=True)

    def put(self, name, tensor):
        array = as_array(tensor)
        info = zipfile.ZipInfo(name + ".npy")  # without a date: the same step gives the same bytes
        with self.file.open(info, "w", force_zip64=True) as member:
            npy.write_array(member, array, allow_pickle=False)

    def close(self, meta):
        self.file.writestr(zipfile.ZipInfo(META), json.dumps(meta))
        self.file.close()


class Reader:
    """Reads them; ``meta`` is what was said of them.

    Raises:
        BadFile: it is none, or was cut.
    """

    def __init__(self, path):
        self.path = str(path)
        try:
            self.file = zipfile.ZipFile(self.path)
            info = self.file.getinfo(META)
            if info.file_size > MOST_META:
                raise BadFile("%s: its description is too long" % self.path)
            self.meta = json.loads(self.file.read(META).decode())
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise BadFile("%s is no record of porter compare: %s" % (self.path, error)) from error
        if not isinstance(self.meta, dict):
            raise BadFile("%s is no record of porter compare" % self.path)
        self.names = set(self.file.namelist())

    def has(self, name):
        return name + ".npy" in self.names

    def array(self, name):
        try:
            info = self.file.getinfo(name + ".npy")
            with self.file.open(info) as member:
                version = npy.read_magic(member)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, fortran, dtype = read(member)
                count = 1
                for size in shape:
                    count *= size
                if dtype.kind not in _PLAIN or info.compress_type != zipfile.ZIP_STORED:
                    raise BadFile("%s: %s holds no plain numbers" % (self.path, name))
                if count * dtype.itemsize > info.file_size:
                    raise BadFile("%s: %s is shorter than it says" % (self.path, name))
                data = np.frombuffer(bytearray(member.read(count * dtype.itemsize)), dtype)
            return data.reshape(shape[::-1]).T if fortran else data.reshape(shape)
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise BadFile("%s: %s cannot be read: %s" % (self.path, name, error)) from error

    def get(self, name):
        array = self.array(name)
        return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))  # which makes 0 dimensions 1

    def close(self):
        self.file.close()
