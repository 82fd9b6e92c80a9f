"""Pictures as numbers: PNG and JPEG, decoded by Pillow in the confined child, one at a time.

A picture's claims are judged before it is decoded: its pixels, and how many of them a byte would give. Grey
and colour are made of one another; transparency, colour profiles and the turn that a camera notes are not
looked at.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES: Final = (".png", ".jpg", ".jpeg")
_FORMATS: Final = ("PNG", "JPEG")
_MODES: Final = {1: "L", 3: "RGB"}
_DEEP: Final = "I"  # how Pillow's modes of 16 and 32 bits a channel begin; so does F, of none of our formats


@dataclass(frozen=True)
class Wanted:
    """What every picture must look like; None: like the first one.

    Attributes:
        channels: 1 (grey) or 3 (colour).
        height, width: in pixels.
        layout: "hwc" (row by row, colours of a pixel together) or "chw" (one colour after the other).
        resize: whether a picture of another size is scaled; else it is bad.
    """

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    layout: str = "hwc"
    resize: bool = False


class Pictures:
    """Decodes pictures of one set.

    Raises:
        NocturneInputError: `family.extra`: the library is missing; `pictures.channels`.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._channels = wanted.channels
        told = wanted.height is not None and wanted.width is not None
        self._size = (wanted.width, wanted.height) if told else None
        self._whose = "the model takes" if told else "the first one has"
        if wanted.channels not in {None, *_MODES}:
            raise refuse(
                "pictures.channels",
                f"The current checkpoint takes pictures of {wanted.channels} channels; those of an archive "
                "have 1 (grey) or 3 (colour). Upload the records as npz.",
            )
        try:
            self._library: Any = import_module("PIL.Image")
        except ImportError as error:
            raise NocturneInputError(
                "family.extra",
                "Pictures need the Pillow library, which is not installed here. Install it with: "
                "pip install 'nocturne[images]'; or upload the records as npz.",
            ) from error

    def array(self, data: bytes, name: str) -> NDArray[np.uint8]:
        """uint8 [height, width, channels], or [channels, height, width]: one picture.

        Args:
            data: the file.
            name: the person's name for it.

        Raises:
            NocturneInputError: `pictures.unreadable`, `pictures.size`: it is bad; `archive.bomb`: an attack.
        """
        shown = shorten(name)
        with warnings.catch_warnings():
            # Its own warning of large pictures comes before our limit, its own error behind it.
            warnings.simplefilter("ignore")
            try:
                image = self._library.open(io.BytesIO(data), formats=_FORMATS)
            except MemoryError:
                raise
            except self._library.DecompressionBombError:
                raise _bomb(shown, f"more than {limits.PICTURE_PIXELS:,} pixels") from None
            except Exception as error:  # the library raises many kinds for a damaged file
                raise _unreadable(shown) from error
            self._check(image, len(data), shown)
            try:
                image.load()
                pixels = image.convert(_MODES[self._channels or 1])
                if pixels.size != self._size:
                    pixels = pixels.resize(self._size, self._library.Resampling.BILINEAR)
            except MemoryError:
                raise
            except Exception as error:
                raise _unreadable(shown) from error
        found: NDArray[np.uint8] = np.asarray(pixels, dtype=np.uint8).reshape(*pixels.size[::-1], -1)
        return found if self._wanted.layout == "hwc" else np.ascontiguousarray(found.transpose(2, 0, 1))

    def _check(self, image: Any, size: int, shown: str) -> None:
        width, height = image.size
        count = width * height
        if count > limits.PICTURE_PIXELS:
            raise _bomb(shown, f"{count:,} pixels; at most {limits.PICTURE_PIXELS:,} are read")
        if count > limits.PICTURE_RATIO_FROM and count > limits.ARCHIVE_RATIO * size:
            raise _bomb(shown, f"{count:,} pixels in {size:,} bytes")
        if image.mode.startswith(_DEEP):
            raise refuse(
                "pictures.unreadable", f"{shown} has more than 8 bits a channel; save it with 8 bits"
            )
        if self._channels is None:
            self._channels = 1 if image.mode in {"1", "L", "LA"} else 3
        if self._size is None:
            self._size = (width, height)
        if (width, height) != self._size and not self._wanted.resize:
            raise refuse(
                "pictures.size",
                f"{shown} is {width:,} × {height:,} pixels, {self._whose} {self._size[0]:,} × "
                f"{self._size[1]:,}. Scale it, or ask for scaling in the form",
            )


def _unreadable(shown: str) -> NocturneInputError:
    return refuse("pictures.unreadable", f"{shown} is no PNG or JPEG that can be read: damaged or cut off")


def _bomb(shown: str, what: str) -> NocturneInputError:
    return refuse(
        "archive.bomb",
        f"Picture {shown} claims {what}, far more than a picture of records needs. It was not decoded, and "
        "nothing was taken in. Scale it before you pack it.",
    )
