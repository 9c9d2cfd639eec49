// Where KafkaJS puts a key: partitions.mjs key count. A line each: version, partitioner, partition.

import { Partitioners as first } from "kafkajs-1";
import { Partitioners as second } from "kafkajs-2";

const [key, count] = process.argv.slice(2);
const partitionMetadata = Array.from({ length: Number(count) }, (_, partitionId) => ({ partitionId, leader: 0 }));
for (const [version, partitioners] of Object.entries({ 1: first, 2: second }))
  for (const [name, create] of Object.entries(partitioners))
    console.log(`kafkajs${version}.${name}`, create()({ topic: "t", partitionMetadata, message: { key } }));
