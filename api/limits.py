"""Limits: what one request may ask for. Each has a name, a unit and a reason; refused before work.

Owns the numbers, not the words of a refusal.
"""

from __future__ import annotations

#: A GraphQL body in bytes: thirty times a large dashboard's; facts have a route of their own.
GRAPHQL_BODY_BYTES_MAX = 128 * 1024

#: Bytes of a body that is too large which are read all the same, and forgotten: who is still
#: sending when the connection closes never sees the answer.
GRAPHQL_DRAIN_BYTES_MAX = 8 * 1024 * 1024

#: Levels of lists and objects in a body: a CloudEvent with deep data has ten.
JSON_DEPTH_MAX = 64

#: Characters of a query. Parsing costs 10 microseconds a token.
QUERY_CHARACTERS_MAX = 32 * 1024
QUERY_TOKENS_MAX = 2_000

#: Open brackets while a query is read: the parser calls itself for each.
QUERY_BRACKETS_MAX = 100

#: Levels of fields: the introspection query of today's tools has 15.
QUERY_DEPTH_MAX = 20

#: Fields after fragments are put in place: the executor spends 3 microseconds on each.
QUERY_FIELDS_MAX = 1_000
QUERY_ALIASES_MAX = 100
QUERY_DIRECTIVES_MAX = 100
QUERY_OPERATIONS_MAX = 20

#: Pairs of fields with one name in one place: validation compares each with each.
QUERY_OVERLAPS_MAX = 1_000

#: Mutations in one document: each is a transaction.
QUERY_MUTATIONS_MAX = 10

#: Values an answer may have: fields, times the lengths of the lists they stand in.
QUERY_COST_MAX = 100_000

#: What a list is taken to hold when the query does not say how much of it is wanted.
LIST_LENGTH_ASSUMED = 10

#: Documents kept parsed and validated.
DOCUMENTS_MAX = 512

#: Rows of one page of a connection.
PAGE_SIZE_MAX = 100

#: Seconds for which a key that was revoked may still be taken for good.
KEY_CACHE_SECONDS = 5.0
KEY_CACHE_ENTRIES_MAX = 10_000

#: Seconds readiness waits for one server's answer.
READY_TIMEOUT_SECONDS = 2.0

#: Seconds a client is asked to wait while the database is away.
RETRY_AFTER_SECONDS = 1

#: Characters of names and notes people write.
NAME_LENGTH_MAX = 200

#: A body of events in bytes, and how many it may hold: some five seconds of one lane's work.
EVENTS_BODY_BYTES_MAX = 8 * 1024 * 1024
EVENTS_MAX = 10_000

#: One event in bytes: data is kept for ever.
EVENT_BYTES_MAX = 64 * 1024

#: Digits of a number in an event's data; none is rounded.
EVENT_DIGITS_MAX = 1_000

#: Characters of an event's id and source, and of the names inside its data.
EVENT_ID_LENGTH_MAX = 256

#: Characters of what usage is counted by: eight of them make a key, which has 2,700 bytes.
DIMENSION_LENGTH_MAX = 100

#: Seconds a fact's time may be ahead of the clock (EV-3).
EVENT_AHEAD_SECONDS_MAX = 300

#: Seconds before a month's start in which its zone no longer changes: facts may be ahead of the
#: clock (EV-3), which is another one at each process, and a change may have waited for its tenant.
ZONE_CHANGE_AHEAD_SECONDS = EVENT_AHEAD_SECONDS_MAX + 60

#: Members a group may have in a fact: what happened is charged, whatever `authorize` would allow.
GROUP_MEMBERS_MAX = 1_024

#: Parallel commits of a process: a connection each; eight gain nothing over four.
LANES = 4

#: Facts of one commit: more make commits long, fewer make them many.
LANE_BATCH_MAX = 1_000

#: Facts waiting in a process before it says 503: memory, and some seconds of work.
LANE_QUEUE_MAX = 60_000

#: Seconds a lane tries to reach the database again before it answers 503.
LANE_PATIENCE_SECONDS = 20.0

#: Contacts a lane remembers between commits, some 400 bytes each.
LANE_CONTACTS_MAX = 50_000

#: Tenants whose terms a process remembers, some kilobytes each.
TENANTS_REMEMBERED_MAX = 5_000

#: A message on a websocket in bytes: a query with its variables; facts have a route of their own.
SOCKET_MESSAGE_BYTES_MAX = 64 * 1024

#: Seconds from a socket's opening to its `connection_init`.
SOCKET_INIT_SECONDS = 5.0

#: Operations of one socket at a time: a dashboard has a handful of widgets.
SOCKET_OPERATIONS_MAX = 20

#: Characters of an operation's id, which every message of it repeats; a UUID has 36.
SOCKET_ID_LENGTH_MAX = 128

#: Seconds a message waits for a client that does not read; behind it lie 64 KB and the kernel's.
SOCKET_SEND_SECONDS = 10.0

#: Seconds a client has to answer a close before its connection is cut.
SOCKET_CLOSE_SECONDS = 5.0

#: Recipients of one estimate, and contacts that it only counts: 20 microseconds each.
ESTIMATE_RECIPIENTS_MAX = 10_000
ESTIMATE_COUNT_MAX = 100_000

#: Seconds an estimate may look ahead: further, no price is known.
ESTIMATE_AHEAD_SECONDS_MAX = 366 * 86_400

#: Facts one query simulates, a second or two of work; the command has no limit.
SIMULATE_FACTS_MAX = 20_000

#: Simulations of a process at a time: a connection each.
SIMULATIONS_MAX = 2

#: Facts that a query verifies while somebody waits for it: a second or two.
VERIFY_FACTS_MAX = 5_000
