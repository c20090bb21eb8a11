"""
A stand-in for Faurya: both dialects, every open question a switch, everything it was told on a page.

    POST /api/revenue               the guide's call: site id and write key in headers
    POST /api/v1/payments           the public API: bearer key
    GET  /api/v1/visitors/{id}      200, 401 or 404
    GET  /                          the page: what was recorded and refused, per site
    GET  /switches                  the page of switches
    GET, PUT /stand-in/switches     the same as JSON; PUT takes only what is to change
    GET, DELETE /stand-in/records   what was recorded and refused (`?site=`); forget all of it
"""

from gateway.dev.faurya_stand_in.keys import StandInSite
from gateway.dev.faurya_stand_in.server import faurya_stand_in
from gateway.dev.faurya_stand_in.switches import Switches

__all__ = ["StandInSite", "Switches", "faurya_stand_in"]
