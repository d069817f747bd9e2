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

#: Characters of a query. Parsing and validating cost 15 microseconds a token, so 15 ms at most; a
#: large dashboard has 300, introspection by today's tools 250.
QUERY_CHARACTERS_MAX = 32 * 1024
QUERY_TOKENS_MAX = 1_000

#: What is told of a document that is wrong: finding what was meant may take 3 milliseconds each.
QUERY_ERRORS_MAX = 3

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

#: Digits of one number in a document: no figure of ours has 40.
QUERY_DIGITS_MAX = 1_000

#: `__schema` and `__type` in one operation: each may answer with the whole schema.
QUERY_INTROSPECTIONS_MAX = 5

#: Mutations in one document: each is a transaction.
QUERY_MUTATIONS_MAX = 10

#: Values an answer may have: fields, times the lengths of the lists they stand in.
QUERY_COST_MAX = 100_000

#: What a document costs that is refused: some five milliseconds of reading it, as values.
QUERY_REFUSED_COST = 100

#: Values in variables, lists and objects included: coercing one takes a microsecond or more, and
#: an estimate may have 10,000 recipients.
VARIABLES_VALUES_MAX = 12_000

#: What a list is taken to hold when the query does not say how much of it is wanted.
LIST_LENGTH_ASSUMED = 10

#: Documents kept parsed and validated.
DOCUMENTS_MAX = 512

#: Rows of one page of a connection, and lines of one document in one answer: an invoice of a month
#: seldom has more.
PAGE_SIZE_MAX = 100
INVOICE_LINES_MAX = 1_000

#: Seconds for which a key that was revoked may still be taken for good.
KEY_CACHE_SECONDS = 5.0
KEY_CACHE_ENTRIES_MAX = 10_000

#: Keys that one statement looks up: some milliseconds of the loop.
KEYS_LOOKED_UP_MAX = 500

#: Seconds between two writings of when keys were last taken: one statement for all of them.
KEY_USES_WRITE_SECONDS = 10.0

#: Seconds between two looks at the credentials of open sockets: one statement for all of them.
SOCKET_JUDGE_SECONDS = 2.0

#: Seconds a widget's token lives, and may live at most: whoever opens the page can read it.
WIDGET_SECONDS = 15 * 60
WIDGET_SECONDS_MAX = 3_600

#: What one widget's token is bound to: the pages of a site, the queries of a page.
WIDGET_ORIGINS_MAX = 10
WIDGET_DOCUMENTS_MAX = 50

#: Seconds after its end for which a widget's token is kept, and how many are cleared away at once.
WIDGET_KEPT_SECONDS = 86_400
WIDGETS_CLEARED_MAX = 1_000

#: Holds that nobody used, removed by one statement.
HOLDS_CLEARED_MAX = 5_000

#: Stored documents, and bytes of their file: each is checked at the start, a millisecond or two.
STORED_DOCUMENTS_MAX = 2_000
STORED_BYTES_MAX = 16 * 1024 * 1024

#: Seconds readiness waits for one server's answer.
READY_TIMEOUT_SECONDS = 2.0

#: Seconds a client is asked to wait while the database is away.
RETRY_AFTER_SECONDS = 1

#: Seconds a signed link is taken: time to click on it, none to pass it on.
LINK_SECONDS = 300

#: What a download costs its tenant, as values, where nothing is sent, and a chart, half a second of
#: work; and a wrong link the address that sent it: sixty a minute, more than people mistype.
DOWNLOAD_COST = 500
DOWNLOAD_KNOWN_COST = 10
CHART_COST = 20_000

#: Characters of a link's last part, which is read before its signature says that it is ours.
LINK_LENGTH_MAX = 2_048

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

#: Characters of a hold's id: it says what is set aside of each balance and count.
HOLD_LENGTH_MAX = 4_096

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

#: Facts of one request that take one lane together where nothing is under way: a commit costs as
#: much as some twenty facts.
TOGETHER_FACTS_MAX = 50

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

#: Seconds a message waits for a client that does not read.
SOCKET_SEND_SECONDS = 10.0

#: Bytes that wait in the process for a client that is slow, and about as many again in the kernel:
#: behind them only the newest state is kept.
SOCKET_BUFFER_BYTES = 32 * 1024

#: Seconds between two pings, and until a pong: a client that is gone, or reads nothing, is known
#: within fifteen.
SOCKET_PING_SECONDS = 8.0
SOCKET_PONG_SECONDS = 6.0

