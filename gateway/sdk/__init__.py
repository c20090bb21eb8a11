"""Everything a provider plugin may import. The guide is `docs/providers.md`."""

from gateway.domain.attribution import Attribution
from gateway.domain.errors import Malformed, ProviderError, Rejected, Unavailable, Unsupported
from gateway.domain.messages import (
    Accepted,
    Answered,
    Checkout,
    CheckoutRequest,
    Delivery,
    Headers,
    Ignored,
    MetadataLimits,
    Page,
    RefusalReason,
    Refused,
    Reply,
    WebhookRequest,
    headers_of,
)
from gateway.domain.money import Money, from_major
from gateway.domain.revenue import RevenueEvent, RevenueKind
from gateway.domain.text import checked, checked_or_none, is_storable
from gateway.sdk.provider import (
    API,
    ENTRY_POINT_GROUP,
    Plugin,
    Provider,
    Runtime,
    SupportsLookup,
    SupportsProbe,
    SupportsStandIn,
)
from gateway.sdk.schemes import BodyHmac, Proven, StandardWebhooks, decoded_secret
from gateway.sdk.signature import hmac_sha256, matching_secret, refused_by_age, unix_seconds

__all__ = [
    "API",
    "ENTRY_POINT_GROUP",
    "Accepted",
    "Answered",
    "Attribution",
    "BodyHmac",
    "Checkout",
    "CheckoutRequest",
    "Delivery",
    "Headers",
    "Ignored",
    "Malformed",
    "MetadataLimits",
    "Money",
    "Page",
    "Plugin",
    "Proven",
    "Provider",
    "ProviderError",
    "RefusalReason",
    "Refused",
    "Rejected",
    "Reply",
    "RevenueEvent",
    "RevenueKind",
    "Runtime",
    "StandardWebhooks",
    "SupportsLookup",
    "SupportsProbe",
    "SupportsStandIn",
    "Unavailable",
    "Unsupported",
    "WebhookRequest",
    "checked",
    "checked_or_none",
    "decoded_secret",
    "from_major",
    "headers_of",
    "hmac_sha256",
    "is_storable",
    "matching_secret",
    "refused_by_age",
    "unix_seconds",
]
