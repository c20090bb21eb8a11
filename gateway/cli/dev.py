"""`faurya-gateway dev`: everything on this machine, with no account anywhere."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gateway.cli.output import complain, redaction

if TYPE_CHECKING:
    from gateway.dev.demo import Demo
    from gateway.dev.folder import DemoFolder

DataDir = Annotated[Path, typer.Option(help="Where sales are kept; the demo uses the folder `dev` in it.")]
Port = Annotated[int, typer.Option(min=0, max=65000, help="The shop's port; a free one where it is busy, or for 0.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget the sales of earlier demos first.")]


def dev(port: Port = 8090, data_dir: DataDir = Path(".gateway-data"), fresh: Fresh = False) -> None:
    """
    Run a demo shop, the gateway, and stand-ins for the payment providers and for Faurya, until Ctrl-C.

    Nothing leaves this machine and no account is needed. Sales are kept; the stand-ins forget theirs at the end.
    """
    from gateway.app.event_loop import new_event_loop
    from gateway.dev.demo import NoProvider
    from gateway.dev.folder import FolderInUse, held

    try:
        with held(data_dir) as folder:
            if fresh:
                folder.forget()
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(_run(folder, port))
    except (FolderInUse, NoProvider) as error:
        complain(f"error: {error}")
        raise typer.Exit(1) from error


async def _run(folder: "DemoFolder", port: int) -> None:
    from gateway.app.serving import signals
    from gateway.dev.demo import demo
    from gateway.plugins import PluginRegistry
    from gateway.telemetry import configure_logging

    configure_logging(redaction())
    stop = asyncio.Event()
    with signals(stop, reload=stop):  # a closed terminal stops the demo too
        async with demo(folder, port=port, registry=PluginRegistry(), redaction=redaction()) as running:
            print_banner(running, Console(soft_wrap=True))
            await stop.wait()
            complain("Stopping.")


def print_banner(running: "Demo", console: Console) -> None:
    """Print where everything is: in colour on a terminal, plain elsewhere."""
    first = next(iter(running.addresses.shops))
    console.print("\n[bold]Faurya Gateway, demo.[/] Nothing leaves this machine.\n", highlight=False)
    for name, address, what in _places(running, first):
        style = "bold green" if address == running.addresses.shops[first] else "cyan"
        console.print(f"  {name:<14} [{style}]{address:<24}[/] [dim]{what}[/]", highlight=False)
    config = running.config_path
    console.print(f"\n  Another terminal: faurya-gateway trace ID --config {config}", highlight=False, markup=False)
    console.print("  Ctrl-C stops everything; what the gateway keeps stays.\n", highlight=False)


def _places(running: "Demo", first: str) -> list[tuple[str, str, str]]:
    addresses = running.addresses
    shops = [
        (f"Shop {site}", address, "start here" if site == first else "another site, on Faurya's payments API")
        for site, address in addresses.shops.items()
    ]
    providers = [
        (provider.title, addresses.providers[first, provider.name], f"stand-in, as {first} uses it")
        for provider in running.providers
    ]
    faurya = ("Faurya", addresses.faurya, "stand-in: what was recorded")
    return [*shops, faurya, ("Gateway", addresses.gateway, "/readyz, /metrics"), *providers]
