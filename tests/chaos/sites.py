"""The sites of the storm: three shops, both of Faurya's dialects, one slow Faurya, and their configuration."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shop:
    """A site. `remembers` says that its Faurya recognizes a repeat; `slow` is how long an answer takes, in seconds."""

    name: str
    api: str
    remembers: bool
    slow: tuple[float, float] = (0.0, 0.02)

    @property
    def api_key(self) -> str:
        return f"made-up-key-of-{self.name}"

    @property
    def secret(self) -> bytes:
        return f"pdl_ntfset_made_up_{self.name}".encode()

    @property
    def faurya_key(self) -> str:
        return f"{self.name}-faurya-key"


SHOPS = (
    Shop("acme", "revenue", remembers=False),
    Shop("globex", "payments", remembers=True),
    Shop("initech", "revenue", remembers=True, slow=(0.2, 0.5)),
)
BY_NAME = {shop.name: shop for shop in SHOPS}

CONNECTION = "paddle"

HEAD = """
server: {{port: {port}, public_url: "http://127.0.0.1:{port}"}}
database: {{url: "${{CHAOS_DATABASE}}", pool_size: 8}}
worker: {{lease: 15s}}
plugins: {{deadline: 5s}}
retry: {{schedule: [1s, 2s, 3s, {rest}]}}
sites:
"""
SITE = """
  {name}:
    faurya: {{url: "{faurya}", {faurya_settings}}}
    providers:
      paddle: {{environment: live, api_key: {api_key}, webhook_secrets: [{secret}], base_url: "{paddle}"}}
"""


def configuration(*, port: int, faurya: str, paddle: str) -> str:
    """Return a configuration file; the database's address comes from the environment, so that processes can differ."""
    text = HEAD.format(port=port, rest=", ".join(["5s"] * 90))
    for shop in SHOPS:
        text += SITE.format(
            name=shop.name,
            faurya=faurya,
            faurya_settings=_faurya(shop),
            api_key=shop.api_key,
            secret=shop.secret.decode(),
            paddle=paddle,
        )
    return text


def _faurya(shop: Shop) -> str:
    if shop.api == "payments":
        return f"api: payments, api_key: {shop.faurya_key}, currencies: any"
    return f"api: revenue, site_id: {shop.name}, write_key: {shop.faurya_key}, forward_refunds: true"
