// What a team on Node writes: Express, Paddle's own SDK for the proof, and one INSERT for each webhook through pg.
import { randomUUID } from "node:crypto";
import { Paddle } from "@paddle/paddle-node-sdk";
import express from "express";
import pg from "pg";

const { BENCH_DATABASE, BENCH_PORT, BENCH_SECRET } = process.env;
const pool = new pg.Pool({ ...JSON.parse(BENCH_DATABASE), max: 20 });
const paddle = new Paddle("made-up-key");
const insert = {
  name: "insert",
  text: `INSERT INTO webhooks (site, connection, event_id, id, event_type, method, headers, query, body, received_at,
                               last_seen_at, remote_ip, proof, seen, outcome)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, 'signature', 1, 'received')
         ON CONFLICT (site, connection, event_id) DO UPDATE
             SET seen = webhooks.seen + 1, last_seen_at = EXCLUDED.last_seen_at`,
};

const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.get("/", (_request, response) => response.sendStatus(200));
app.post("/webhooks/:site/:connection", express.raw({ type: "application/json" }), async (request, response) => {
  let event;
  try {
    event = await paddle.webhooks.unmarshal(
      request.body.toString(), BENCH_SECRET, request.header("paddle-signature") ?? "");
  } catch {
    return response.sendStatus(401);
  }
  const headers = Buffer.from(Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`).join("\r\n"));
  await pool.query({
    ...insert,
    values: [
      request.params.site, request.params.connection, event.eventId, randomUUID(), event.eventType, request.method,
      headers, "", request.body, new Date(), request.ip,
    ],
  });
  response.sendStatus(200);
});
app.listen(Number(BENCH_PORT), "127.0.0.1");
