"""
What a valid configuration is. Frozen; durations are timedeltas, secrets are `SecretStr`.

`name` and `settings` are not written in the file: they come from the place in it and from the plugin's own model.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, model_validator

from gateway.config.kinds import (
    EMBEDDED,
    BaseUrl,
    Claims,
    Currencies,
    Currency,
    DatabaseUrl,
    FauryaUrl,
    HeaderSecret,
    HeaderText,
    Host,
    Lease,
    Network,
    OneCurrency,
    Origin,
    Page,
    Port,
    PositiveSpan,
    Price,
    Span,
    Text,
    Whole,
)
from gateway.domain.errors import Malformed
from gateway.domain.money import Money, from_major

Environment: TypeAlias = Literal["sandbox", "live"]
AmountChoice: TypeAlias = Literal["gross", "net_of_tax", "earnings"]
AmountUnit: TypeAlias = Literal["minor", "major"]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class Part(BaseModel):
    """A part of the configuration: frozen, unknown keys refused, values never in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Server(Part):
    """Where the gateway listens and how it is reached."""

    host: Host = "127.0.0.1"
    port: Port = 8080
    public_url: BaseUrl = Field(
        default_factory=lambda data: f"http://{_bracketed(data['host'])}:{data['port']}",
        description="the address that providers call, such as https://pay.example.com",
    )
    require_https: bool = Field(default_factory=lambda data: data["public_url"].startswith("https:"))
    trusted_proxies: tuple[Network, ...] = ()
    metrics_port: Port | None = None
    max_body_bytes: Whole = Field(default=1_048_576, ge=1024, le=67_108_864)
    body_deadline: PositiveSpan = timedelta(seconds=10)


class Database(Part):
    """Where rows are kept. `data_dir` is absolute once loaded and is used by the embedded database only."""

    url: DatabaseUrl = Field(description="postgresql://user:password@host/database, or the word embedded")
    data_dir: Path = Path(".gateway-data")
    allow_embedded: bool = False
    pool_size: Whole = Field(default=10, ge=1, le=1000)
    pgbouncer: bool = False

    @property
    def embedded(self) -> bool:
        """Whether the gateway runs its own Postgres."""
        return self.url.get_secret_value() == EMBEDDED


class Worker(Part):
    """How booked money is delivered."""

    lease: Lease = timedelta(seconds=30)
    concurrency_per_site: Whole = Field(default=8, ge=1, le=1000)


class Retry(Part):
    """Waits between the attempts of one delivery; after the last it is dead."""

    schedule: tuple[PositiveSpan, ...] = Field(
        default=(
            timedelta(seconds=5),
            timedelta(seconds=30),
            timedelta(minutes=2),
            timedelta(minutes=10),
            timedelta(minutes=30),
            *(timedelta(hours=hours) for hours in (1, 2, 5, 10, 14, 20, 24)),
        ),
        min_length=1,
        max_length=100,
    )


class Booking(Part):
    """How long a refund or a renewal waits for its sale."""

    wait: Span = timedelta(hours=24)


class Retention(Part):
    """How long webhooks are kept as received."""

    raw_days: Whole = Field(default=90, ge=1, le=36_500)


class Limits(Part):
    """How many checkouts a site may create."""

    checkouts_per_minute_per_ip: Whole = Field(default=30, ge=1, le=1_000_000)
    checkouts_per_minute: Whole = Field(default=120, ge=1, le=1_000_000)


class Plugins(Part):
    """What happens when a plugin does not load, and how long one call into a plugin may take."""

    on_failure: Literal["refuse", "skip"] = "refuse"
    deadline: PositiveSpan = timedelta(seconds=10)


class SiteCheckout(Part):
    """Who else may create checkouts."""

    backend_key: HeaderSecret | None = None


class Revenue(Part):
    """Faurya as its guide describes it: site id and write key."""

    api: Literal["revenue"]
    url: FauryaUrl = Field(description="the https address of Faurya")
    site_id: HeaderText = Field(description="the site id that Faurya shows")
    write_key: HeaderSecret = Field(description="the site's write key in Faurya")
    amount: AmountChoice = "gross"
    amount_unit: AmountUnit = "minor"
    forward_refunds: bool = False
    forward_test: bool = False
    currencies: Currencies = None


