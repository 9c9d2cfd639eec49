// Follow the closings of all tills: each once, its hash recomputed, its chain without a gap.
//
//     npm ci
//     node read-closings.mjs localhost:9092 till.closings.v1 closings.seen
//
// What was taken is a line of the file: ce_id, till, the till's last hash, kind. Kafka is told afterwards: what a crash
// brings again is known by its ce_id. It ends at a closing that was changed or does not follow the one before it.

import { createHash } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import canonicalize from "canonicalize";
import { Kafka, logLevel } from "kafkajs";

const [broker, topic, path] = process.argv.slice(2);
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
  const number = closing.z_number;
  const actual = createHash("sha256").update(canonicalize(closing)).digest("hex");
  if (actual !== hash) end(`${till} closing ${number} was changed`);
  if (closing.prev_hash !== (last.get(till) ?? "0".repeat(64))) {
    const before = `closing ${number - 1} is missing, or was replaced`;
    end(`${till} closing ${number} does not follow the last one taken: ${before}`);
  }
  last.set(till, hash);
}

const kafka = new Kafka({ clientId: "read-closings", brokers: [broker], logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: `${topic}.reader`, sessionTimeout: 10_000 }); // So long does the next one wait after a crash.
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await consumer.run({
  autoCommitThreshold: 1,
  eachMessage: async ({ message: { headers, value } }) => {
    const ceId = headers.ce_id.toString();
    const message = JSON.parse(value);
    const till = `${message.store_id}/${message.profile_id}`;
    if (seen.has(ceId)) return;
    if (message.kind === "closing") check(message, till);
    seen.add(ceId);
    appendFileSync(path, `${ceId} ${till} ${last.get(till)} ${message.kind}\n`);
  },
});
