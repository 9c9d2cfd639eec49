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
	"slices"
	"strings"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/twmb/franz-go/pkg/kgo"
)

var seen, last = map[string]bool{}, map[string]string{}

func main() {
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
	at := slices.IndexFunc(record.Headers, func(header kgo.RecordHeader) bool { return header.Key == "ce_id" })
	id := string(record.Headers[at].Value)
	message, body := map[string]any{}, map[string]json.RawMessage{}
	err := cmp.Or(json.Unmarshal(record.Value, &message), json.Unmarshal(record.Value, &body))
	till, number := fmt.Sprint(message["store_id"], "/", message["profile_id"]), message["z_number"]
	if seen[id] {
		return
	}
	if delete(body, "hash"); message["kind"] == "closing" {
		text, _ := json.Marshal(body)
		text, err = jcs.Transform(text)
		if fmt.Sprintf("%x", sha256.Sum256(text)) != message["hash"] {
			log.Fatalln(till, "closing", number, "was changed")
		} else if message["prev_hash"] != cmp.Or(last[till], strings.Repeat("0", 64)) {
			log.Fatalf("%s closing %v does not follow the last one taken: closing %v is missing, or was replaced", till, number, number.(float64)-1)
		}
		last[till] = fmt.Sprint(message["hash"])
	}
	seen[id] = true
	write(file, err, id, till, last[till], message["kind"])
}
