"""The keys under which the stand-in's application keeps its parts."""

from aiohttp import web
from pydantic import SecretStr

from providers.paddle.stand_in.deliveries import Deliveries
from providers.paddle.stand_in.seller import Seller
from providers.paddle.stand_in.stories import Stories

API_KEY = web.AppKey("paddle_stand_in_api_key", SecretStr)
SELLER = web.AppKey("paddle_stand_in_seller", Seller)
DELIVERIES = web.AppKey("paddle_stand_in_deliveries", Deliveries)
STORIES = web.AppKey("paddle_stand_in_stories", Stories)
