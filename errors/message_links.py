"""The links of a message by which its reader deals with the issue at once; made for each reader, stored nowhere."""

import re
from collections.abc import Mapping
from datetime import datetime

from catalogue.models import Person
from errors.links import act_urls
from errors.models import Issue

_PAGE = re.compile(r"/admin/errors/issue/(\d{1,18})/change/")


def links_for(context: Mapping[str, object], *, person: int | None, at: datetime) -> dict[str, str]:
    """What the words of a message about one issue may offer this person: "acknowledge_url", "take_url" …

    An alert about an issue names it by the page it leads to. Nothing for places, for several issues, and for who may
    not act.
    """
    page = _PAGE.fullmatch(str(context.get("url", "")))
    if page is None or person is None:
        return {}
    reader = Person.objects.select_related("user").filter(pk=person).first()
    issue = Issue.objects.select_related("project").defer("search").filter(pk=int(page[1])).first()
    if reader is None or issue is None:
        return {}
    return {f"{step}_url": url for step, url in act_urls(issue, person=reader, at=at).items()}
