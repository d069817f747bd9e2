"""Price books as operators see them, with the rows of all their versions. Owns no rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry.types import Info

from api.context import Context
from api.errors import Fault
from api.schema.fields import computed
from api.schema.paging import PageInfo, cursor, page_size, position
from api.schema.payload import UserError
from api.schema.rate import Rate
from domain.books import Book
from domain.documents import Fault as DocumentFault

ROWS_PAGE_SIZE = 50


@strawberry.type(description="A page of a price book's rows.")
class PriceBookRowConnection:
    nodes: list[Rate] = strawberry.field(description="The rows.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")


@strawberry.type(description="A price book: dated rows that give facts their units and prices.")
class PriceBook:
    book: strawberry.Private[Book]
    key: str = strawberry.field(description="What plans and rules name it by.")
    version: int = strawberry.field(description="Its newest version; the first one is 1.")
    currency: str = strawberry.field(description="ISO 4217 code of its prices.")

    @computed(
        "Its rows in the order they were published: of two for one question and date the later "
        "one holds."
    )
    def rows(
        self,
        info: Info[Context, None],
        first: Annotated[
            int, strawberry.argument(description="How many to give, 1 to 100.")
        ] = ROWS_PAGE_SIZE,
        after: Annotated[
            str | None, strawberry.argument(description="The cursor to go on behind.")
        ] = None,
    ) -> PriceBookRowConnection:
        size = page_size(first)
        begin = 0 if after is None else max(0, position(after, int)[0])
        rows = self.book.rows[begin : begin + size]
        end = begin + len(rows)
        return PriceBookRowConnection(
            nodes=[Rate.from_domain(row, self.book) for row in rows],
            page_info=PageInfo(
                has_next_page=end < len(self.book.rows),
                end_cursor=cursor([end]) if rows else None,
            ),
        )

    @classmethod
    def from_domain(cls, book: Book) -> PriceBook:
        return cls(book=book, key=book.key, version=book.version, currency=book.currency)

    @classmethod
    def of(cls, context: Context, key: str) -> PriceBook:
        """A book that is known to be published."""
        return cls.from_domain(context.catalogue.books[key])


@strawberry.type(description="A page of price books, by their keys.")
class PriceBookConnection:
    nodes: list[PriceBook] = strawberry.field(description="The books.")
    page_info: PageInfo = strawberry.field(description="Where the page ends.")

    @classmethod
    def of(cls, context: Context, first: int, after: str | None) -> PriceBookConnection:
        """A page of what this process prices with; FORBIDDEN but for operators."""
        if not context.caller().is_operator:
            raise Fault("FORBIDDEN", "only an operator may look at price books")
        size = page_size(first)
        behind: str = "" if after is None else position(after, str)[0]
        books = context.catalogue.books
        keys = sorted(key for key in books if key > behind)
        return cls(
            nodes=[PriceBook.from_domain(books[key]) for key in keys[:size]],
            page_info=PageInfo(
                has_next_page=len(keys) > size,
                end_cursor=cursor([keys[:size][-1]]) if keys else None,
            ),
        )


def errors_of(problems: Sequence[DocumentFault]) -> list[UserError]:
    """Every fault of a document, with its path as the field."""
    return [
        UserError(
            # What people write may hold half a character, which no answer can.
            field=each.path.encode("utf-8", "replace").decode(),
            message=f"{each.wrong}; {each.right}".encode("utf-8", "replace").decode(),
            code="INVALID_PRICE_BOOK",
        )
        for each in problems
    ]