class Payments(Part):
    """Faurya's public API v1: one bearer key per site. It knows no refunds and no currencies."""

    api: Literal["payments"]
    url: FauryaUrl = "https://api.faurya.com"
    api_key: HeaderSecret = Field(description="the site's API key in Faurya")
    amount: AmountChoice = "gross"
    amount_unit: AmountUnit = "major"
    forward_test: bool = False
    currencies: OneCurrency = Field(
        description="one currency such as USD, or the word any: the payments API adds up numbers without currency"
    )
    forward_refunds: ClassVar[Literal[False]] = False


Faurya: TypeAlias = Annotated[Revenue | Payments, Field(discriminator="api")]


class Sweep(Part):
    """How often the provider's own list is read, and how far back beyond the last reading."""

    every: PositiveSpan = timedelta(hours=1)
    overlap: Span = timedelta(hours=2)


class Connection(Part):
    """One site's named use of a provider with its own credentials."""

    name: str
    plugin: Text
    environment: Environment = Field(description="sandbox or live")
    claims: Claims = "all"
    forward: bool = True
    sweep: Sweep = Sweep()
    settings: SerializeAsAny[BaseModel]


class Item(Part):
    """One price of the provider's catalogue."""

    price_id: Text = Field(description="the id of a price at the provider")
    quantity: Whole = Field(default=1, ge=1, le=1_000_000)


class Quantity(Part):
    """What the caller may choose."""

    min: Whole = Field(default=1, ge=1, le=1_000_000)
    max: Whole = Field(ge=1, le=1_000_000, description="the most that a caller may order")

    @model_validator(mode="after")
    def _ordered(self) -> "Quantity":
        if self.max < self.min:
            raise ValueError("max must not be below min")
        return self


class Amount(Part):
    """A price without a catalogue. `value` is text, because a YAML number may not be exact."""

    value: Price = Field(description='the price in quotes, such as "49.00"')
    currency: Currency = Field(description="an ISO 4217 code such as USD")

    @model_validator(mode="after")
    def _exact(self) -> "Amount":
        try:
            minor = from_major(self.value, self.currency).minor
        except Malformed:
            raise ValueError("the value must not have more decimal places than the currency has") from None
        if minor == 0:
            raise ValueError("the value must be above 0")
        return self

    @property
    def money(self) -> Money:
        """The exact amount in the currency's minor unit."""
        return from_major(self.value, self.currency)

    @property
    def minor(self) -> int:
        """The amount in the currency's minor unit."""
        return self.money.minor


class Plan(Part):
    """What a buyer can order: `items` of a catalogue, or an `amount`. `options` is None where the plugin takes none."""

    name: str
    provider: str = Field(description="the name of one of the site's connections")
    items: tuple[Item, ...] = Field(default=(), min_length=1, max_length=100)
    amount: Amount | None = None
    quantity: Quantity | None = None
    options: SerializeAsAny[BaseModel] | None = None


class Site(Part):
    """
    One website with its own Faurya destination.

    `skipped` says why a connection is missing: its plugin does not load, and `plugins.on_failure` is `skip`.
    """

    name: str
    origins: tuple[Origin, ...] = ()
    checkout: SiteCheckout = SiteCheckout()
    faurya: Faurya = Field(description="where the site's money is recorded, such as {api: revenue, ...}")
    providers: Mapping[str, Connection] = Field(description="at least one connection to a payment provider")
    plans: Mapping[str, Plan] = {}
    success_url: Page | None = None
    cancel_url: Page | None = None
    skipped: Mapping[str, str] = {}


class Config(Part):
    """Everything that the files, `.env` and the environment say, checked."""

    server: Server = Server()
    database: Database = Field(description="add database: {url: ...}")
    worker: Worker = Worker()
    retry: Retry = Retry()
    booking: Booking = Booking()
    retention: Retention = Retention()
    limits: Limits = Limits()
    plugins: Plugins = Plugins()
    sites: Mapping[str, Site]
