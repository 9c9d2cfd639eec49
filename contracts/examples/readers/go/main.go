// Follow the closings of all tills: each once, its hash recomputed, its chain without a gap.
//
//	go run . localhost:9092 till.closings.v1 closings.seen
//
// What was taken is a line of the file: ce_id, till, the till's last hash, kind. Kafka is told afterwards: what a crash
// brings again is known by its ce_id. It ends at a closing that was changed or does not follow the one before it, and at
// a record that it can't read.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/twmb/franz-go/pkg/kgo"
)

var seen, last = map[string]bool{}, map[string]string{}

func main() {
	text, _ := os.ReadFile(os.Args[3]) // There is none at first.
	for line := range strings.Lines(string(text)) {
		if parts := strings.Fields(line); len(parts) == 4 { // Not what a crash left of a line.
			seen[parts[0]], last[parts[1]] = true, parts[2]
		}
	}
	file, err := os.OpenFile(os.Args[3], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	_, failed := fmt.Fprintln(file)
	endIf(failed != nil, err, failed)
	// So long as the time-out of its session does the next one wait after a crash.
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.ConsumeTopics(os.Args[2]), kgo.DisableAutoCommit(),
		kgo.ConsumerGroup(os.Args[2]+".reader"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(10*time.Second))
	for ; err == nil; err = client.CommitUncommittedOffsets(context.Background()) {
		client.PollFetches(context.Background()).EachRecord(func(record *kgo.Record) { take(record, file) })
	}
	log.Fatal(err)
}

func endIf(wrong bool, fault ...any) {
	if wrong {
		log.Fatalln(fault...)
	}
}

func take(record *kgo.Record, file *os.File) {
	at := slices.IndexFunc(record.Headers, func(header kgo.RecordHeader) bool { return header.Key == "ce_id" })
	message, body := map[string]any{}, map[string]json.RawMessage{}
	err := cmp.Or(json.Unmarshal(record.Value, &message), json.Unmarshal(record.Value, &body))
	endIf(err != nil || at < 0 || message["store_id"] == nil, "partition", record.Partition, "offset", record.Offset, "could not be taken:", err)
	id, till := string(record.Headers[at].Value), fmt.Sprint(message["store_id"], "/", message["profile_id"])
	if seen[id] {
		return
	}
	before := cmp.Or(last[till], strings.Repeat("0", 64))
	if delete(body, "hash"); message["kind"] == "closing" {
		text, _ := json.Marshal(body)
		text, _ = jcs.Transform(text)
		name, claimed := fmt.Sprint(till, " closing ", message["z_number"]), message["prev_hash"]
		endIf(fmt.Sprintf("%x", sha256.Sum256(text)) != message["hash"], name, "was changed")
		endIf(claimed != before, name, "does not follow: its prev_hash is", fmt.Sprint(claimed, ","), "the last one taken has", before)
		before = fmt.Sprint(message["hash"])
	}
	seen[id], last[till] = true, before
	_, err = fmt.Fprintln(file, id, till, before, message["kind"])
	endIf(err != nil, err)
}
