// Follow the closings of all tills: each once, its hash recomputed, its chain without a gap.
//
//	go run . localhost:9092 till.closings.v1 closings.seen
//
// What was taken is a line of the file: ce_id, till, the till's last hash, kind. Kafka is told afterwards: what a crash
// brings again is known by its ce_id. It ends at a closing that was changed or does not follow the one before it.
package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/twmb/franz-go/pkg/kgo"
)

var seen, last = map[string]bool{}, map[string]string{}

func main() {
	log.SetFlags(0)
	text, _ := os.ReadFile(os.Args[3]) // There is none at first.
	for _, line := range strings.Split(string(text), "\n") {
		if parts := strings.Fields(line); len(parts) == 4 { // Not what a crash left of a line.
			seen[parts[0]], last[parts[1]] = true, parts[2]
		}
	}
	file, err := os.OpenFile(os.Args[3], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	write(file, err)
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]), kgo.ConsumeTopics(os.Args[2]), kgo.DisableAutoCommit(),
		kgo.ConsumerGroup(os.Args[2]+".reader"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(10*time.Second)) // So long does the next one wait after a crash.
	for ; err == nil; err = client.CommitUncommittedOffsets(context.Background()) {
		client.PollFetches(context.Background()).EachRecord(func(record *kgo.Record) { take(record, file) })
	}
	log.Fatal(err)
}

func write(file *os.File, err error, line ...any) {
	if _, failed := fmt.Fprintln(file, line...); failed != nil || err != nil {
		log.Fatal(cmp.Or(err, failed))
	}
}

func take(record *kgo.Record, file *os.File) {
	headers, message, body := map[string]string{}, map[string]any{}, map[string]json.RawMessage{}
	for _, header := range record.Headers {
		headers[header.Key] = string(header.Value)
	}
	err := cmp.Or(json.Unmarshal(record.Value, &message), json.Unmarshal(record.Value, &body))
	id, till, claimed := headers["ce_id"], fmt.Sprint(message["store_id"], "/", message["profile_id"]), message["hash"]
	if seen[id] {
		return
	}
	if delete(body, "hash"); message["kind"] == "closing" {
		text, _ := json.Marshal(body)
		text, err = jcs.Transform(text)
		before := cmp.Or(last[till], strings.Repeat("0", 64))
		last[till] = fmt.Sprintf("%x", sha256.Sum256(text))
		if last[till] != claimed || before != message["prev_hash"] {
			log.Fatalln(till, "closing", message["z_number"], "was changed, or does not follow the one before it")
		}
	}
	seen[id] = true
	write(file, err, id, till, last[till], message["kind"])
}
