// Send a till's commands on Kafka in their order, each once the one before it is answered; the gateway has the answers.
//
//     npm ci
//     SENDS=… ASKS=… node send-commands.mjs localhost:9092 till.commands.v1 http://127.0.0.1:8080 day.jsonl
//
// SENDS is the token that goes with each record (audience `commands`), ASKS the one that opens the gateway (`api`). A line
// of the file is a command with its id: however often this is run, it counts once. It ends at the first refusal.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, logLevel, Partitioners } from "kafkajs";

const [broker, topic, gateway, path] = process.argv.slice(2);
const { SENDS, ASKS } = process.env;
const ANSWER_WAIT_MS = 60_000;
// These claim nothing: what is missing may come, and the same command sent again is decided afresh.
const CLAIMLESS = "unauthenticated forbidden profile_unknown session_unknown tender_unknown movement_unknown".split(" ");

function end(fault) {
  console.error(fault);
  process.exit(1);
}

// The answer to a command as the gateway has it, undefined where it has none.
async function ask(commandId) {
  for (;;) {
    let trouble;
    try {
      const headers = { authorization: `Bearer ${ASKS}` };
      const reply = await fetch(`${gateway}/api/commands/${commandId}`, { headers, signal: AbortSignal.timeout(10_000) });
      if (reply.status === 200) return await reply.json();
      if (reply.status === 404 || reply.status === 202) return undefined;
      if (reply.status === 401 || reply.status === 403) end(`The gateway does not take the token in ASKS: ${reply.status}`);
      trouble = reply.status;
    } catch (error) {
      trouble = error.cause ?? error;
    }
    console.error(`The gateway is asked again: ${trouble}`);
    await sleep(1_000);
  }
}

// Send one command and wait for its answer, unless an earlier run has one that stays.
async function answerTo(line) {
  const { command_id, store_id, profile_id } = JSON.parse(line);
  const earlier = await ask(command_id);
  if (earlier && earlier.kind !== "command_parked" && !CLAIMLESS.includes(earlier.reason)) return earlier;
  const headers = { authorization: `Bearer ${SENDS}` };
  await producer.send({ topic, acks: -1, messages: [{ key: `${store_id}/${profile_id}`, value: line, headers }] });
  for (const until = Date.now() + ANSWER_WAIT_MS; Date.now() < until; await sleep(200)) {
    const answer = await ask(command_id);
    // Each delivery of a refusal that claims nothing has an id of its own: this is not the earlier one.
    if (answer && answer.event_id !== earlier?.event_id) return answer;
  }
  end(`${command_id} is on the topic and has no answer yet: run this again.`);
}

const kafka = new Kafka({ clientId: "send-commands", brokers: [broker], logLevel: logLevel.ERROR });
// This partitioner is murmur2, as the wire asks; the legacy one is not.
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, createPartitioner: Partitioners.DefaultPartitioner });
await producer.connect();
for (const line of readFileSync(path, "utf8").split("\n").filter(Boolean)) {
  const { command_id, command_kind, kind, reason, message } = await answerTo(line);
  console.log(command_id, command_kind, kind);
  if (["command_rejected", "command_parked"].includes(kind)) end(`${command_id} was refused (${reason ?? "parked"}): ${message}`);
}
await producer.disconnect();