#: Seconds a socket lives at most; each ends up to a fifth sooner, so that they do not all come back
#: at once.
SOCKET_AGE_SECONDS = 4 * 3_600.0
SOCKET_AGE_JITTER = 0.2

#: Events that wait for a slow client and may not be skipped; with one more it is closed, and comes
#: back to where it was. All who follow the same share them.
SOCKET_EVENTS_MAX = 1_000

#: Seconds without an event after which a response of events says that it is still there.
STREAM_COMMENT_SECONDS = 12.0

#: Seconds for which a credential is taken as judged while events pass.
STREAM_JUDGE_SECONDS = 1.0

#: Followers that are sent an event before others have their turn: some milliseconds.
STREAM_DELIVERIES_A_TURN = 500

#: Seconds a client has to answer a close before its connection is cut.
SOCKET_CLOSE_SECONDS = 5.0

#: Recipients of one estimate, and contacts that it only counts: 20 microseconds each.
ESTIMATE_RECIPIENTS_MAX = 10_000
ESTIMATE_COUNT_MAX = 100_000

#: Seconds an estimate may look ahead: further, no price is known.
ESTIMATE_AHEAD_SECONDS_MAX = 366 * 86_400

#: Facts one query simulates, a second or two of work; the command has no limit. And simulations of
#: a process at a time: a connection each.
SIMULATE_FACTS_MAX = 20_000
SIMULATIONS_MAX = 2

#: Facts that a query verifies while somebody waits for it: a second or two.
VERIFY_FACTS_MAX = 5_000

#: What a key, or a person, may spend in a minute: twelve of the dearest queries there are, a third
#: of a process's time; a hundred dashboards spend a tenth of it. `KUOTA_RATE_LIMIT` says another.
RATE_COST_A_MINUTE = 1_200_000

#: What a tenant may spend, in the limits of one key: some services of it at once.
RATE_TENANT_KEYS = 4

#: Facts that cost as much as one value: 200,000 a second pass, ten times what a process takes in.
RATE_FACTS = 10

#: What an address may spend in a minute without a credential: six introspections, or 300 documents
#: that are refused.
RATE_ADDRESS_COST = 30_000

#: Credentials that are wrong which an address may send in a minute: a person errs less often, and
#: a machine that tries secrets gets nowhere.
RATE_WRONG_CREDENTIALS = 60

#: Credentials that were right lately, and pass while their address is refused for wrong ones.
RATE_TRUSTED_MAX = 10_000

#: The part of a minute's limit that a process takes from Valkey at once and then spends by itself:
#: one in a hundred makes asking rare, and is by how much each process may let pass too much.
RATE_LEASES = 100

#: Seconds a request waits for Valkey to say what is left, before the process decides alone, and
#: for which it then does not ask again.
RATE_ANSWER_SECONDS = 0.25
RATE_AWAY_SECONDS = 1.0

#: Keys, tenants and addresses a process remembers the limits of, some 500 bytes each.
RATE_REMEMBERED_MAX = 20_000

#: Websockets of a process: 51 KB each.
SOCKETS_MAX = 10_000

#: Of one key or person, and of one tenant, in a process: a large office's dashboards; a client
#: that opens them in a loop stops here.
SOCKETS_OF_CREDENTIAL_MAX = 5_000
SOCKETS_OF_TENANT_MAX = 5_000

#: Of one address before a credential was shown on them: an office that comes back after a cut.
SOCKETS_OF_ADDRESS_MAX = 500

#: A person's token in bytes: those of large directories have 4 KB.
TOKEN_BYTES_MAX = 8 * 1024

#: Seconds the clock of an issuer may be ahead of ours; a token's end has no leeway.
TOKEN_AHEAD_SECONDS_MAX = 30

#: Seconds for which a signature that was right is not verified again. Who it names, and whether
#: that person is let in, is looked up as often as a key is.
TOKEN_CACHE_SECONDS = 60.0

#: Characters of a subject, by which an issuer names a person (OpenID Connect has 255).
SUBJECT_LENGTH_MAX = 255

#: Seconds between two questions to an issuer for its keys: tokens with made-up keys cost one.
JWKS_REFRESH_SECONDS = 60.0

#: Seconds after which keys are asked for again, so that one the issuer took back is no more.
JWKS_LIFETIME_SECONDS = 600.0

#: Seconds an issuer has for its configuration and its keys together.
JWKS_TIMEOUT_SECONDS = 5.0

#: Bytes and keys of an issuer's documents: the large ones have ten keys, in some 20 KB.
JWKS_BYTES_MAX = 256 * 1024
JWKS_KEYS_MAX = 100

