"""The keys under which the stand-in's application keeps its parts."""

from aiohttp import web
from pydantic import SecretStr

from providers.stripe.stand_in.deliveries import Deliveries
from providers.stripe.stand_in.seller import Seller
from providers.stripe.stand_in.stories import Stories

API_KEY = web.AppKey("stripe_stand_in_api_key", SecretStr)
SELLER = web.AppKey("stripe_stand_in_seller", Seller)
DELIVERIES = web.AppKey("stripe_stand_in_deliveries", Deliveries)
STORIES = web.AppKey("stripe_stand_in_stories", Stories)
