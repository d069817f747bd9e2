"""The words of usage: what is counted, how long a bucket is, what to split by and narrow to."""

from __future__ import annotations

from enum import Enum

import strawberry


@strawberry.enum(
    description="What is counted. `MESSAGES_MARKETING`, `MESSAGES_UTILITY`, "
    "`MESSAGES_AUTHENTICATION`, `MESSAGES_SERVICE` and `MESSAGES_FREE` add up to `MESSAGES_OUT`, "
    "`CONVERSATIONS_SERVICE` and `CONVERSATIONS_BUSINESS` to `CONVERSATIONS`, `COST_INITIAL` and "
    "`COST_TOP_UP` to `COST`."
)
class Metric(Enum):
    CONVERSATIONS = strawberry.enum_value(
        "conversations",
        description="Conversations, where they opened: of the category of the message that opened "
        "them.",
    )
    CONVERSATIONS_SERVICE = strawberry.enum_value(
        "conversations_service",
        description="Conversations that a service message opened: the contact wrote first.",
    )
    CONVERSATIONS_BUSINESS = strawberry.enum_value(
        "conversations_business",
        description="Conversations that a template of any other category opened: the business "
        "wrote first.",
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
    MESSAGES_MARKETING = strawberry.enum_value(
        "messages_marketing", description="Messages out of category marketing, less free ones."
    )
    MESSAGES_UTILITY = strawberry.enum_value(
        "messages_utility", description="Messages out of category utility, less free ones."
    )
    MESSAGES_AUTHENTICATION = strawberry.enum_value(
        "messages_authentication",
        description="Messages out of category authentication, at the international rate too, less "
        "free ones.",
    )
    MESSAGES_SERVICE = strawberry.enum_value(
        "messages_service",
        description="All other messages out, less free ones: free text, and what has no category.",
    )
    MESSAGES_FREE = strawberry.enum_value(
        "messages_free",
        description="Messages out of any category that cost nothing, none of their parts, and that "
        "no paid conversation covered. What a rate makes free after the period was closed stays in "
        "its category.",
    )
    SEGMENTS = strawberry.enum_value("segments", description="Segments of text messages.")
    SECONDS_BILLED = strawberry.enum_value(
        "seconds_billed",
        description="Seconds: of calls those that were charged for, begun stretches as a whole, or "
        "all of one without a charge, also where a rate came after its period was closed; of "
        "sessions how long they lasted. Minutes are a sixtieth of it.",
    )
    EMAILS = strawberry.enum_value("emails", description="E-mails, one for each recipient.")
    BOT_SESSIONS = strawberry.enum_value("bot_sessions", description="Sessions that ended.")
    COST = strawberry.enum_value(
        "cost", description="What money balances paid, in the tenant's currency."
    )
    COST_INITIAL = strawberry.enum_value(
        "cost_initial", description="What their allowances paid of it: what the plan grants."
    )
    COST_TOP_UP = strawberry.enum_value(
        "cost_top_up",
        description="What their other lots paid of it: top-ups, promotions, adjustments, and what "
        "nothing covered.",
    )
    UNITS = strawberry.enum_value("units", description="Units that were charged.")
    UNITS_INITIAL = strawberry.enum_value(
        "units_initial",
        description="What the allowances of balances that are no money paid, each in its own unit.",
    )
    UNITS_TOP_UP = strawberry.enum_value(
        "units_top_up",
        description="What their other lots paid: top-ups, promotions, adjustments, and what "
        "nothing covered.",
    )


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
