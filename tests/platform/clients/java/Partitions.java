// Where Kafka's own client puts a key: Partitions.java key count.

import static java.nio.charset.StandardCharsets.UTF_8;

import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;

class Partitions {
    public static void main(String[] args) {
        System.out.println("java " + BuiltInPartitioner.partitionForKey(args[0].getBytes(UTF_8), Integer.parseInt(args[1])));
    }
}