#: Seconds for which a person signs in: a working day.
TOKEN_SECONDS = 8 * 3_600

#: Seconds for which a sign-in link works: it lies in a mailbox.
SIGN_IN_LINK_SECONDS = 15 * 60
SIGN_IN_BODY_BYTES_MAX = 4 * 1024

#: Seconds for which one key signs tokens.
SIGNING_KEY_SECONDS = 30 * 86_400

#: Seconds between two looks for a signing key that is not known here.
SIGNING_KEYS_LOOK_SECONDS = 1.0

#: A provider's notice in bytes: one has two kilobytes. And what a wrong one costs an address, as
#: values: three hundred a minute.
NOTICE_BODY_BYTES_MAX = 64 * 1024
NOTICE_WRONG_COST = 100

#: Seconds a provider of payments has for an answer: some ask a bank meanwhile. And its bytes.
PROVIDER_TIMEOUT_SECONDS = 15.0
PROVIDER_ANSWER_BYTES_MAX = 64 * 1024

#: Endpoints of a tenant: each alert is sent to each of them, up to ten times.
WEBHOOK_ENDPOINTS_MAX = 10
WEBHOOK_URL_CHARACTERS_MAX = 2_000

#: Seconds an endpoint has for all of an answer, and for the connection to one of its addresses.
WEBHOOK_TIMEOUT_SECONDS = 15.0
WEBHOOK_CONNECT_SECONDS = 5.0

#: Bytes of an answer that are kept, for whoever looks why it failed.
WEBHOOK_ANSWER_BYTES_MAX = 300

#: What a process sends at once; to one endpoint, and of one tenant: whoever never answers holds
#: up nobody else.
WEBHOOKS_AT_ONCE_MAX = 64
WEBHOOKS_OF_TENANT_MAX = 8
WEBHOOKS_OF_ENDPOINT_MAX = 4

#: Hours for which the secret before signs beside the one that took its place.
WEBHOOK_SECRET_HOURS = 24

#: Days a delivery that is over stands in the log, as does a letter with a report, and how many of
#: either are cleared away at once.
DELIVERIES_KEPT_DAYS = 30
DELIVERIES_CLEARED_MAX = 1_000

#: Characters of a payment method's token: those of cards that were saved have some dozen.
PAYMENT_TOKEN_LENGTH_MAX = 500

#: What a dry run of refills reads: lines of the balance within its range, half a second of work,
#: and commits from its start until now. And how many of its charges it tells.
DRY_RUN_LINES_MAX = 50_000
DRY_RUN_COMMITS_MAX = 200_000
DRY_RUN_CHARGES_MAX = 100

#: Mailboxes of a tenant: each alert is a letter to each of them.
MAILBOXES_MAX = 20

#: Documents that a process prints at once: one takes a core for ten milliseconds, two let a short
#: one pass a long one. And those that it prints or that wait for it: a second of work, mostly.
PRINTS_MAX = 2
PRINTS_WAITING_MAX = 16

#: Bytes of files of documents that a process keeps, and of one of them: who asks for one again
#: mostly does so at once.
FILES_KEPT_BYTES_MAX = 16 * 1024 * 1024
FILE_KEPT_BYTES_MAX = 8 * 1024 * 1024

#: Exports of a tenant that are not finished, and whose files are there: for one more the oldest of
#: them is removed. Those that say what anything costs are counted apart.
EXPORTS_UNFINISHED_MAX = 3
EXPORTS_KEPT_MAX = 10

#: Days the file of an export is there, and how many parts are cleared away at once.
EXPORTS_KEPT_DAYS = 7
EXPORT_PARTS_CLEARED_MAX = 200

#: Documents of one part of an export, and bytes after which it is one: it is held in memory.
EXPORT_DOCUMENTS_MAX = 20
EXPORT_PART_BYTES_MAX = 4 * 1024 * 1024

#: Failures after which an export is given up, and seconds between them. Whoever makes it and dies
#: before a part of it is kept has failed, too.
EXPORT_FAILURES_MAX = 3
EXPORT_RETRY_SECONDS = 60

#: Bytes of a report on disk while it is made: some four million rows, eight at a time.
REPORT_BYTES_MAX = 512 * 1024 * 1024

#: Schedules of a tenant, addresses of one report, and letters with reports in a day.
REPORT_SCHEDULES_MAX = 20
REPORT_RECIPIENTS_MAX = 20
REPORT_LETTERS_OF_DAY_MAX = 800
