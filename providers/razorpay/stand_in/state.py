"""The keys under which the stand-in's application keeps its parts."""

from aiohttp import web

from providers.razorpay.config import RazorpayConfig
from providers.razorpay.stand_in.deliveries import Deliveries
from providers.razorpay.stand_in.seller import Seller
from providers.razorpay.stand_in.stories import Stories

CONFIG = web.AppKey("razorpay_stand_in_config", RazorpayConfig)
SELLER = web.AppKey("razorpay_stand_in_seller", Seller)
DELIVERIES = web.AppKey("razorpay_stand_in_deliveries", Deliveries)
STORIES = web.AppKey("razorpay_stand_in_stories", Stories)
