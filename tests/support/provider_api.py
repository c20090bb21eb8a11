"""A provider's API answered from a script: aioresponses 0.7.9 made to work with aiohttp 3.14."""

from unittest.mock import Mock

import aiohttp
from aioresponses import aioresponses


class CompleteResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not pass what aiohttp 3.14 wants to be given."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


class Script(aioresponses):
    """Answers, added one by one; what was asked stands in `requests`."""

    def add(self, *args, **kwargs):
        super().add(*args, **{"response_class": CompleteResponse, **kwargs})
