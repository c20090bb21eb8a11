"""What a reload cannot change."""

import pytest

from gateway.config import restart_needed


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("server:", "server:", ()),
        ("  public_url:", "  port: 9000\n  public_url:", ("server.port",)),
        (
            "  public_url:",
            "  host: localhost\n  metrics_port: 1\n  public_url:",
            ("server.host", "server.metrics_port"),
        ),
        ("url: embedded", "url: postgresql://h/x", ("database.url",)),
        ("url: embedded", "url: embedded\n  pool_size: 3\n  data_dir: x", ("database.data_dir", "database.pool_size")),
        ("https://pay.example.com", "https://new.example.com", ()),
        ("pri_1", "pri_2", ()),
        ("acme:", "other:", ()),
    ],
)
def test_what_differs_and_needs_a_restart_is_named(loaded, good, old, new, expected):
    assert restart_needed(loaded(good), loaded(good.replace(old, new))) == expected
