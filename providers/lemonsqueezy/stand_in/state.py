"""The keys under which the stand-in's application keeps its parts."""

from aiohttp import web
from pydantic import SecretStr

from providers.lemonsqueezy.stand_in.actions import Actions
from providers.lemonsqueezy.stand_in.deliveries import Deliveries
from providers.lemonsqueezy.stand_in.store import Store

API_KEY = web.AppKey("lemonsqueezy_stand_in_api_key", SecretStr)
STORE = web.AppKey("lemonsqueezy_stand_in_store", Store)
DELIVERIES = web.AppKey("lemonsqueezy_stand_in_deliveries", Deliveries)
ACTIONS = web.AppKey("lemonsqueezy_stand_in_actions", Actions)
