"""Which document a request asks for, and whether who sends it may: by its id, and from its page.

Owns what stored documents and tokens of widgets mean for a request, however it came. What a token
is bound to is the authenticator's to know; scopes are asked for field by field.
"""

from __future__ import annotations

from api.faults import Fault
from api.origins import spelt
from api.rights import Principal
from api.stored import Stored, id_of
from api.transport.body import Params


def check_page(principal: Principal | None, origin: str | None) -> None:
    """Refuse a widget's token that comes from elsewhere than the pages it was made for."""
    if principal is None or principal.widget is None:
        return
    if origin is None or spelt(origin) not in principal.widget.origins:
        found = "no page" if origin is None else f"pages of {origin[:100]}"
        raise Fault("FORBIDDEN", f"this widget's token is not for {found}", reason="WIDGET_ORIGIN")


def asked(stored: Stored, principal: Principal | None, params: Params) -> Params:
    """The request with the text of the document it names; widgets name those made for them."""
    widget = None if principal is None else principal.widget
    id = params.document
    if widget is not None and (id not in widget.documents or id in stored.changing):
        words = "this widget's token is for its own stored documents alone: name one of them"
        raise Fault("FORBIDDEN", words, reason="WIDGET_DOCUMENT")
    if id is None:
        return params
    if params.query and id_of(params.query) != id:
        raise Fault("BAD_REQUEST", "`query` has another hash than it says: send either alone")
    text = stored.texts.get(id)
    if text is not None:
        return params._replace(query=text)
    if params.query and widget is None:
        return params
    # Clients know these words: they send the whole query then.
    raise Fault("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
