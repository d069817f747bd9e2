"""Every story of `stories/`, told through the real way in on a real database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.telling import Telling
from tests.scenarios.text import Story, read
from tests.scenarios.world import World

FOLDER = Path(__file__).parent / "stories"
STORIES = [story for path in sorted(FOLDER.glob("*.txt")) for story in read(path)]

#: What the stories together must show.
RULES = (
    "TZ-1 TZ-4 TZ-5 TZ-7 EV-1 EV-2 EV-3 EV-5 EV-6 EV-7 WI-1 WI-2 CO-1 CO-2 CO-5 VI-1 VI-2 "
    "PR-2 PR-3 PR-4 PR-6 PR-9 BA-1 BA-3 BA-4 BA-5 BA-6 BA-7 BA-8 BA-9 BA-11 "
    "BA-12 CO-3 CO-4 PR-1 PR-5 PR-7 SM-1 VO-1 MT-1"
)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.place)
async def test_story(world: World, story: Story) -> None:
    """The promises of a story hold, line by line; it names the rules it proves."""
    await Telling(world, story).tell()


def test_every_rule_has_its_story() -> None:
    """A rule without a story is a rule nobody can read."""
    proven = {rule for story in STORIES for rule in story.rules}

    assert set(RULES.split()) - proven == set()


def test_stories_have_tenants_of_their_own() -> None:
    keys = [story.tenant for story in STORIES]

    assert sorted(set(keys)) == sorted(keys)
