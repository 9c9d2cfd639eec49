// Prints where Sarama and kafka-go put keys, as they come; `python -m tests.support.recorded.record sarama` keeps it.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
)

func main() {
	const partitions = 12
	numbers := make([]int, partitions)
	for number := range numbers {
		numbers[number] = number
	}
	placed := map[string]map[string]int32{"sarama": {}, "kafka-go": {}}
	theirs := sarama.NewConfig().Producer.Partitioner("till.commands.v1")
	hash := &kafka.Hash{}
	for number := 0; number < 40; number++ {
		key := fmt.Sprintf("s%d/caja-%d", number%7, number)
		partition, err := theirs.Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(key)}, partitions)
		if err != nil {
			panic(err)
		}
		placed["sarama"][key] = partition
		placed["kafka-go"][key] = int32(hash.Balance(kafka.Message{Key: []byte(key)}, numbers...))
	}
	if err := json.NewEncoder(os.Stdout).Encode(placed); err != nil {
		panic(err)
	}
}
