"""Reads what a pickle says, without doing any of it.

A pickle is a program. This is no unpickler: it walks over the opcodes and writes down what they describe -
tables, lists, numbers, and tensors as references to their storages. No name is ever looked up, nothing is
called, no object is made; a name outside of the list below ends the reading. Opcodes and their arguments are
those of Python's pickletools.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.refusal import refuse

OPCODES_MOST: Final = 10_000_000  # 50,000 tensors take some 2.5 million, their optimizer as many again
STACK_MOST: Final = 1_000_000  # writers hand over a table's entries by the thousand
MEMO_MOST: Final = 4_000_000
COPIED_MOST: Final = 1_000_000
DEPTH_MOST: Final = 10_000
TEXT_MOST: Final = 2**20
INT_BYTES_MOST: Final = 32

STORAGES: Final[dict[str, str]] = {
    "FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
    "ByteStorage": "U8", "BoolStorage": "BOOL",
}  # fmt: skip
DTYPES: Final[dict[str, str]] = {
    "float32": "F32", "float": "F32", "float64": "F64", "double": "F64", "float16": "F16", "half": "F16",
    "bfloat16": "BF16", "int64": "I64", "long": "I64", "int32": "I32", "int": "I32", "int16": "I16",
    "short": "I16", "int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "bool": "BOOL", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
UNTYPED: Final = "untyped"

_REBUILD: Final = frozenset(
    {
        "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
        "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
        "torch._tensor._rebuild_from_type_v2",
    }
)  # fmt: skip
_TABLES: Final = frozenset({"collections.OrderedDict", "collections.defaultdict", "collections.Counter"})
_KINDS: Final = frozenset(
    {"torch.Size", "torch.device", "torch.nn.parameter.Parameter", "torch.Tensor", "torch._tensor.Tensor"}
)
# What stands beside the weights in people's files. It is noted that something was there, and no more.
_IGNORED: Final = frozenset(
    {
        "argparse.Namespace", "pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.WindowsPath",
        "pathlib.PureWindowsPath", "pathlib._local.PosixPath", "pathlib._local.WindowsPath", "builtins.set",
        "builtins.frozenset", "builtins.dict", "builtins.list", "builtins.tuple", "builtins.int",
        "builtins.float", "builtins.str", "builtins.bool", "builtins.complex", "builtins.bytearray",
        "builtins.slice", "__builtin__.set", "__builtin__.frozenset", "__builtin__.dict", "__builtin__.list",
        "__builtin__.int", "__builtin__.float", "__builtin__.bytearray", "__builtin__.complex",
        "collections.deque", "datetime.datetime", "datetime.date", "datetime.timedelta", "_codecs.encode",
        "numpy.core.multiarray.scalar", "numpy.core.multiarray._reconstruct", "numpy.dtype", "numpy.ndarray",
        "numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct",
        "torch.torch_version.TorchVersion",
        "pytorch_lightning.utilities.parsing.AttributeDict", "lightning_fabric.utilities.data.AttributeDict",
        "lightning.fabric.utilities.data.AttributeDict",
    }
)  # fmt: skip
# Whose objects are a whole model or the state of a training, which only their own code can read.
_WHOLE: Final = (
    "torch.nn.",
    "torch.optim.",
    "torch.jit.",
    "transformers.",
    "torchvision.",
    "timm.",
    "__main__.",
)


@dataclass(frozen=True)
class Name:
    """A global that the pickle asks for; one of the lists above."""

    text: str


@dataclass(frozen=True)
class Storage:
    """Where a tensor's numbers are: `dtype` a safetensors name or UNTYPED, `numel` in its "
    "items (or bytes)."""

    key: str
    dtype: str
    numel: int


