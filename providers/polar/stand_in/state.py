"""The keys under which the stand-in's application keeps its parts."""

from aiohttp import web
from pydantic import SecretStr

from providers.polar.stand_in.deliveries import Deliveries
from providers.polar.stand_in.seller import Seller
from providers.polar.stand_in.stories import Stories

TOKEN = web.AppKey("polar_stand_in_token", SecretStr)
SELLER = web.AppKey("polar_stand_in_seller", Seller)
DELIVERIES = web.AppKey("polar_stand_in_deliveries", Deliveries)
STORIES = web.AppKey("polar_stand_in_stories", Stories)
