"""The words of usage: what is counted, how long a bucket is, what to split by and narrow to."""

from __future__ import annotations

from enum import Enum

import strawberry


@strawberry.enum(description="What a series counts.")
class Metric(Enum):
    CONVERSATIONS = strawberry.enum_value(
        "conversations", description="Conversations, where they opened."
    )
    VISITORS = strawberry.enum_value(
        "visitors",
        description="Visitors newly counted: each in the bucket of its first message of the "
        "period, so buckets add up.",
    )
    MESSAGES_IN = strawberry.enum_value("messages_in", description="Messages received.")
    MESSAGES_OUT = strawberry.enum_value(
        "messages_out", description="Messages that reached their contact."
    )
    SEGMENTS = strawberry.enum_value("segments", description="Segments of text messages.")
    SECONDS_BILLED = strawberry.enum_value(
        "seconds_billed", description="Seconds of calls and sessions that are charged."
    )
    EMAILS = strawberry.enum_value("emails", description="E-mails, one for each recipient.")
    BOT_SESSIONS = strawberry.enum_value("bot_sessions", description="Sessions that ended.")
    COST = strawberry.enum_value(
        "cost", description="What money balances paid, in the tenant's currency."
    )
    UNITS = strawberry.enum_value("units", description="Units that were charged.")


@strawberry.enum(description="The length of a bucket, in the tenant's zone.")
class Bucket(Enum):
    HOUR = strawberry.enum_value("hour", description="A local hour; a repeated one is two.")
    DAY = strawberry.enum_value("day", description="A local day, of 23 to 25 hours.")
    WEEK = strawberry.enum_value("week", description="A local week, from Monday.")
    MONTH = strawberry.enum_value("month", description="A local month.")


@strawberry.enum(description="What a series can be split by.")
class Dimension(Enum):
    NUMBER = strawberry.enum_value("number", description="The address of the tenant's number.")
    CHANNEL = strawberry.enum_value("channel", description="Its channel, such as `whatsapp`.")
    COUNTRY = strawberry.enum_value("country", description="The contact's ISO country code.")
    DIRECTION = strawberry.enum_value("direction", description="`in` or `out`.")
    CATEGORY = strawberry.enum_value("category", description="The message's own category.")
    USER = strawberry.enum_value("user", description="The user who sent it.")
    BROADCAST = strawberry.enum_value("broadcast", description="The broadcast it was part of.")


Values = list[str] | None


@strawberry.input(
    description="Narrows what is counted: every field given has to match, by one of its values. An "
    'empty list matches nothing; `""` what has no value.'
)
class UsageFilter:
    numbers: Values = strawberry.field(default=None, description="Addresses of numbers.")
    channels: Values = strawberry.field(default=None, description="Such as `whatsapp`.")
    countries: Values = strawberry.field(default=None, description="ISO codes, such as `ID`.")
    directions: Values = strawberry.field(default=None, description="`in`, `out`.")
    categories: Values = strawberry.field(default=None, description="Such as `marketing`.")
    users: Values = strawberry.field(default=None, description="Users who sent.")
    broadcasts: Values = strawberry.field(default=None, description="Broadcasts.")
