"""Models of the timm library, built by name; nothing is ever downloaded.

A person's config never becomes keyword arguments: name, channels, classes and picture size are our own
checked values, and the name must be in timm's list.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from consolidation.errors import shorten
from consolidation.families.extra import extra_library
from consolidation.families.placing import as_pictures
from consolidation.families.reading import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "timm/"


def library() -> Any:
    """The timm package. Raises NocturneInputError (`family.extra`) when it is missing or does not load."""
    mend = "Install a torchvision that was made for this PyTorch, then try again."
    return extra_library("timm", extra="vision", mend=mend)


def timm_model(config: Mapping[str, Any]) -> nn.Module:
    """The timm model of a validated config, its weights as timm begins, its names as timm has them.

    It takes records: x [n, channels * height * width] or pictures; and gives [n, classes].

    Raises:
        NocturneInputError: `family.extra`; `checkpoint.config` for an unknown name or a picture size that the
            model does not take.
    """
    timm, name = library(), config["architecture"].removeprefix(PREFIX)
    if name not in timm.list_models():
        raise refuse(
            f"timm {timm.__version__} has no model called {shorten(name)!r}; timm.list_models() names them."
        )
    channels, height, width = config["input"]
    about = timm.models.get_pretrained_cfg(name)
    fixed = about is not None and about.fixed_input_size
    sized = {"img_size": (height, width)} if fixed else {}
    try:
        net = timm.create_model(
            name, pretrained=False, num_classes=config["classes"], in_chans=channels, **sized
        )
        with torch.no_grad():
            logits = net.eval()(torch.zeros(2, channels, height, width))
    except (RuntimeError, ValueError, TypeError, AssertionError, ZeroDivisionError) as error:
        raise refuse(
            f"timm's {name} does not take pictures of {channels} x {height} x {width} "
            f"({shorten(error)}). Give the size that it was trained with."
        ) from error
    if tuple(logits.shape) != (2, config["classes"]):
        raise refuse(f"timm's {name} does not give {config['classes']} logits; choose a classifier.")
    net.register_forward_pre_hook(partial(_records_to_pictures, config["input"], config["layout"]))
    net.nocturne_family, net.nocturne_config, net.nocturne_dtypes = "vision", dict(config), {}
    return cast("nn.Module", net)


def _records_to_pictures(size: list[int], layout: str, _model: nn.Module, args: tuple[Any, ...]) -> Any:
    return (as_pictures(args[0], size, layout), *args[1:])
