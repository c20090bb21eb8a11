"""What `providers new` writes: a whole plugin package, from templates."""

import json
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from keyword import iskeyword
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", re.ASCII)

MAX_NAME = 40
"""Characters; the name becomes part of addresses, package and class names."""


class Shape(StrEnum):
    """How the provider's webhooks are proven."""

    HEADER = "header"
    STANDARD_WEBHOOKS = "standard-webhooks"
    SIGNED_URL = "signed-url"
    FETCH = "fetch"


SHAPES: Mapping[Shape, str] = {
    Shape.HEADER: "a header holds an HMAC of the body, mostly with a time (Stripe, Paddle, Lemon Squeezy, Razorpay)",
    Shape.STANDARD_WEBHOOKS: "webhook-id, webhook-timestamp and webhook-signature (Polar, Dodo)",
    Shape.SIGNED_URL: "an HMAC over the webhook's address and the body (Square)",
    Shape.FETCH: "nothing is signed; what happened is asked at the provider's API (Mollie, Gumroad)",
}


class CannotScaffold(Exception):
    """No package is written; the text says why and what to do."""


def check_name(name: str, installed: Collection[str]) -> None:
    """Raise `CannotScaffold` for a name that cannot be a plugin's."""
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise CannotScaffold(
            f"{name!r} cannot be a plugin's name: 1 to {MAX_NAME} of a-z, digits, - and _, such as acme or acme-pay"
        )
    if iskeyword(name):
        raise CannotScaffold(f"{name!r} is a word of Python: take another name")
    if name in installed:
        raise CannotScaffold(f"a provider plugin named {name!r} is installed already: take another name")


def package_name(name: str) -> str:
    """Return the name of the Python package of a plugin."""
    return f"faurya_gateway_{name.replace('-', '_')}"


def files(name: str, shape: Shape) -> Mapping[str, str]:
    """Return the files of the package by their path. Pure but for reading the templates."""
    import jinja2

    package = package_name(name)
    words = [word.capitalize() for word in re.split("[-_]", name)]
    values = {
        "name": name,
        "shape": str(shape),
        "package": package,
        "distribution": package.replace("_", "-"),
        "Class": "".join(words),
        "title": " ".join(words),
        "variable": name.upper().replace("-", "_"),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Python and TOML, no HTML
    )
    rendered = {path: environment.get_template(source).render(values) for path, source in _rendered(package, shape)}
    return {**rendered, f"{package}/py.typed": "", **dict(_recordings(shape))}


def write(name: str, shape: Shape, into: Path) -> Path:
    """Write the package, whole or not at all; return its folder. Raises `CannotScaffold` or `OSError`."""
    folder = into / package_name(name).replace("_", "-")
    if folder.exists():
        raise CannotScaffold(f"{folder} exists already: move it away, or choose another folder with --into")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".new-") as place:
        for path, text in files(name, shape).items():
            file = Path(place, "package", path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        shutil.move(Path(place, "package"), folder)
    return folder


def _rendered(package: str, shape: Shape) -> Iterator[tuple[str, str]]:
    yield from (("pyproject.toml", "pyproject.toml.jinja"), ("README.md", "README.md.jinja"))
    yield "tests/test_conformance.py", "tests/test_conformance.py.jinja"
    for module in ("__init__", "config", "events", "provider", "signature", "stand_in"):
        if module != "signature" or shape is not Shape.FETCH:
            yield f"{package}/{module}.py", f"package/{module}.py.jinja"
    for vector in sorted((TEMPLATES / "vectors").glob(f"{shape}.*.json.jinja")):
        name = vector.name.removeprefix(f"{shape}.").removesuffix(".jinja")
        yield f"tests/vectors/{name}", f"vectors/{vector.name}"


def _recordings(shape: Shape) -> Iterator[tuple[str, str]]:
    """Yield the fixtures and what comes out of them; where nothing is signed the body only names what the API shows."""
    yield "tests/expected.json", (TEMPLATES / "expected.json").read_text(encoding="utf-8")
    for path in sorted((TEMPLATES / "fixtures").glob("*.json")):
        text = path.read_text(encoding="utf-8")
        if shape is not Shape.FETCH:
            yield f"tests/fixtures/{path.name}", text
            continue
        event = json.loads(text)
        yield f"tests/fixtures/{path.name}", _json({"id": event["id"], "type": event["type"]})
        answers = {f"GET /events/{event['id']}": {"status": 200, "body": event}}
        yield f"tests/fixtures/{path.stem}.api.json", _json(answers)


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