@dataclass(frozen=True)
class TensorView:
    """One tensor: items of `dtype` in a storage, from `offset` on, `stride` items apart."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Ignored:
    """A value that is no weight and was not looked at."""

    text: str


class Table(dict[Any, Any]):
    """What a dict or one of its kin would be."""


def read_pickle(data: bytes, member: str) -> Any:
    """What the pickle describes: Table, list, tuple, texts, numbers, TensorView, Ignored.

    Args:
        data: the whole pickle.
        member: the file's name, for sentences.

    Raises:
        NocturneInputError: `pickle.*`, `tensor.dtype`.
    """
    return _Reader(data, member).run()


class _Remembered(str):
    """A text that came back from the memo."""

    __slots__ = ()


class _Reader:
    def __init__(self, data: bytes, member: str) -> None:
        self._data, self._member, self._place = data, shorten(member), 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._marks: list[int] = []
        self._tensors = self._copied = 0

    def run(self) -> Any:
        if self._data[:1] != b"\x80" or self._data[1:2] not in {b"\2", b"\3", b"\4", b"\5"}:
            raise self._malformed()
        steps = 0
        while True:
            steps += 1
            if steps > OPCODES_MOST:
                raise self._limit(f"more than {OPCODES_MOST:,} steps")
            if len(self._stack) > STACK_MOST:
                raise self._limit(f"more than {STACK_MOST:,} values that are put to no use")
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                if len(self._stack) != 1 or self._marks or self._place != len(self._data):
                    raise self._malformed()
                return self._stack[0]
            step = _STEPS.get(code)
            if step is None:
                raise self._forbidden(code)
            try:
                step(self)
            except (IndexError, struct.error, UnicodeDecodeError):
                raise self._malformed() from None

    # ------------------------------------------------------------------ arguments

    def _take(self, count: int) -> bytes:
        piece = self._data[self._place : self._place + count]
        if len(piece) != count:
            raise self._malformed()
        self._place += count
        return piece

    def _number(self, code: str) -> int:
        return int(struct.unpack("<" + code, self._take(struct.calcsize(code)))[0])

    def _line(self) -> str:
        end = self._data.find(b"\n", self._place, self._place + 1000)
        if end < 0:
            raise self._malformed()
        text = self._data[self._place : end].decode("utf-8")
        self._place = end + 1
        return text

    def text(self, width: str) -> None:
        count = self._number(width)
        if count > TEXT_MOST:
            raise self._limit(f"a text of {count:,} bytes")
        # Half a character may stand in a text that nobody needs.
        self.push(self._take(count).decode("utf-8", "replace"))

    def blob(self, width: str) -> None:
        count = self._number(width)
        if count > TEXT_MOST:
            # Not a text or number: perhaps packed numbers of another library. They are not weights to us.
            if count > len(self._data) - self._place:
                raise self._malformed()
            self._place += count
            self.push(Ignored("bytes"))
        else:
            self.push(self._take(count))

    def long(self, width: str) -> None:
        count = self._number(width)
        if count < 0 or count > INT_BYTES_MOST:
            raise self._limit(f"a number of {count:,} bytes")
        self.push(int.from_bytes(self._take(count), "little", signed=True))

    # ------------------------------------------------------------------ the stack

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        floor = self._marks[-1] if self._marks else 0
        if len(self._stack) <= floor:
            raise self._malformed()
        return self._stack.pop()

    def mark(self) -> None:
        if len(self._marks) >= DEPTH_MOST:
            raise self._limit(f"nesting deeper than {DEPTH_MOST:,}")
        self._marks.append(len(self._stack))

    def to_mark(self) -> list[Any]:
        if not self._marks:
            raise self._malformed()
        place = self._marks.pop()
        items = self._stack[place:]
        del self._stack[place:]
        return items

    def put(self, number: int) -> None:
        if len(self._memo) >= MEMO_MOST or number > 2**31:
            raise self._limit(f"more than {MEMO_MOST:,} remembered values")
        self._memo[number] = self._top()

    def memoize(self) -> None:
        self.put(len(self._memo))

    def get(self, number: int) -> None:
        if number not in self._memo:
            raise self._malformed()
        value = self._memo[number]
        self.push(_Remembered(value) if type(value) is str else value)

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def _top(self) -> Any:
        floor = self._marks[-1] if self._marks else 0
        if len(self._stack) <= floor:
            raise self._malformed()
        return self._stack[-1]

    # ------------------------------------------------------------------ tables and lists

    def set_items(self, items: list[Any]) -> None:
        table = self._top()
        if isinstance(table, Ignored):
            return
        if not isinstance(table, Table) or len(items) % 2:
            raise self._confused("sets entries of something that is no table")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not _plain_key(key):
                raise self._confused("has an entry whose name is neither text nor number")
            table[key] = value

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append(self, items: list[Any]) -> None:
        target = self._top()
        if isinstance(target, Ignored):
            return
        if not isinstance(target, list):
            raise self._confused("appends to something that is no list")
        target.extend(items)

    # ------------------------------------------------------------------ names and what is made of them

    def stack_name(self) -> None:
        """As `name`, with both parts from the stack. One that is not allowed and was put together from
        remembered texts is not even named: whoever writes so has something to hide."""
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise self._opcode("STACK_GLOBAL")
        try:
            self.named(module, name)
        except NocturneInputError as error:
            hidden = isinstance(name, _Remembered) or isinstance(module, _Remembered)
            if hidden and error.code == "pickle.global_forbidden":
                raise self._opcode("STACK_GLOBAL") from None
            raise

    def name(self) -> None:
        self.named(self._line(), self._line())

    def named(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        numbers = module == "torch" and (name in DTYPES or name in STORAGES or name == "UntypedStorage")
        if full in {"torch.storage.UntypedStorage", "torch.storage._UntypedStorage"}:
            self.push(Name("torch.UntypedStorage"))
        elif numbers or full in _REBUILD or full in _TABLES or full in _KINDS or full in _IGNORED:
            self.push(Name(full))
        elif module == "torch" and (name.endswith("Storage") or name.startswith(("complex", "q", "float8"))):
            raise refuse(
                "tensor.dtype",
                f"{self._member} holds numbers of the kind {shorten(name)}, which are not read. Convert the "
                "weights to float32 or bfloat16 and save them again.",
            )
        elif full.startswith(_WHOLE):
            raise refuse(
                "pickle.not_state_dict",
                f"{self._member} holds a whole {shorten(full)}, which only its own code could read. It was "
                "not opened. Save the weights alone: torch.save(model.state_dict(), ...), or safetensors.",
                name=shorten(full),
            )
        else:
            raise refuse(
                "pickle.global_forbidden",
                f"{self._member} asks for {shorten(full)}; only tensor types are accepted. It "
                "was not opened. "
                "Save the weights alone as safetensors.",
                name=shorten(full),
            )

    def persistent(self) -> None:
        found = self.pop()
        fits = (
            isinstance(found, tuple) and len(found) == 5 and found[0] == "storage"
            and isinstance(found[1], Name) and isinstance(found[2], str) and _count(found[4])
        )  # fmt: skip
        kind = found[1].text.removeprefix("torch.") if fits else ""
        if kind == "UntypedStorage":
            self.push(Storage(found[2], UNTYPED, found[4]))
        elif kind in STORAGES:
            self.push(Storage(found[2], STORAGES[kind], found[4]))
        else:
            raise self._confused("refers to a storage in a way that PyTorch does not")

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if isinstance(function, Ignored) and isinstance(arguments, tuple):
            self.push(function)
            return
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise self._opcode("REDUCE")
        self.push(self._made(function.text, arguments))

    def new(self) -> None:
        arguments, kind = self.pop(), self.pop()
        if (
            not isinstance(kind, Name)
            or kind.text not in _IGNORED | _TABLES
            or not isinstance(arguments, tuple)
        ):
            raise self._opcode("NEWOBJ")
        self.push(self._made(kind.text, arguments))

    def build(self) -> None:
        """The state of an OrderedDict is what modules say of their versions; nothing needs it."""
        self.pop()
        if not isinstance(self._top(), Table | Ignored | TensorView):
            raise self._opcode("BUILD")

    def _made(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "torch._utils._rebuild_tensor_v2" and len(arguments) in (6, 7):
            return self._tensor(arguments[:4], None)
        if name == "torch._utils._rebuild_tensor_v3" and len(arguments) in (7, 8):
            return self._tensor(arguments[:4], arguments[6])
        if name.startswith("torch._utils._rebuild_parameter") and arguments:
            if isinstance(arguments[0], TensorView):
                return arguments[0]
        elif name == "torch._tensor._rebuild_from_type_v2" and len(arguments) == 4:
            function, inner = arguments[0], arguments[2]
            known = isinstance(function, Name) and function.text in _REBUILD - {name}
            if known and isinstance(inner, tuple):
                return self._made(function.text, inner)
        elif name in _TABLES:
            return self._table(arguments)
        elif name == "torch.Size" and len(arguments) == 1 and isinstance(arguments[0], tuple):
            return arguments[0]
        elif name in _IGNORED or name == "torch.device":
            return Ignored(name)
        raise self._confused(f"calls {shorten(name)} in a way that PyTorch does not")

    def _table(self, arguments: tuple[Any, ...]) -> Table:
        table = Table()
        given = arguments[-1] if arguments else []
        if isinstance(given, Table | list):
            # A few bytes can ask for one more copy of a large remembered table.
            self._copied += len(given)
            if self._copied > COPIED_MOST:
                raise self._limit(f"tables with more than {COPIED_MOST:,} copied entries")
        if isinstance(given, Table):
            table.update(given)
        elif isinstance(given, list):
            for pair in given:
                if not isinstance(pair, tuple | list) or len(pair) != 2 or not _plain_key(pair[0]):
                    raise self._confused("makes a table of something that has no names")
                table[pair[0]] = pair[1]
        return table

    def _tensor(self, arguments: tuple[Any, ...], dtype: Any) -> TensorView:
        storage, offset, shape, stride = arguments
        self._tensors += 1
        if self._tensors > limits.TENSORS:
            raise self._limit(f"more than {limits.TENSORS:,} tensors")
        if not isinstance(storage, Storage):
            raise self._confused("makes a tensor of something that is no storage")
        kind = storage.dtype
        if dtype is not None:
            known = isinstance(dtype, Name) and dtype.text.removeprefix("torch.")
            kind = DTYPES.get(known or "", "")
        if not kind or kind == UNTYPED:
            raise refuse(
                "tensor.dtype", f"{self._member} holds a tensor of a number format that is not read. Convert "
                "the weights to float32 or bfloat16 and save them again.",
            )  # fmt: skip
        sizes = isinstance(shape, tuple) and isinstance(stride, tuple) and len(shape) == len(stride)
        if not sizes or not all(_count(one) for one in (offset, *shape, *stride)):
            raise refuse(
                "tensor.out_of_bounds",
                f"{self._member} describes a tensor whose place, shape or strides are not whole numbers from "
                "0 up. Save the weights again.",
            )
        if len(shape) > limits.DIMENSIONS:
            raise self._limit(f"a tensor of {len(shape):,} dimensions")
        return TensorView(storage, kind, offset, shape, stride)

    # ------------------------------------------------------------------ refusals

    def _malformed(self) -> NocturneInputError:
        return refuse(
            "pickle.malformed",
            f"{self._member} breaks off or is damaged at byte {self._place:,} of "
            f"{len(self._data):,}. It was not "
            "opened. Save or copy the file again.",
            byte=self._place,
        )

    def _limit(self, what: str) -> NocturneInputError:
        return refuse(
            "pickle.limit_exceeded",
            f"{self._member} holds {what}, far more than a model's table of weights needs. It "
            "was not opened. "
            "Save the weights alone as safetensors.",
        )

    def _confused(self, what: str) -> NocturneInputError:
        return refuse(
            "pickle.type_confusion",
            f"{self._member} {what}. It was not opened. Save the weights again with torch.save or as "
            "safetensors.",
        )

    def _forbidden(self, code: int) -> NocturneInputError:
        if code in _NAMES_OF_OTHERS:
            return self._opcode(_NAMES_OF_OTHERS[code])
        self._place -= 1
        return self._malformed()

    def _opcode(self, name: str) -> NocturneInputError:
        return refuse(
            "pickle.opcode_forbidden",
            f"{self._member} uses the pickle step {name}, which tables of weights do not need. It was not "
            "opened. Save the weights with torch.save as it is, or as safetensors.",
            opcode=name,
        )


def _plain_key(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(value) <= 8 and all(_plain(one) for one in value)
    return _plain(value)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool | bytes | Name)


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= limits.ELEMENTS


def _no_frame(reader: _Reader) -> None:
    reader._number("Q")


# Every step that is taken, by its opcode; all others end the reading.
_STEPS: Final[dict[int, Callable[[_Reader], None]]] = {
    0x80: lambda r: None if r._take(1)[0] <= 5 else _raise(r._malformed()),  # PROTO
    0x95: _no_frame,  # FRAME
    0x28: lambda r: r.mark(),
    0x30: lambda r: _drop(r.pop()),  # POP
    0x31: lambda r: _drop(r.to_mark()),  # POP_MARK
    0x32: lambda r: r.push(r._top()),  # DUP
    0x4E: lambda r: r.push(None),
    0x88: lambda r: r.push(True),
    0x89: lambda r: r.push(False),
    0x4A: lambda r: r.push(r._number("i")),
    0x4B: lambda r: r.push(r._number("B")),
    0x4D: lambda r: r.push(r._number("H")),
    0x8A: lambda r: r.long("B"),
    0x8B: lambda r: r.long("i"),
    0x47: lambda r: r.push(struct.unpack(">d", r._take(8))[0]),
    0x58: lambda r: r.text("I"),
    0x8C: lambda r: r.text("B"),
    0x8D: lambda r: r.text("Q"),
    0x42: lambda r: r.blob("I"),
    0x43: lambda r: r.blob("B"),
    0x8E: lambda r: r.blob("Q"),
    0x55: lambda r: r.blob("B"),  # SHORT_BINSTRING, of Python 2
    0x54: lambda r: r.blob("I"),  # BINSTRING
    0x5D: lambda r: r.push([]),
    0x7D: lambda r: r.push(Table()),
    0x29: lambda r: r.push(()),
    0x74: lambda r: r.push(tuple(r.to_mark())),
    0x85: lambda r: r.tuple_of(1),
    0x86: lambda r: r.tuple_of(2),
    0x87: lambda r: r.tuple_of(3),
    0x61: lambda r: _one(r),
    0x65: lambda r: r.append(r.to_mark()),
    0x73: lambda r: r.set_item(),
    0x75: lambda r: r.set_items(r.to_mark()),
    0x71: lambda r: r.put(r._number("B")),
    0x72: lambda r: r.put(r._number("I")),
    0x94: lambda r: r.memoize(),
    0x68: lambda r: r.get(r._number("B")),
    0x6A: lambda r: r.get(r._number("I")),
    0x63: lambda r: r.name(),
    0x93: lambda r: r.stack_name(),
    0x51: lambda r: r.persistent(),
    0x52: lambda r: r.reduce(),
    0x81: lambda r: r.new(),
    0x62: lambda r: r.build(),
}
_NAMES_OF_OTHERS: Final[dict[int, str]] = {
    0x69: "INST", 0x6F: "OBJ", 0x92: "NEWOBJ_EX", 0x82: "EXT1", 0x83: "EXT2",
    0x84: "EXT4", 0x53: "STRING", 0x56: "UNICODE", 0x49: "INT", 0x4C: "LONG", 0x46: "FLOAT", 0x50: "PERSID",
    0x67: "GET", 0x70: "PUT", 0x64: "DICT", 0x6C: "LIST", 0x8F: "EMPTY_SET", 0x90: "ADDITEMS",
    0x91: "FROZENSET", 0x96: "BYTEARRAY8", 0x97: "NEXT_BUFFER", 0x98: "READONLY_BUFFER",
}  # fmt: skip


def _one(reader: _Reader) -> None:
    value = reader.pop()
    reader.append([value])


def _drop(_value: Any) -> None:
    return


def _raise(error: NocturneInputError) -> None:
    raise error
