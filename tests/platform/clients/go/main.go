// Where clients in Go put a key: partitions key count. A line each: client, partition.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	key := os.Args[1]
	count, _ := strconv.Atoi(os.Args[2])
	partitions := make([]int, count)
	for number := range partitions {
		partitions[number] = number
	}
	message := kafka.Message{Key: []byte(key)}
	byDefault, err := sarama.NewHashPartitioner("t").Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(key)}, int32(count))
	if err != nil {
		panic(err)
	}
	fmt.Println("franz-go", kgo.StickyKeyPartitioner(nil).ForTopic("t").Partition(&kgo.Record{Key: []byte(key)}, count))
	fmt.Println("sarama", byDefault)
	fmt.Println("kafka-go.Hash", (&kafka.Hash{}).Balance(message, partitions...))
	fmt.Println("kafka-go.Murmur2Balancer", kafka.Murmur2Balancer{}.Balance(message, partitions...))
}
