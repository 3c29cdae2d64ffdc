"""Who gets an issue, by rules that are data."""

import pytest

from errors.assignment import Choice, Rule, Subject, choose, fits, path_fits

SUBJECT = Subject(
    project=1,
    service=2,
    owner_team=3,
    paths=("/srv/app/shop/payment/card.py", "/srv/app/main.py"),
    tags=(("region", "eu-west"), ("browser", "Firefox 131")),
)


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        (Rule("any"), True),
        (Rule("project", project=1), True),
        (Rule("project", project=9), False),
        (Rule("service", service=2), True),
        (Rule("service", service=9), False),
        (Rule("path", path="shop/payment/*"), True),
        (Rule("path", path="blog/*"), False),
        (Rule("tag", tag_key="region"), True),
        (Rule("tag", tag_key="region", tag_value="EU-*"), True),
        (Rule("tag", tag_key="region", tag_value="us-*"), False),
        (Rule("tag", tag_key="area"), False),
        (Rule("both", path="shop/payment/*", tag_key="region", tag_value="us-*"), False),
    ],
)
def test_a_rule_fits_when_all_that_it_names_is_so(rule: Rule, holds: bool) -> None:
    assert fits(rule, SUBJECT) is holds


@pytest.mark.parametrize(
    ("pattern", "path", "holds"),
    [
        ("shop/*", "shop/cart.py", True),
        ("shop/*", "/srv/shop/cart.py", True),
        ("shop/*", "C:\\srv\\shop\\cart.py", True),
        ("shop/*", "/srv/workshop/cart.py", False),
        ("/srv/shop/*", "/srv/shop/cart.py", True),
        ("*.js", "static/app.js", True),
        ("app.js", "static/app.js", True),
    ],
)
def test_a_path_is_looked_for_from_any_folder(pattern: str, path: str, holds: bool) -> None:
    assert path_fits(pattern, path) is holds


def test_the_first_rule_that_fits_decides() -> None:
    rules = [Rule("blog", person=4, path="blog/*"), Rule("card", team=5, path="*/card.py"), Rule("rest", person=6)]
    assert choose(rules, SUBJECT) == Choice(None, 5, "Rule “card”")


def test_without_a_rule_the_owner_teams_on_call_person_gets_it() -> None:
    assert choose([Rule("blog", person=4, path="blog/*")], SUBJECT).team == 3


def test_without_an_owner_nobody_gets_it_and_it_says_why() -> None:
    nobody = choose([], Subject(project=1, service=None, owner_team=None))
    assert (nobody.person, nobody.team) == (None, None)
    assert "no owner team" in nobody.because
