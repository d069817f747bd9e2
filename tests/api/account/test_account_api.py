"""The account through GraphQL: what it comes to, its payments and its statement (IN-2, IN-4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from api.app import create_app
from api.core import Core
from api.schema.root import schema
from api.settings import Clock, Settings
from persistence.servers import Servers
from tests.api.account.books import NOON, Books, names
from tests.conftest import OPERATOR_KEY, named
from tests.scenarios.world import OPERATOR

Ask = Callable[..., Awaitable[Any]]

AMOUNTS = "open { value } overdue { value } credit { value } balance { value formatted }"
ACCOUNT = f"""
query ($t: String!) {{ tenant(key: $t) {{ account {{ {AMOUNTS}
  payments {{ nodes {{
    amount {{ value }} used {{ value }} refunded {{ value }} takenBack {{ value }}
    credit {{ value }} method reference provider note receivedOn
    invoices {{ number amount {{ value }} }}
  }} }}
}} }} }}"""
STATEMENT = """
query ($t: String!, $from: Date, $until: Date, $first: Int! = 50, $after: String) {
  tenant(key: $t) { account {
    statement(from: $from, until: $until, first: $first, after: $after) {
      opening { value } closing { value } pageInfo { hasNextPage endCursor }
      nodes {
        day kind reference amount { value } balance { value } payment
        invoice { number balance { value } }
      }
    }
  } }
}"""
WANTED = {
    "paymentRecord": "payment { id credit { value } invoices { number } }",
    "paymentRefund": "refund { amount { value } reason }",
    "paymentTakeBack": "payment { takenBack { value } }",
    "creditNoteCreate": "creditNote { number invoiceNumber total { value } note }",
    "invoiceVoid": "invoice { number status balance { value } }",
}


class Standing(Clock):
    def now(self) -> int:
        return NOON


@pytest.fixture(scope="module")
async def core(books: Books, servers: Servers) -> AsyncIterator[Core]:
    addresses = servers.addresses
    settings = Settings(
        database_url=named(addresses.app_url, "accounts"),
        redis_url=f"{addresses.redis_url}?db=60",
        operator_key=OPERATOR_KEY,
    )
    app = create_app(settings, Standing())
    async with app.router.lifespan_context(app):
        yield app.state.core


@pytest.fixture
def ask(core: Core) -> Ask:
    async def run(text: str, **variables: Any) -> Any:
        context = core.context(OPERATOR, "the-request")
        with context.acting():
            result = await schema.execute(text, context_value=context, variable_values=variables)
        if result.errors:
            return [error.message for error in result.errors]
        return result.data

    return run


async def do(ask: Ask, name: str, **given: Any) -> Any:
    """What a mutation made, or why not: the field and the code."""
    given = {"idempotencyKey": f"api-{next(names)}", **given}
    kind = name[0].upper() + name[1:] + "Input"
    text = f"mutation ($i: {kind}!) {{ {name}(input: $i) {{ {WANTED[name]} userErrors "
    payload = (await ask(text + "{ field code } } }", i=given))[name]
    errors = payload.pop("userErrors")
    (made,) = payload.values()
    assert (made is None) == bool(errors)
    return made or [(error["field"], error["code"]) for error in errors]


async def test_an_account_from_its_first_invoice_on(books: Books, ask: Ask) -> None:
    """IN-2, IN-4: paid in part, given back, void, refunded and taken back; then its statement."""
    key = await books.tenant()
    first, second, third = [await books.issue(key, amount) for amount in ("100", "50", "20")]
    came = {"tenant": key, "amount": "60", "method": "BANK_TRANSFER", "reference": "TRF 1",
        "receivedOn": "2026-11-09", "invoices": [second]}  # fmt: skip
    paid = await do(ask, "paymentRecord", **came)
    assert [each["number"] for each in paid["invoices"]] == [second, first]
    assert await do(ask, "invoiceVoid", tenant=key, invoice=third, reason="r") == {
        "number": third, "status": "VOID", "balance": {"value": "0"},
    }  # fmt: skip
    note = await do(
        ask, "creditNoteCreate", tenant=key, invoice=first, reason="two seats less",
        lines=[{"line": 0, "amount": "95"}],
    )  # fmt: skip
    assert (note["invoiceNumber"], note["total"]) == (first, {"value": "95"})
    assert note["note"] == "two seats less"
    refund = await do(ask, "paymentRefund", tenant=key, amount="2", reason="asked for")
    assert refund == {"amount": {"value": "2"}, "reason": "asked for"}
    account = (await ask(ACCOUNT, t=key))["tenant"]["account"]
    assert account["balance"] == {"value": "-3", "formatted": "-Rp\xa03"}
    assert [account[each]["value"] for each in ("open", "overdue", "credit")] == ["0", "0", "3"]
    (payment,) = account["payments"]["nodes"]
    assert payment.pop("invoices") == [
        {"number": second, "amount": {"value": "50"}}, {"number": first, "amount": {"value": "5"}}
    ]  # fmt: skip
    assert {name: each["value"] if isinstance(each, dict) else each
        for name, each in payment.items()} == {
        "amount": "60", "used": "55", "refunded": "2", "takenBack": "0", "credit": "3",
        "method": "BANK_TRANSFER", "reference": "TRF 1", "provider": None, "note": "",
        "receivedOn": "2026-11-09",
    }  # fmt: skip
    back = await do(ask, "paymentTakeBack", tenant=key, payment=paid["id"], reason="no funds")
    assert back == {"takenBack": {"value": "58"}}
    expected = [
        ("INVOICE", first, "100", "100"), ("INVOICE", second, "50", "150"),
        ("INVOICE", third, "20", "170"), ("PAYMENT", "TRF 1", "-60", "110"),
        ("VOID", third, "-20", "90"), ("CREDIT_NOTE", note["number"], "-95", "-5"),
        ("REFUND", "TRF 1", "2", "-3"), ("TAKEN_BACK", "TRF 1", "58", "55"),
    ]  # fmt: skip
    found, after = [], None
    while True:
        page = await statement(ask, key, first=3, after=after)
        assert (page["opening"]["value"], page["closing"]["value"]) == ("0", "55")
        found += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert [
        (each["kind"], each["reference"], each["amount"]["value"], each["balance"]["value"])
        for each in found
    ] == expected
    assert {each["day"] for each in found} == {"2026-11-10"}
    assert found[0]["invoice"] == {"number": first, "balance": {"value": "5"}}
    assert [each["payment"] for each in found if each["kind"] == "PAYMENT"] == [paid["id"]]
    assert all(each["invoice"] is None for each in found[5:])


async def statement(ask: Ask, key: str, **given: Any) -> Any:
    answer = await ask(STATEMENT, t=key, **given)
    return answer if isinstance(answer, list) else answer["tenant"]["account"]["statement"]


async def test_a_statement_is_of_days_of_the_tenant(books: Books, ask: Ask) -> None:
    """IN-2: it opens with what was before, and closes with what is to be paid at its end."""
    key = await books.tenant()
    await books.issue(key, "100")
    for given, opening, closing, count in (
        ({"from": "2026-11-10", "until": "2026-11-10"}, "0", "100", 1),
        ({"from": "2026-11-11", "until": "2026-11-11"}, "100", "100", 0),
        ({"from": "2026-11-01", "until": "2026-11-09"}, "0", "0", 0),
        ({"until": "2026-10-09"}, "0", "0", 0),
        ({"from": "1970-01-01", "until": "9998-12-31"}, "0", "100", 1),
    ):
        page = await statement(ask, key, **given)
        assert (page["opening"]["value"], page["closing"]["value"]) == (opening, closing)
        assert len(page["nodes"]) == count
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"from": "2026-11-12"}, "`until` that day or a later one"),
        ({"from": "1969-12-31"}, "`from` is a day of 1970 or later"),
        ({"until": "9999-12-31"}, "a later one, 9998-12-31 at the latest"),
        ({"after": "x"}, "`after` is not a cursor"),
        ({"first": 0}, "write 1 to 100"),
    )
    for refused, words in wrong:
        (message,) = await statement(ask, key, **refused)
        assert words in message


@pytest.mark.parametrize(
    ("name", "given", "refusal"),
    [
        ("paymentRecord", {"amount": "0.5"}, ("amount", "TOO_FINE")),
        ("paymentRecord", {"receivedOn": "2026-11-11"}, ("receivedOn", "IN_FUTURE")),
        ("paymentRecord", {"currency": "USD"}, ("currency", "WRONG_CURRENCY")),
        ("paymentRecord", {"invoices": ["INV-1"]}, ("invoices[0]", "NOT_FOUND")),
        ("paymentRecord", {"invoices": ["inv_0000000000001"]}, ("invoices[0]", "NOT_FOUND")),
        ("paymentRecord", {"receivedOn": "1969-12-31"}, ("receivedOn", "INVALID")),
        ("paymentRecord", {"reference": "a\nb"}, ("reference", "INVALID")),
        ("paymentRecord", {"note": "a\x1b[0m"}, ("note", "INVALID")),
        ("paymentRefund", {"amount": "1"}, ("amount", "NOT_ENOUGH_CREDIT")),
        ("paymentRefund", {"amount": "1", "reason": ""}, ("reason", "INVALID")),
        ("paymentTakeBack", {"payment": "pay_1"}, ("payment", "NOT_FOUND")),
        ("creditNoteCreate", {"invoice": "INV-1"}, ("invoice", "NOT_FOUND")),
        ("creditNoteCreate", {"invoice": "INV-1", "lines": []}, ("lines", "INVALID")),
        ("invoiceVoid", {"invoice": "INV-1"}, ("invoice", "NOT_FOUND")),
    ],
)
async def test_refusals_name_their_field(
    books: Books, ask: Ask, name: str, given: dict[str, Any], refusal: tuple[str, str]
) -> None:
    if "api" not in books.kept:
        books.kept["api"] = await books.tenant()
    usual: dict[str, Any] = {"reason": "r"}
    if name == "paymentRecord":
        usual = {"amount": "5", "method": "CASH", "receivedOn": "2026-11-10"}
    given = {"tenant": books.kept["api"], **usual, **given}
    assert await do(ask, name, **given) == [refusal]


async def test_a_payment_names_invoices_by_number_or_id_in_its_order(
    books: Books, ask: Ask
) -> None:
    """IN-2: one named twice is paid once; a note may have lines."""
    key = await books.tenant()
    first, second = [await books.issue(key, amount) for amount in ("100", "50")]
    query = "query ($t: String!) { tenant(key: $t) { invoices { nodes { id number } } } }"
    listed = await ask(query, t=key)
    ids = {each["number"]: each["id"] for each in listed["tenant"]["invoices"]["nodes"]}
    paid = await do(
        ask, "paymentRecord", tenant=key, amount="60", method="CASH", receivedOn="1970-01-01",
        note="from Ana\nin two notes", invoices=[ids[second], first, second],
    )  # fmt: skip
    assert [each["number"] for each in paid["invoices"]] == [second, first]


async def test_an_account_with_more_than_a_column_holds_is_told(books: Books, ask: Ask) -> None:
    """IN-2: what each asks for fits, their sum does not; `verify` agrees all the same."""
    key = await books.tenant()
    for _ in range(3):
        await books.issue(key, *["900000000000"] * 5)
    account = (await ask(ACCOUNT, t=key))["tenant"]["account"]
    assert account["open"]["value"] == account["balance"]["value"] == "13500000000000"
    page = await statement(ask, key)
    assert page["closing"]["value"] == page["nodes"][-1]["balance"]["value"] == "13500000000000"
    await books.account(key)


PAYMENT = """query ($t: String!, $id: ID!) { tenant(key: $t) { account {
  payment(id: $id) { id reference amount { value } } } } }"""


async def test_a_payment_is_found_again_by_its_id(books: Books, ask: Ask) -> None:
    """IN-2: on its own account alone; what nobody called by a name has none, wherever it stands."""
    key, other = await books.tenant(), await books.tenant()
    came = {"amount": "60", "method": "CASH", "receivedOn": "2026-11-10"}
    named = await do(ask, "paymentRecord", tenant=key, reference="TRF 1", **came)
    unnamed = await do(ask, "paymentRecord", tenant=key, **came)
    for payment, reference in ((named, "TRF 1"), (unnamed, None)):
        found = (await ask(PAYMENT, t=key, id=payment["id"]))["tenant"]["account"]["payment"]
        assert found == {"id": payment["id"], "reference": reference, "amount": {"value": "60"}}
        assert (await ask(PAYMENT, t=other, id=payment["id"]))["tenant"]["account"] == {
            "payment": None
        }
    for nobody in ("pay_1", "x", "inv_0000000000001"):
        assert (await ask(PAYMENT, t=key, id=nobody))["tenant"]["account"] == {"payment": None}
    back = await do(ask, "paymentTakeBack", tenant=key, payment=unnamed["id"], reason="no funds")
    assert back == {"takenBack": {"value": "60"}}
    entries = (await statement(ask, key))["nodes"]
    assert [(each["kind"], each["reference"]) for each in entries] == [
        ("PAYMENT", "TRF 1"), ("PAYMENT", None), ("TAKEN_BACK", None),
    ]  # fmt: skip
