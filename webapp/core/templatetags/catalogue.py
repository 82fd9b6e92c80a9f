"""The scripts' words in the page's language, as a block of data that js/i18n.js reads."""

from __future__ import annotations

from gettext import c2py
from typing import TYPE_CHECKING, Any

from django import template
from django.utils.html import json_script
from django.utils.translation import get_language
from django.utils.translation.trans_real import DjangoTranslation
from django.views.i18n import JSONCatalog

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

register = template.Library()

# A language's formula for plurals goes by a number's last two digits, apart from a few small numbers.
FORMS = 200


class Catalogue(JSONCatalog):
    """Django's catalogue for scripts, without a request of its own."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self.translation = DjangoTranslation(language, domain=self.domain)

    def words(self) -> dict[str, Any]:
        """`catalog`: what each English text is; `forms`: of each number below `FORMS`, its plural form."""
        catalog = self.get_catalog()
        if not catalog:
            return {}
        form = c2py(str(self.get_plural() or "n != 1"))
        return {"catalog": catalog, "forms": "".join(str(form(n)) for n in range(FORMS))}


@register.simple_tag
def catalogue() -> str | SafeString:
    """The catalogue of the active language; nothing in English, nor where nobody translated the scripts."""
    language = get_language()
    if not language or language.split("-")[0] == "en":
        return ""
    words = Catalogue(language).words()
    return json_script(words, "catalogue") if words else ""
