// Send a till's commands on Kafka in their order, each once the one before it is answered; the gateway has the answers.
//
//	SENDS=… ASKS=… go run . localhost:9092 till.commands.v1 http://127.0.0.1:8080 day.jsonl
//
// SENDS is the token that goes with each record (audience `commands`), ASKS the one that opens the gateway (`api`). A line
// of the file is a command with its id: however often this is run, it counts once. It ends at the first refusal.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const answerWait = 60 * time.Second

// These claim nothing: what is missing may come, and the same command sent again is decided afresh.
var claimless = []string{"unauthenticated", "forbidden", "profile_unknown", "session_unknown", "tender_unknown", "movement_unknown"}
var client *kgo.Client
var topic, gateway = os.Args[2], os.Args[3]

func main() {
	text, err := os.ReadFile(os.Args[4])
	check(err)
	// This client is idempotent, waits for all replicas and partitions by murmur2 unless told otherwise.
	client, err = kgo.NewClient(kgo.SeedBrokers(os.Args[1]))
	check(err)
	for line := range bytes.Lines(text) {
		answer := answerTo(bytes.TrimSpace(line))
		fmt.Println(answer["command_id"], answer["command_kind"], answer["kind"])
		if kind := answer["kind"]; kind == "command_rejected" || kind == "command_parked" {
			log.Fatalf("%v was refused (%v): %v", answer["command_id"], cmp.Or(answer["reason"], "parked"), answer["message"])
		}
	}
}

// Send one command and wait for its answer, unless an earlier run has one that stays.
func answerTo(line []byte) map[string]any {
	command := map[string]any{}
	check(json.Unmarshal(line, &command))
	earlier := ask(command["command_id"])
	reason, _ := earlier["reason"].(string)
	if earlier != nil && earlier["kind"] != "command_parked" && !slices.Contains(claimless, reason) {
		return earlier
	}
	record := kgo.KeySliceRecord(fmt.Append(nil, command["store_id"], "/", command["profile_id"]), line)
	record.Topic, record.Headers = topic, []kgo.RecordHeader{{Key: "authorization", Value: []byte("Bearer " + os.Getenv("SENDS"))}}
	check(client.ProduceSync(context.Background(), record).FirstErr())
	for until := time.Now().Add(answerWait); time.Now().Before(until); time.Sleep(200 * time.Millisecond) {
		// Each delivery of a refusal that claims nothing has an id of its own: this is not the earlier one.
		if answer := ask(command["command_id"]); answer != nil && answer["event_id"] != earlier["event_id"] {
			return answer
		}
	}
	log.Fatalf("%v is on the topic and has no answer yet: run this again.", command["command_id"])
	return nil
}

// The answer to a command as the gateway has it, nil where it has none.
func ask(id any) map[string]any {
	request, err := http.NewRequest("GET", fmt.Sprint(gateway, "/api/commands/", id), nil)
	check(err)
	request.Header.Set("authorization", "Bearer "+os.Getenv("ASKS"))
	for ; ; time.Sleep(time.Second) {
		reply, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
		if err != nil {
			log.Println("The gateway is asked again:", err)
			continue
		}
		answer := map[string]any{}
		err = json.NewDecoder(reply.Body).Decode(&answer)
		reply.Body.Close()
		switch code := reply.StatusCode; {
		case code == 200 && err == nil:
			return answer
		case code == 404 || code == 202:
			return nil
		case code == 401 || code == 403:
			log.Fatalln("The gateway does not take the token in ASKS:", reply.Status)
		}
		log.Println("The gateway is asked again:", reply.Status)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
