"""A webhook arrives: prove it, keep it, answer. Nothing slow happens here; reading it comes later."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar, assert_never
from urllib.parse import parse_qsl, urlencode

from gateway.domain.ids import event_key, uuid7
from gateway.domain.messages import Accepted, Answered, Refused, Reply, WebhookRequest
from gateway.domain.text import is_storable, printable
from gateway.flows.context import Context
from gateway.flows.doctor import SignatureDoctor
from gateway.flows.precedence import Turns
from gateway.plugins import Live, Opened, PluginFault, verify
from gateway.store import inbox, refusals
from gateway.store.batches import GroupCommit
from gateway.store.errors import StoreError
from gateway.store.pool import StoreConflict
from gateway.telemetry import log

KEEP_SECONDS = 1.8
"""Paddle waits 5 seconds for an answer, others less; a webhook that is not kept by now is answered 503 instead."""

TURN_SECONDS = 1.2
"""How long a webhook waits for its turn; what is left of `KEEP_SECONDS` then is for the database."""

TOO_MANY = "too many webhooks of this site wait to be kept"
TOO_SLOW = "the database did not answer in time"

NOTES_PENDING = 1000
"""Refusals waiting to be counted; beyond that (the database is away, somebody floods us) they only reach the log."""

MAX_DETAIL = 300
MAX_EVENT_TYPE = 200
MAX_EVENT_ID = 512
"""Characters of an event id that are kept for `trace`; a whole one is under 256 at all providers seen."""


Written = TypeVar("Written")


class NotKept(Exception):
    """The webhook could not be kept now; the provider sends it again."""


class Receiver:
    """Receives the webhooks of all sites."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._keeper: GroupCommit[inbox.Webhook, inbox.Kept] = GroupCommit(
            self._keep_batch, writers=3, patience=KEEP_SECONDS
        )
        self._notes: GroupCommit[refusals.Refusal, None] = GroupCommit(self._note_batch)
        self._turns = Turns()
        self._doctor = SignatureDoctor(context)
        self._background: set[asyncio.Task[None]] = set()

    async def receive(self, opened: Opened, live: Live, request: WebhookRequest, query: str) -> Reply | Refused:
        """
        Return the answer for the provider: its reply once the webhook is kept durably, or why it is refused.

        Raises `NotKept` where neither is possible now. `query` is the request's query as received.
        """
        try:
            verdict = verify(opened, request)
        except PluginFault as fault:
            self._context.metrics.plugin_failures.labels(opened.connection.plugin, "verify").inc()
            raise self._not_kept(opened, str(fault)) from fault
        match verdict:
            case Answered():
                log().info("webhook.answered", site=opened.site, connection=opened.name)
                return verdict.reply
            case Refused():
                detail = printable(self._context.redaction.clean(verdict.detail), MAX_DETAIL)
                refused = replace(verdict, detail=detail)
                self._refuse(opened, live, request, refused)
                return refused
            case Accepted():
                await self._keep(opened, request, verdict, query)
                return verdict.reply
            case _:
                assert_never(verdict)

    async def _keep(self, opened: Opened, request: WebhookRequest, accepted: Accepted, query: str) -> None:
        """Keep it in its site's turn; without a wait, as a rule."""
        turn = self._turns.of(opened.site)
        self._context.in_hand[opened.site] += 1
        try:
            if turn is None:
                await self._write(opened, request, accepted, query)
            elif not turn.locked():
                async with turn:
                    await self._write(opened, request, accepted, query)
            else:
                await self._keep_later(turn, opened, request, accepted, query)
        finally:
            self._context.in_hand[opened.site] -= 1

    async def _keep_later(
        self, turn: asyncio.Semaphore, opened: Opened, request: WebhookRequest, accepted: Accepted, query: str
    ) -> None:
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                await self._wait_for(turn, opened)
                try:
                    await self._write(opened, request, accepted, query)
                finally:
                    turn.release()
        except TimeoutError as error:
            raise self._not_kept(opened, TOO_SLOW) from error

    async def _wait_for(self, turn: asyncio.Semaphore, opened: Opened) -> None:
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await turn.acquire()
        except TimeoutError as error:
            raise self._not_kept(opened, TOO_MANY) from error

    async def _write(self, opened: Opened, request: WebhookRequest, accepted: Accepted, query: str) -> None:
        webhook = self._webhook(opened, request, accepted, query)
        fields = {"event_id": webhook.event_id, "event_type": webhook.event_type, "bytes": len(webhook.body)}
        try:
            kept = await self._keeper.submit(webhook)
        except (StoreError, TimeoutError) as error:
            raise self._not_kept(opened, str(error) or TOO_SLOW, **fields) from error
        outcome = "received" if kept.new else "repeat"
        self._context.metrics.webhooks.labels(opened.site, opened.name, outcome).inc()
        log().info(
            "webhook.received",
            site=opened.site,
            connection=opened.name,
            **fields,
            outcome=outcome,
            proof=accepted.proof,
        )
        self._context.wake(opened.site, "book")

    def _not_kept(self, opened: Opened, why: str, **fields: object) -> NotKept:
        """Count it and say so; return what is to be raised."""
        self._context.metrics.webhooks.labels(opened.site, opened.name, "not_kept").inc()
        log().error("webhook.not_kept", site=opened.site, connection=opened.name, **fields, error=why)
        return NotKept(why)

    def _webhook(self, opened: Opened, request: WebhookRequest, accepted: Accepted, query: str) -> inbox.Webhook:
        event_id = accepted.event_id if accepted.proof != "none" else None  # an unproven id must not name a proven row
        event_type = accepted.event_type
        return inbox.Webhook(
            site=opened.site,
            connection=opened.name,
            event_key=event_key(event_id, request.body, query),
            id=uuid7(request.received_at, self._context.entropy(10)),
            event_id=printable(event_id, MAX_EVENT_ID) if event_id else None,
            event_type=printable(event_type, MAX_EVENT_TYPE) if event_type else None,
            method=request.method,
            headers=inbox.pack_headers(request.headers, opened.secret_headers),
            query=masked(query, opened.secret_query),
            body=request.body,
            received_at=request.received_at,
            remote_ip=request.remote_ip,
            proof=accepted.proof,
        )

    async def _keep_batch(self, batch: Sequence[inbox.Webhook]) -> Sequence[inbox.Kept]:
        """
        Keep new webhooks by one statement, which is a transaction by itself; repeats get a second transaction.

        Should we end between the two, a repeat was counted and its newer content is not here. Nobody has been answered
        by then, so the provider sends it again, and it is compared again.
        """
        async with asyncio.timeout(KEEP_SECONDS):
            repeats = await _stubborn(self._insert, inbox.merged(batch))
            if repeats:
                await _stubborn(self._read_again, repeats)
        return inbox.kept(batch, repeats)

    async def _insert(self, rows: Sequence[inbox.Webhook]) -> Sequence[inbox.Webhook]:
        async with self._context.database.single() as connection:
            return await inbox.insert(connection, rows)

    async def _read_again(self, repeats: Sequence[inbox.Webhook]) -> None:
        async with self._context.database.transaction() as connection:
            await inbox.read_again(connection, repeats)

    def _refuse(self, opened: Opened, live: Live, request: WebhookRequest, refused: Refused) -> None:
        self._context.metrics.refused.labels(opened.site, opened.name, refused.reason.value).inc()
        log().warning(
            "webhook.refused",
            site=opened.site,
            connection=opened.name,
            reason=refused.reason.value,
            detail=refused.detail,
            seconds_off=refused.seconds_off,
            remote_ip=request.remote_ip,
        )
        if len(self._background) >= NOTES_PENDING:
            return
        note = refusals.Refusal(
            site=opened.site,
            connection=opened.name,
            at=request.received_at,
            reason=refused.reason.value,
            detail=refused.detail,
            seconds_off=refused.seconds_off,
            remote_ip=request.remote_ip,
        )
        patient = request if self._doctor.admits(refused) else None  # a refused body is not held for longer than this
        task = asyncio.create_task(self._write_down(note, opened, live, patient))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _write_down(
        self, note: refusals.Refusal, opened: Opened, live: Live, patient: WebhookRequest | None
    ) -> None:
        """Count the refusal and let the doctor look at it: after the answer, so that neither delays it."""
        try:
            await self._notes.submit(note)
            if patient is not None:
                await self._doctor.look(opened, live, patient)
        except (StoreError, TimeoutError) as error:
            log().warning("refusal.not_noted", site=opened.site, connection=opened.name, error=str(error))

    async def _note_batch(self, batch: Sequence[refusals.Refusal]) -> Sequence[None]:
        async with asyncio.timeout(KEEP_SECONDS), self._context.database.transaction() as connection:
            await refusals.note(connection, batch)
        return [None] * len(batch)

    async def close(self) -> None:
        """Finish what is being written."""
        await self._keeper.drain()
        if self._background:
            await asyncio.wait(self._background, timeout=KEEP_SECONDS)


async def _stubborn(
    write: Callable[[Sequence[inbox.Webhook]], Awaitable[Written]], rows: Sequence[inbox.Webhook]
) -> Written:
    """Write; once more after a conflict with a booking that wakes one of these rows: it goes on now that we let go."""
    try:
        return await write(rows)
    except StoreConflict:
        return await write(rows)


def masked(query: str, secret: frozenset[str]) -> str:
    """Return the query with the values of secret parameters replaced, in a form that Postgres can store."""
    if secret and any(name in secret for name, _ in parse_qsl(query, keep_blank_values=True)):
        pairs = parse_qsl(query, keep_blank_values=True)
        query = urlencode([(name, "***" if name in secret else value) for name, value in pairs], errors="replace")
    return query if is_storable(query) else printable(query, len(query))
