"""What is said when a command fails, and what may be shown."""

import errno

import pytest

from gateway.cli.failures import DEBUG, explained, report
from gateway.cli.output import complain, redaction, show_table, text_of
from gateway.config import ConfigError, Mistake, PluginUnknown
from gateway.store.embedded import EmbeddedFolderError
from gateway.store.errors import SchemaTooOld, StoreUnavailable


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (ConfigError([Mistake("c.yml", 3, "a", "x"), Mistake("c.yml", None, "", "y")]), "c.yml:3: a: x\nc.yml: y", 2),
        (PluginUnknown("no plugin"), "error: no plugin", 2),
        (StoreUnavailable("away"), "error: away: check that it runs, and database.url", 1),
        (SchemaTooOld("old"), "error: old", 1),
        (EmbeddedFolderError("not ours"), "error: not ours", 1),
        (
            OSError(errno.EADDRINUSE, "address already in use"),
            "error: cannot listen: address already in use: stop what listens there, or choose another port",
            1,
        ),
        (KeyError("x"), "error: unexpected KeyError; FAURYA_GATEWAY_DEBUG=1 shows where", 1),
        (OSError("full"), "error: unexpected OSError; FAURYA_GATEWAY_DEBUG=1 shows where", 1),
    ],
)  # fmt: skip
def test_an_error_is_a_sentence_and_an_exit_code(error: Exception, text: str, code: int) -> None:
    assert explained(error) == (text, code)


def test_a_traceback_is_shown_only_when_asked_for_and_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(redaction(), "secrets", frozenset({"hunter2-secret"}))
    error = ValueError("hunter2-secret is wrong")
    assert report(error) == 1
    said = capsys.readouterr().err
    assert said == "error: unexpected ValueError; FAURYA_GATEWAY_DEBUG=1 shows where\n"
    monkeypatch.setenv(DEBUG, "1")
    report(error)
    said = capsys.readouterr().err
    assert said == "error: unexpected ValueError\nValueError: *** is wrong\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), ("", "-"), (0, "0"), ("a\nb", "a b"), ("\x1b[31mred", "\N{REPLACEMENT CHARACTER}[31mred")],
)
def test_a_cell_is_one_harmless_line(value: object, shown: str) -> None:
    assert text_of(value) == shown


def test_a_plain_table_is_aligned_and_an_empty_one_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("Things", ["name", "n"], [["long name", 1], ["x", None]])
    show_table("Nothing", ["name"], [])
    complain("one\n\ntwo")
    shown = capsys.readouterr()
    assert shown.out == "\nThings\n  NAME       N\n  long name  1\n  x          -\n"
    assert shown.err == "one\ntwo\n"
