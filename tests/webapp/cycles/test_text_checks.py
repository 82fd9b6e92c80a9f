"""What a text model asks of records before a cycle is queued: not too many tokens, and a head that learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consolidation.families.registry import family_spec
from tests.consolidation.formats.folders import BERT
from tests.webapp.cycles.test_services import checkpoint, refused
from tests.webapp.memories.test_services import info
from webapp.core.errors import InvalidInput
from webapp.cycles.services import cycle_start
from webapp.memories.models import Use
from webapp.memories.services import record_set_accept

if TYPE_CHECKING:
    from tests.support.jobs import Lab

CLASSIFIER = BERT | {"head": "sequence-classification", "num_labels": 3}


def texts(lab: Lab, width: int) -> None:
    for use in (Use.MEMORIES, Use.PROBE):
        told = info(x_shape=[width], classes=3, x_dtype="uint16")
        record_set_accept(project=lab.project, task=lab.task(0), use=use, sha256="a" * 64, info=told)


def described(lab: Lab, family: str, config: dict[str, Any]) -> None:
    clean = family_spec(family).validate_config(config)
    lab.project.current = checkpoint(lab, family=family, config=clean)
    lab.project.save()


def test_texts_may_be_shorter_than_a_model_reads_and_no_longer(lab: Lab) -> None:
    described(lab, "encoder", CLASSIFIER)
    texts(lab, 9)
    cycle = cycle_start(actor=lab.alice, project=lab.project, kind="sleep", recipe={})
    assert cycle.memory_bytes > 400e6
    with pytest.raises(InvalidInput, match="17 tokens; the current checkpoint v1 reads at most 16") as caught:
        texts(lab, 17)
    assert caught.value.code == "records.width"


def test_sets_from_before_the_model_that_are_too_long_for_it_are_refused_at_the_start(lab: Lab) -> None:
    texts(lab, 17)
    described(lab, "encoder", CLASSIFIER)
    assert refused(lab) == "records.width"


def test_what_nothing_computes_with_yet_is_refused_before_it_is_queued(lab: Lab) -> None:
    texts(lab, 9)
    described(lab, "encoder", BERT)
    assert refused(lab) == "cycle.family_not_yet"


def test_significance_over_all_labels_is_refused_before_the_night_where_there_are_too_many(lab: Lab) -> None:
    described(lab, "encoder", CLASSIFIER)
    texts(lab, 9)
    exact = {"fisher_labels": "exact"}
    cycle_start(actor=lab.alice, project=lab.project, kind="sleep", recipe=exact)
    described(lab, "encoder", BERT | {"head": "question-answering"})
    with pytest.raises(InvalidInput, match="Choose sampled or true") as caught:
        cycle_start(actor=lab.alice, project=lab.project, kind="sleep", recipe=exact)
    assert (caught.value.code, caught.value.detail["field"]) == ("fisher.exact_labels", "fisher_labels")
