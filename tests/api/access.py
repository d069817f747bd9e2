"""Who may see and do what: the one table that the built schema is walked against.

Declares; `test_access` asks. Every field of the schema has its place here: under the type it is of
where having the object is enough, or in `GUARDED` where more is needed. A type says what everybody
has who holds one of its objects.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.rights import NO_BILLING, SCOPES, WRITING, Principal

#: What billing access is granted to do (PE-1).
BILLING = {"billing:read", "billing:write", "billing:adjust", "prices:publish", "audit:read"}


@dataclass(frozen=True, slots=True)
class Need:
    """What a caller must have, in the order in which it is looked at; a credential at least."""

    operator: bool = False
    scopes: tuple[tuple[str, ...], ...] = ()  #: one of each; a person is told of the first

    def and_(self, other: Need) -> Need:
        """What is needed behind both."""
        return Need(self.operator or other.operator, self.scopes + other.scopes)

    def covers(self, other: Need) -> bool:
        """Whether who has this has the other as well."""
        return self.operator >= other.operator and all(
            any(set(mine) <= set(theirs) for mine in self.scopes) for theirs in other.scopes
        )

    def refusal(self, principal: Principal) -> tuple[str, str | None] | None:
        """The reason and, where it is promised, the words of the refusal; None: it is granted."""
        if self.operator and not principal.is_operator:
            return "", None
        for scopes in self.scopes:
            if principal.scopes.isdisjoint(scopes):
                # A key that only reads is no question of billing access.
                asked = principal.role is not None and scopes != ANY_WRITING
                if asked and scopes[0] in BILLING:
                    return "BILLING_ACCESS_REQUIRED", NO_BILLING
                return "", None
        return None


ANY_WRITING = tuple(sorted(WRITING))


def scope(*names: str) -> Need:
    assert set(names) <= SCOPES.keys()
    return Need(scopes=(names,))


def operator(*names: str) -> Need:
    """An operator whose credential may change something, and has the scope."""
    of_both = Need(operator=True, scopes=(ANY_WRITING,))
    return of_both.and_(scope(*names)) if names else of_both


CREDENTIAL = Need()
USAGE = scope("usage:read")
VIEW = scope("billing:read")
#: Reports are seen by who may see what is in them.
REPORTS = scope("billing:read", "usage:read")
EVENTS = scope("events:write")
KEYS = scope("keys:write")
PEOPLE = scope("users:write")
#: Colleagues are seen by who looks after them, and beside what they used.
USERS = scope("usage:read", "users:write")
AUDIT = scope("audit:read")
SENDS = scope("send:authorize")
ESTIMATES = scope("billing:read", "send:authorize")
CHANGES = operator()
ADJUSTS = operator("billing:adjust")
TOPS_UP = operator("billing:write")
PAYS = scope("billing:write")
ANSWERS = VIEW.and_(PAYS)
#: Whoever has reports mailed writes to people in the tenant's name.
MAILS = USAGE.and_(PAYS)
PUBLISHES = operator("prices:publish")
OPERATOR = Need(operator=True)

#: What needs more than its object.
GUARDED = {
    "Query.viewer": CREDENTIAL,
    "Query.tenant": CREDENTIAL,
    "Query.tenants": CREDENTIAL,
    "Query.node": CREDENTIAL,
    "Query.reportColumns": CREDENTIAL,
    "Query.estimate": ESTIMATES,
    "Query.simulate": VIEW,
    "Query.verification": ADJUSTS,
    "Query.priceBooks": OPERATOR,
    "Query.apiKeys": OPERATOR.and_(KEYS),
    "Query.operatorUsers": OPERATOR.and_(PEOPLE),
    "Query.audit": OPERATOR.and_(AUDIT),
    "Tenant.live": USAGE,
    "Tenant.usageSeries": USAGE,
    "Tenant.usageChart": USAGE,
    "Tenant.usageSummary": USAGE,
    "UsageSummary.balances": VIEW,
    "UsageSummary.costs": VIEW,
    "UsageSummary.metrics": CREDENTIAL,
    "Tenant.seats": USAGE,
    "Tenant.userUsage": USAGE,
    "UserFigures.cost": VIEW,
    "TenantUser.billingRights": PEOPLE,
    "Tenant.broadcasts": USAGE,
    "Tenant.broadcast": USAGE,
    "Broadcast.cost": VIEW,
    "BroadcastCategory.cost": VIEW,
    "BroadcastCountry.cost": VIEW,
    "Tenant.balances": VIEW,
    "Tenant.balance": VIEW,
    "Tenant.charges": VIEW,
    "Tenant.fact": VIEW,
    "Tenant.topUps": VIEW,
    "Tenant.alerts": VIEW,
    "Tenant.thresholds": VIEW,
    "Tenant.banner": VIEW,
    "Tenant.exports": REPORTS,
    "Tenant.export": VIEW,
    "Tenant.reportSchedules": USAGE,
    "Tenant.reportSchedule": USAGE,
    "Tenant.mailboxes": VIEW,
    "Tenant.webhookDeliveries": VIEW,
    "Tenant.webhookEndpoints": VIEW,
    "Tenant.paymentMethod": VIEW,
    "Tenant.purchases": VIEW,
    "Tenant.purchase": VIEW,
    "Tenant.invoices": VIEW,
    "Tenant.invoice": VIEW,
    "Tenant.creditNotes": VIEW,
    "Tenant.creditNote": VIEW,
    "Tenant.account": VIEW,
    "Tenant.invoicePayment": VIEW,
    "Tenant.adjustments": VIEW,
    "Tenant.refunds": VIEW,
    "Tenant.settlements": VIEW,
    "Tenant.unsettledFrom": VIEW,
    "Tenant.closedUntil": VIEW,
    "Tenant.internationalRates": VIEW,
    "Tenant.sending": VIEW,
    "Tenant.billing": VIEW,
    "Tenant.dunning": VIEW,
    "Tenant.subscription": VIEW,
    "Tenant.subscriptions": VIEW,
    "Tenant.holds": VIEW,
    "Tenant.conflicts": OPERATOR.and_(VIEW),
    "Tenant.apiKeys": KEYS,
    "Tenant.users": PEOPLE,
    "Tenant.audit": AUDIT,
    "Mutation.tenantCreate": CHANGES,
    "Mutation.numberCreate": CHANGES,
    "Mutation.topUpCreate": TOPS_UP,
    "Mutation.adjustmentCreate": ADJUSTS,
    "Mutation.refundCreate": ADJUSTS,
    "Mutation.allowanceSet": ADJUSTS,
    "Mutation.planChange": ADJUSTS,
    "Mutation.timezoneChange": ADJUSTS,
    "Mutation.numberTimezoneChange": ADJUSTS,
    "Mutation.internationalRateSet": ADJUSTS,
    "Mutation.sendingSet": ADJUSTS,
    "Mutation.dunningSet": ADJUSTS,
    "Mutation.subscriptionCreate": ADJUSTS,
    "Mutation.subscriptionQuantitySet": ADJUSTS,
    "Mutation.subscriptionPlanSwitch": ADJUSTS,
    "Mutation.subscriptionPause": ADJUSTS,
    "Mutation.subscriptionResume": ADJUSTS,
    "Mutation.subscriptionCancel": ADJUSTS,
    "Mutation.subscriptionRenew": ADJUSTS,
    "Mutation.reportScheduleCreate": MAILS,
    "Mutation.reportScheduleUpdate": MAILS,
    "Mutation.reportScheduleDelete": MAILS,
    "Mutation.exportCreate": VIEW,
    "Mutation.tenantStatusSet": ADJUSTS,
    "Mutation.periodClose": ADJUSTS,
    "Mutation.settle": ADJUSTS,
    "Mutation.priceBookPublish": PUBLISHES,
    "Mutation.apiKeyCreate": KEYS,
    "Mutation.apiKeyRevoke": KEYS,
    "Mutation.widgetTokenCreate": KEYS,
    "Mutation.userCreate": PEOPLE,
    "Mutation.userUpdate": PEOPLE,
    "Mutation.signInLinkCreate": PEOPLE,
    "Mutation.billingAccessGrant": PEOPLE,
    "Mutation.billingAccessRevoke": PEOPLE,
    "Mutation.auditExportCreate": AUDIT,
    "Mutation.usageRecord": EVENTS,
    "Mutation.thresholdSet": PAYS,
    "Mutation.purchaseCreate": PAYS,
    "Mutation.invoicePay": PAYS,
    "Mutation.paymentRecord": TOPS_UP,
    "Mutation.paymentRefund": TOPS_UP,
    "Mutation.paymentTakeBack": TOPS_UP,
    "Mutation.creditNoteCreate": TOPS_UP,
    "Mutation.invoiceVoid": TOPS_UP,
    "Mutation.invoiceCreate": TOPS_UP,
    "Mutation.invoiceIssue": TOPS_UP,
    "Mutation.invoiceDiscard": TOPS_UP,
    "Mutation.billingSet": PAYS,
    "Mutation.refillPolicySet": PAYS,
    "Mutation.paymentMethodSet": PAYS,
    "Mutation.alertAcknowledge": ANSWERS,
    "Mutation.mailboxSet": PAYS,
    "Mutation.mailboxRemove": PAYS,
    "Mutation.webhookEndpointCreate": ANSWERS,
    "Mutation.webhookEndpointUpdate": ANSWERS,
    "Mutation.webhookEndpointDelete": ANSWERS,
    "Mutation.webhookSecretRotate": ANSWERS,
    "Mutation.webhookTest": ANSWERS,
    "Mutation.webhookReplay": ANSWERS,
    "Mutation.authorize": SENDS,
    "Mutation.holdRelease": SENDS,
    "Subscription.alertRaised": VIEW,
    "Subscription.balanceChanged": VIEW,
    "Subscription.usageChanged": USAGE,
}  # fmt: skip

#: What `Query.node` asks for beside a credential, by the type of what it finds.
NODES = {
    "Tenant": CREDENTIAL, "Number": CREDENTIAL, "ApiKey": KEYS, "TenantUser": PEOPLE,
    "TenantSubscription": VIEW, "Invoice": VIEW, "CreditNote": VIEW,
}  # fmt: skip

#: Arguments that ask for more than their field: the field, the arguments, what it then needs.
ARGUMENTS = [
    ("Tenant.usageSeries", {"metrics": "[COST]"}, USAGE.and_(VIEW)),
    ("Tenant.usageChart", {"metrics": "[COST]"}, USAGE.and_(VIEW)),
    ("Tenant.usageSeries", {"metrics": "[COST_TOP_UP]"}, USAGE.and_(VIEW)),
    ("UsageSummary.metrics", {"only": "[COST_INITIAL]"}, USAGE.and_(VIEW)),
    ("Tenant.userUsage", {"sort": "{by: COST}"}, USAGE.and_(VIEW)),
]

#: Each type: what everybody has who holds one, and the fields that need no more.
TYPES: dict[str, tuple[Need, str]] = {
    "Account": (VIEW, "balance credit open overdue payment payments statement"),
    "AccountPayment": (
        VIEW,
        "amount createdAt credit id invoices method note provider receivedOn reference refunded "
        "takenBack used",
    ),
    "AccountPaymentConnection": (VIEW, "edges nodes pageInfo"),
    "AccountPaymentEdge": (VIEW, "cursor node"),
    "AccountRefund": (TOPS_UP, "amount createdAt reason"),
    "Adjustment": (VIEW, "amount balance createdAt id lots reason"),
    "AdjustmentConnection": (VIEW, "edges nodes pageInfo"),
    "AdjustmentEdge": (VIEW, "cursor node"),
    "AgreedInternationalRate": (ADJUSTS, "createdAt from market"),
    "Alert": (
        VIEW,
        "acknowledgedAt at balance banner base cause causeId howToTopUp id invoice kind lastDay "
        "measure remaining subscription threshold value",
    ),
    "AlertConnection": (VIEW, "edges nodes pageInfo position"),
    "AlertEdge": (VIEW, "cursor node"),
    "AlertEvent": (
        VIEW,
        "acknowledgedAt at balance banner base cause causeId howToTopUp id invoice kind lastDay "
        "measure position recovered remaining subscription threshold value",
    ),
    "Amount": (CREDENTIAL, "currency formatted value"),
    "ApiKey": (
        KEYS,
        "createdAt documents expiresAt id lastUsedAt name origins prefix revokedAt scopes tenant",
    ),
    "ApiKeyConnection": (KEYS, "edges nodes pageInfo"),
    "ApiKeyEdge": (KEYS, "cursor node"),
    "AuditConnection": (AUDIT, "edges nodes pageInfo"),
    "AuditEdge": (AUDIT, "cursor node"),
    "AuditEntry": (
        AUDIT,
        "actor actorKind address after at before id requestId subject tenant what",
    ),
    "AuthorizedCharge": (SENDS, "amount balance category rule units"),
    "Balance": (
        VIEW,
        "adjusted asOf available estimate forecast granted held initial key kind lapsed lots name "
        "opening percentUsed rates refillDryRun refillPolicy remaining topUp toppedUp unit used "
        "version",
    ),
    "BalanceChange": (VIEW, "balances cause position recovered"),
    "BalanceDifference": (VIEW, "amount balance"),
    "BalancePart": (VIEW, "adjusted granted lapsed opening remaining used"),
    "Billing": (
        VIEW, "country email invoicing issue issuer lines name reference taxId termsDays"
    ),
    "BillingIssuer": (VIEW, "country eInvoice email key lines name pay taxId"),
    "Broadcast": (
        USAGE,
        "asOf byCategory byCountry conversations delivered estimate failed id lastAt messages "
        "pending read recipients startedAt",
    ),
    "BroadcastCategory": (USAGE, "category conversations messages"),
    "BroadcastConnection": (USAGE, "edges nodes pageInfo"),
    "BroadcastCountry": (USAGE, "conversations country messages"),
    "BroadcastEdge": (USAGE, "cursor node"),
    "Charge": (
        VIEW,
        "amount at balance bookedAt category channel contact explanation factId flags group id "
        "lots market number refunded reversal revision rule source status type units",
    ),
    "ChargeConnection": (VIEW, "edges nodes pageInfo"),
    "ChargeEdge": (VIEW, "cursor node"),
    "ChargeLeg": (VIEW, "amount lot"),
    "ChargePayer": (VIEW, "amount endsAt lot place priority source startsAt"),
    "ChargeRule": (VIEW, "book bookVersion name rate"),
    "ChargeWindow": (VIEW, "endsAt kind openedAt openedBy openedBySource"),
    "Conflict": (OPERATOR.and_(VIEW), "arrivedAt at data factId source"),
    "Dunning": (VIEW, "holds invoices isDefault owed prepaid since steps"),
    "DunningNextStep": (VIEW, "action at"),
    "DunningStep": (VIEW, "action days prepaid"),
    "DunnedInvoice": (VIEW, "balance nextStep number overdueSince"),
    "CreditNote": (
        VIEW,
        "buyer createdAt currency download id invoice invoiceNumber issuedAt issuedOn issuer "
        "lineCount lines net note number rounding tax taxes timezone total",
    ),
    "CreditNoteConnection": (VIEW, "edges nodes pageInfo"),
    "CreditNoteEdge": (VIEW, "cursor node"),
    "Estimate": (
        ESTIMATES,
        "at balances count lines refused refusedCount repeated suffices unrated version",
    ),
    "EstimateBalance": (
        ESTIMATES, "availableAfter availableBefore cost key lots shortfall unit"
    ),
    "EstimateLeg": (ESTIMATES, "amount lot source"),
    "EstimateLine": (ESTIMATES, "balance category cost count market price reason rule units"),
    "EstimateRefusal": (ESTIMATES, "message reason recipient"),
    "EstimateUnrated": (ESTIMATES, "category count market reason"),
    "Explanation": (
        VIEW,
        "amount arithmetic arrivedAt country freeCount hold late lots market prefix price "
        "replacedBy reversalOf reversedBy rounded rule sentence tier units why window",
    ),
    "Fact": (
        VIEW,
        "arrivedAt at category channel charges contact factId flags group hold number sentence "
        "source status type why",
    ),
    "Forecast": (
        VIEW,
        "basisDays confidence daysLeft earliest endsWithLot enoughFor latest outlook refillsAt "
        "runningOutDays runsOutAt sentence until",
    ),
    "ForecastEnough": (VIEW, "category count market unit"),
    "FreeCount": (CREDENTIAL, "count name per"),
    "FreeCountPosition": (VIEW, "count month name number per"),
    "HeldAmount": (ESTIMATES, "amount balance"),
    "Hold": (VIEW, "amounts expiresAt grantedAt id recipients"),
    "HoldConnection": (VIEW, "edges nodes pageInfo"),
    "HoldEdge": (VIEW, "cursor node"),
    "GrantedHold": (SENDS, "expiresAt id recipients"),
    "HowToTopUp": (VIEW, "minimum pack price selfService supportContact"),
    "InternationalRate": (VIEW, "from market"),
    "LiveUsage": (
        USAGE, "asOf availableUsers openConversations openWindows version visitors"
    ),
    "Lot": (VIEW, "amount createdAt endsAt id lapsed priority remaining source startsAt used"),
    "LotMove": (VIEW, "amount lot"),
    "Download": (CREDENTIAL, "expiresAt name url"),
    "Export": (
        REPORTS,
        "asOf createdAt done download error estimate finishedAt id kinds letters report size state "
        "total year",
    ),
    "ExportConnection": (REPORTS, "edges nodes pageInfo"),
    "ExportEdge": (REPORTS, "cursor node"),
    "ReportSchedule": (
        USAGE,
        "active changedBy createdAt createdBy hour id lastError lastExport nextAt report rhythm",
    ),
    "ScheduledReport": (USAGE, "chart costs filter format kind locale recipients"),
    "ReportFilterValues": (REPORTS, "dimension values"),
    "ReportChart": (REPORTS, "bucket groupBy height metrics theme width"),
    "Report": (REPORTS, "chart costs end filter format kind locale recipients start"),
    "ReportColumn": (CREDENTIAL, "cost description name type unit"),
    "ReportLetter": (REPORTS, "email error sentAt state"),
    "Mailbox": (
        VIEW,
        "createdAt email id kinds lastError lastSentAt locale quietFrom quietUntil urgentAnyway",
    ),
    "Number": (CREDENTIAL, "address channel id timezone timezoneChange"),
    "OwnRefillPolicy": (
        PAYS, "amount balance createdAt dayCap enabled minimum monthCap price"
    ),
    "OwnThresholds": (PAYS, "balance createdAt isDefault percents runningOutDays units"),
    "OwnAllowance": (ADJUSTS, "amount balance createdAt since"),
    "PageInfo": (CREDENTIAL, "endCursor hasNextPage"),
    "Invoice": (
        VIEW,
        "asOf balance buyer createdAt creditNotes credited currency download dueOn id issuedAt "
        "issuedOn issuer lineCount lines month net note number origin paid payments period "
        "rounding status statusChangesAt tax taxes timezone total voidedAt",
    ),
    "InvoiceAllocation": (VIEW, "amount id receivedOn"),
    "InvoiceConnection": (VIEW, "edges nodes pageInfo"),
    "InvoiceEdge": (VIEW, "cursor node"),
    "InvoiceLine": (
        VIEW,
        "amount balance category description exact kind market of period price quantity rule unit",
    ),
    "InvoicePeriod": (VIEW, "from until"),
    "Party": (VIEW, "country email key lines name reference taxId"),
    "InvoicePayment": (
        VIEW, "amount createdAt expiresAt id invoice payUrl payments reason status"
    ),
    "Payment": (
        VIEW, "askedAt dueAt endedAt key number provider reason reference status"
    ),
    "PaidInvoice": (VIEW, "amount number"),
    "PaymentMethod": (VIEW, "createdAt label provider"),
    "Period": (CREDENTIAL, "end label start"),
    "PlanChange": (ADJUSTS, "createdAt grants plan since"),
    "PriceBook": (OPERATOR, "currency key rows version"),
    "PriceBookConnection": (OPERATOR, "nodes pageInfo"),
    "PriceBookRowConnection": (OPERATOR, "nodes pageInfo"),
    "Purchase": (
        VIEW,
        "amount balance createdAt expiresAt id invoice kind net paidAt payUrl payments reason "
        "receipt status tax topUp total",
    ),
    "PurchaseConnection": (VIEW, "edges nodes pageInfo"),
    "PurchaseEdge": (VIEW, "cursor node"),
    "Rate": (
        CREDENTIAL,
        "basis category channel chargedOn currency direction freeCount freeIn group increments "
        "market price rule tier validFrom",
    ),
    "RateIncrements": (CREDENTIAL, "first step"),
    "RateTier": (CREDENTIAL, "above upTo"),
    "RefusedSend": (
        SENDS,
        "available balance message reason recipient refillPending required shortfall",
    ),
    "Receipt": (
        VIEW,
        "buyer country downloadUrl expiresAt issuedAt lines net number paidAt provider reference "
        "seller sellerContact takenBackAt tax taxes total",
    ),
    "ReceiptLine": (VIEW, "amount balance exact name pack packs price units"),
    "RefillDryRun": (
        VIEW, "cappedAt charges lowest lowestAt sentence times total"
    ),
    "RefillDryRunCharge": (VIEW, "amount at price"),
    "RefillPolicy": (
        VIEW,
        "amount dayCap enabled inFlight isDefault minimum monthCap nextTryAt offReason offSince "
        "price",
    ),
    "Refund": (
        VIEW, "amount balance charge createdAt forfeited id lots reason takenBack topUp"
    ),
    "RefundConnection": (VIEW, "edges nodes pageInfo"),
    "RefundEdge": (VIEW, "cursor node"),
    "RoleCount": (USAGE, "count role"),
    "Seats": (USAGE, "available maximum used"),
    "Sending": (
        CREDENTIAL, "callSeconds caps failOpen holdSeconds recipientsMax sentSeconds"
    ),
    "SendingCap": (CREDENTIAL, "balance day month"),
    "SendingFailOpen": (CREDENTIAL, "amount balance"),
    "Settlement": (
        VIEW, "cause corrected differences id period settledAt startedAt version"
    ),
    "SettlementConnection": (VIEW, "edges nodes pageInfo"),
    "SettlementEdge": (VIEW, "cursor node"),
    "Simulation": (
        VIEW,
        "asOf balances books charged chargedUnrated count difference end facts plans rows settled "
        "simulated start unrated version",
    ),
    "SimulationBalance": (VIEW, "charged difference key simulated unit"),
    "SimulationDraw": (VIEW, "allowance beyond bought total"),
    "SimulationRow": (
        VIEW,
        "balances category channel charged chargedFree chargedUnrated count difference free "
        "market month number simulated units unrated",
    ),
    "SimulationShare": (VIEW, "balance charged simulated"),
    "TaxLine": (VIEW, "amount base inclusive name rate"),
    "StatementConnection": (VIEW, "closing download edges nodes opening pageInfo"),
    "StatementEdge": (VIEW, "cursor node"),
    "StatementEntry": (VIEW, "amount at balance day invoice kind payment reference"),
    "SubscriptionChange": (
        VIEW, "agreedAt component day kind lastDay quantity words"
    ),
    "SubscriptionComponent": (VIEW, "key name price quantity total unit"),
    "SubscriptionSetupFee": (VIEW, "billed key name price"),
    "SubscriptionTerm": (VIEW, "endsOn months renews"),
    "Tenant": (
        CREDENTIAL,
        "country createdAt currency id key locale name numbers period plan since status timezone "
        "timezoneChange usageRanges",
    ),
    "TenantConnection": (CREDENTIAL, "edges nodes pageInfo"),
    "TenantEdge": (CREDENTIAL, "cursor node"),
    "TenantSubscription": (
        VIEW,
        "changes components createdAt endingSaidFrom id key lastDay monthlyTotal name plan "
        "setupFees start status term",
    ),
    "TenantUser": (
        USERS, "active channels createdAt email externalId id name role tenant"
    ),
    "TenantUserConnection": (PEOPLE, "edges nodes pageInfo"),
    "TenantUserEdge": (PEOPLE, "cursor node"),
    "Threshold": (VIEW, "balance isDefault level percent units"),
    "TierPosition": (VIEW, "above month number upTo"),
    "TimezoneChange": (CREDENTIAL, "startsAt timezone"),
    "TopUp": (
        VIEW, "amount balance createdAt expiresAt id lot note price source startsAt"
    ),
    "TopUpConnection": (VIEW, "edges nodes pageInfo"),
    "TopUpEdge": (VIEW, "cursor node"),
    "UsageBalance": (VIEW, "initial key name topUp unit used"),
    "UsageCards": (USAGE, "authentication delivered free marketing service utility"),
    "UsageCategory": (USAGE, "category change previous toDate value"),
    "UsageChange": (USAGE, "live position recovered"),
    "UsageCharge": (EVENTS, "amount balance category currency rule units"),
    "UsageCompact": (USAGE, "starts values"),
    "UsageConversations": (USAGE, "businessInitiated byCategory service total"),
    "UsageCost": (VIEW, "amount change previous toDate"),
    "UsageCosts": (VIEW, "initial topUp total"),
    "UsageFigure": (USAGE, "change previous toDate value"),
    "UsageKey": (USAGE, "dimension value"),
    "UsageMetric": (USAGE, "change currency metric previous toDate value"),
    "UsagePoint": (USAGE, "complete end start value"),
    "UsagePrevious": (USAGE, "change compact end points start toDate total"),
    "UsageRangeBefore": (USAGE, "end reach start"),
    "UsageRanges": (CREDENTIAL, "chartDays usage users"),
    "UsageResult": (EVENTS, "charges id message path reason status"),
    "UsageSeries": (
        USAGE, "asOf compact currency estimate key metric points previous total"
    ),
    "UsageSummary": (
        USAGE, "asOf cards complete conversations end estimate previous start"
    ),
    "UserError": (CREDENTIAL, "code field message"),
    "UserFigures": (USAGE, "conversations messagesIn messagesOut minutes seconds"),
    "UserUsage": (USAGE, "active figures firstActivity lastActivity role user"),
    "UserUsageConnection": (
        USAGE, "asOf byRole edges end estimate nodes pageInfo start totalCount unassigned"
    ),
    "UserUsageEdge": (USAGE, "cursor node"),
    "Verification": (ADJUSTS, "facts findings unsettled unsettledFrom version wrong"),
    "VerificationFinding": (ADJUSTS, "column found right row table"),
    "VerificationUnsettled": (ADJUSTS, "count table"),
    "Viewer": (CREDENTIAL, "kind name permissions role scopes tenant tenants"),
    "WebhookDelivery": (
        VIEW,
        "body createdAt endedAt endpoint event id nextTryAt status tries type url",
    ),
    "WebhookDeliveryConnection": (VIEW, "edges nodes pageInfo"),
    "WebhookDeliveryEdge": (VIEW, "cursor node"),
    "WebhookEndpoint": (
        VIEW,
        "createdAt description disabledAt disabledReason enabled failingSince id kinds "
        "oldSecretSignsUntil url",
    ),
    "WebhookTry": (VIEW, "answer at milliseconds status why"),
    # What mutations answer.
    "AdjustmentCreatePayload": (ADJUSTS, "adjustment userErrors"),
    "AlertAcknowledgePayload": (ANSWERS, "alert userErrors"),
    "AllowanceSetPayload": (ADJUSTS, "allowance userErrors"),
    "ApiKeyCreatePayload": (KEYS, "apiKey secret userErrors"),
    "ApiKeyRevokePayload": (KEYS, "apiKey userErrors"),
    "AuditExportCreatePayload": (AUDIT, "expiresAt url userErrors"),
    "AuthorizePayload": (
        SENDS, "balance charges granted hold low price refusal remaining userErrors"
    ),
    "BillingAccessGrantPayload": (PEOPLE, "user userErrors"),
    "BillingAccessRevokePayload": (PEOPLE, "user userErrors"),
    "DunningSetPayload": (ADJUSTS, "dunning userErrors"),
    "ReportScheduleCreatePayload": (USAGE, "schedule userErrors"),
    "ReportScheduleUpdatePayload": (USAGE, "schedule userErrors"),
    "ReportScheduleDeletePayload": (USAGE, "id userErrors"),
    "ExportCreatePayload": (VIEW, "export userErrors"),
    "HoldReleasePayload": (SENDS, "amounts released userErrors"),
    "InternationalRateSetPayload": (ADJUSTS, "internationalRate userErrors"),
    "BillingSetPayload": (PAYS, "billing userErrors"),
    "InvoicePayPayload": (PAYS, "payment userErrors"),
    "InvoiceCreatePayload": (TOPS_UP, "invoice userErrors"),
    "InvoiceIssuePayload": (TOPS_UP, "invoice userErrors"),
    "InvoiceDiscardPayload": (TOPS_UP, "id userErrors"),
    "MailboxRemovePayload": (PAYS, "id userErrors"),
    "MailboxSetPayload": (PAYS, "mailbox userErrors"),
    "NumberCreatePayload": (CHANGES, "number userErrors"),
    "NumberTimezoneChangePayload": (ADJUSTS, "number startsAt timezone userErrors"),
    "PaymentMethodSetPayload": (PAYS, "paymentMethod userErrors"),
    "PeriodClosePayload": (ADJUSTS, "closedUntil corrected period userErrors"),
    "PlanChangePayload": (ADJUSTS, "planChange userErrors"),
    "PriceBookPublishPayload": (PUBLISHES, "priceBook priceBooks userErrors warnings"),
    "PurchaseCreatePayload": (PAYS, "purchase userErrors"),
    "RefillPolicySetPayload": (PAYS, "policy userErrors"),
    "CreditNoteCreatePayload": (TOPS_UP, "creditNote userErrors"),
    "InvoiceVoidPayload": (TOPS_UP, "invoice userErrors"),
    "PaymentRecordPayload": (TOPS_UP, "payment userErrors"),
    "PaymentRefundPayload": (TOPS_UP, "refund userErrors"),
    "PaymentTakeBackPayload": (TOPS_UP, "payment userErrors"),
    "RefundCreatePayload": (ADJUSTS, "refund userErrors"),
    "SendingSetPayload": (ADJUSTS, "sending userErrors"),
    "SettlePayload": (ADJUSTS, "corrected differences facts settlement userErrors"),
    "SignInLinkCreatePayload": (PEOPLE, "expiresAt url userErrors"),
    "TenantCreatePayload": (CHANGES, "tenant userErrors"),
    "TenantStatusSetPayload": (ADJUSTS, "tenant userErrors"),
    "SubscriptionCreatePayload": (ADJUSTS, "subscription userErrors"),
    "SubscriptionQuantitySetPayload": (ADJUSTS, "subscription userErrors"),
    "SubscriptionPlanSwitchPayload": (ADJUSTS, "subscription userErrors"),
    "SubscriptionPausePayload": (ADJUSTS, "subscription userErrors"),
    "SubscriptionResumePayload": (ADJUSTS, "subscription userErrors"),
    "SubscriptionCancelPayload": (ADJUSTS, "subscription userErrors"),
    "SubscriptionRenewPayload": (ADJUSTS, "subscription userErrors"),
    "ThresholdSetPayload": (PAYS, "thresholds userErrors"),
    "TimezoneChangePayload": (ADJUSTS, "startsAt tenant timezone userErrors"),
    "TopUpCreatePayload": (TOPS_UP, "topUp userErrors"),
    "UsageRecordPayload": (EVENTS, "results userErrors"),
    "UserCreatePayload": (PEOPLE, "user userErrors"),
    "UserUpdatePayload": (PEOPLE, "user userErrors"),
    "WebhookEndpointCreatePayload": (ANSWERS, "endpoint secret userErrors"),
    "WebhookEndpointDeletePayload": (ANSWERS, "endpoint userErrors"),
    "WebhookEndpointUpdatePayload": (ANSWERS, "endpoint userErrors"),
    "WebhookReplayPayload": (ANSWERS, "delivery userErrors"),
    "WebhookSecretRotatePayload": (ANSWERS, "endpoint secret userErrors"),
    "WebhookTestPayload": (ANSWERS, "delivery userErrors"),
    "WidgetTokenCreatePayload": (KEYS, "apiKey expiresAt token userErrors"),
}  # fmt: skip

#: Mutations that answer with objects their callers could not look up: they made them.
MADE = {
    "AdjustmentCreatePayload.adjustment",
    "BillingSetPayload.billing",
    "DunningSetPayload.dunning",
    "InvoicePayPayload.payment",
    "CreditNoteCreatePayload.creditNote",
    "InvoiceVoidPayload.invoice",
    "InvoiceCreatePayload.invoice",
    "InvoiceIssuePayload.invoice",
    "MailboxSetPayload.mailbox",
    "PaymentRecordPayload.payment",
    "PaymentTakeBackPayload.payment",
    "PaymentMethodSetPayload.paymentMethod",
    "PurchaseCreatePayload.purchase",
    "RefundCreatePayload.refund",
    "SettlePayload.differences",
    "SettlePayload.settlement",
    "SubscriptionCreatePayload.subscription",
    "SubscriptionQuantitySetPayload.subscription",
    "SubscriptionPlanSwitchPayload.subscription",
    "SubscriptionPausePayload.subscription",
    "SubscriptionResumePayload.subscription",
    "SubscriptionCancelPayload.subscription",
    "SubscriptionRenewPayload.subscription",
    "TopUpCreatePayload.topUp",
}

#: Routes by path and method: None is anybody. What a route asks of whoever is let in is its own.
ROUTES: dict[tuple[str, str], Need | None] = {
    ("/", "GET"): None,
    ("/healthz", "GET"): None,
    ("/readyz", "GET"): None,
    ("/.well-known/jwks.json", "GET"): None,
    ("/sign-in", "GET"): None,
    ("/v1/sign-in", "POST"): None,  # the link is the credential
    ("/v1/downloads/{link}", "GET"): None,  # the link is signed
    ("/v1/webhooks/payments/{provider}", "POST"): None,  # the notice is signed
    ("/sandbox/pay/{key}", "GET"): None,  # where no money moves, whoever has the key may pay
    ("/sandbox/pay/{key}", "POST"): None,
    ("/metrics", "GET"): OPERATOR,  # or from this machine
    ("/v1/events", "POST"): EVENTS,
    ("/v1/authorize", "POST"): SENDS,
    ("/graphql", "GET"): None,  # its fields ask, see above
    ("/graphql", "POST"): None,
    ("/graphql", "WEBSOCKET"): None,
    ("/graphql/stream", "GET"): None,
    ("/graphql/stream", "POST"): None,
}


def need_of(field: str) -> Need | None:
    """What a field `Type.name` needs of its own; None where its object is enough."""
    return GUARDED.get(field)


def declared() -> set[str]:
    """Every field of the table, as `Type.name`."""
    fields = [f"{name}.{field}" for name, (_, words) in TYPES.items() for field in words.split()]
    assert len(fields) == len(set(fields)), "a field stands twice"
    twice = GUARDED.keys() & set(fields)
    assert not twice, f"{twice} need something and nothing"
    return {*fields, *GUARDED}
