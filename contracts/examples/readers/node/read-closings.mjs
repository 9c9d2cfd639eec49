// Follow the closings of all tills: each once, its hash recomputed, its chain without a gap.
//
//     npm ci
//     node read-closings.mjs localhost:9092 till.closings.v1 closings.seen
//
// What was taken is a line of the file: ce_id, till, the till's last hash, kind. Kafka is told afterwards: what a crash
// brings again is known by its ce_id. It ends at a closing that was changed or does not follow the one before it, and at
// a record that it can't read.

import { createHash } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import canonicalize from "canonicalize";
import { Kafka, logLevel } from "kafkajs";

const [broker, topic, path] = process.argv.slice(2);
const ZEROS = "0".repeat(64); // Before a first closing.
const seen = new Set();
const last = new Map();
appendFileSync(path, "\n");
for (const line of readFileSync(path, "utf8").split("\n")) {
  const [ceId, till, hash, kind] = line.split(" ");
  if (kind === undefined) continue; // What a crash left of a line.
  seen.add(ceId);
  last.set(till, hash);
}

function end(fault) {
  console.error(fault);
  process.exit(1);
}

function check({ hash, ...closing }, till) {
  const name = `${till} closing ${closing.z_number}`;
  const actual = createHash("sha256").update(canonicalize(closing)).digest("hex");
  if (actual !== hash) end(`${name} was changed`);
  const before = last.get(till) ?? ZEROS;
  if (closing.prev_hash !== before) end(`${name} does not follow: its prev_hash is ${closing.prev_hash}, the last one taken has ${before}`);
  last.set(till, hash);
}

function take({ headers, value }) {
  const ceId = headers.ce_id.toString();
  const message = JSON.parse(value);
  if (!message.store_id) throw new Error("it names no store");
  const till = `${message.store_id}/${message.profile_id}`;
  if (seen.has(ceId)) return;
  if (message.kind === "closing") check(message, till);
  seen.add(ceId);
  appendFileSync(path, `${ceId} ${till} ${last.get(till) ?? ZEROS} ${message.kind}\n`);
}

const kafka = new Kafka({ clientId: "read-closings", brokers: [broker], logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: `${topic}.reader`, sessionTimeout: 10_000 }); // So long does the next one wait after a crash.
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await consumer.run({
  autoCommitThreshold: 1,
  eachMessage: async ({ partition, message }) => {
    try {
      take(message);
    } catch (fault) {
      end(`partition ${partition} offset ${message.offset} could not be taken: ${fault}`);
    }
  },
});
