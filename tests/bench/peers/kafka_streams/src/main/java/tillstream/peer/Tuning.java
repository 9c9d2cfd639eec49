package tillstream.peer;

import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.StreamsConfig;

/**
 * The settings, each with the reason that is documented for it.
 *
 * <p>For Streams that is kafka.apache.org, "Configuring a Streams Application" and "Memory Management"; for the clients
 * inside it the throughput and latency pages of Confluent's "Optimizing and Tuning".
 */
final class Tuning {
    private Tuning() {}

    static Properties properties(Map<String, String> environment, String name, int threads) {
        boolean latency = "1".equals(environment.get("BENCH_LATENCY"));
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, environment.get("TILL_SESSIONS_GROUP") + "-" + name);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, environment.get("TILL_KAFKA"));
        settings.put(
                StreamsConfig.STATE_DIR_CONFIG, Path.of(environment.get("TILL_HOME"), "kafka-streams").toString());
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, threads);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, environment.get("TILL_TOPIC_REPLICAS"));
        settings.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, RocksDbTuning.class);
        // With exactly-once a commit ends the transaction, and only then do its readers see the answers: rarely costs
        // less, often answers sooner. 100 ms is the default.
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, latency ? 5 : 1_000);
        // Room for every session that changes between two commits, so that each is written and logged once per commit.
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        producer(settings, latency);
        consumer(settings, latency);
        return settings;
    }

    private static void producer(Properties settings, boolean latency) {
        // What Streams sets itself for throughput; a commit sends whatever still waits.
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), latency ? 0 : 100);
        // For throughput batches of 100,000 to 200,000 bytes: the 16 KiB of the default hold thirty answers. And more
        // memory for them, because there are 40 partitions to write to.
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 200_000);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64L << 20);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "none");
    }

    private static void consumer(Properties settings, boolean latency) {
        // Fewer and larger fetches for throughput, with a short wait for them; the first record at once for latency.
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 2_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.FETCH_MIN_BYTES_CONFIG), latency ? 1 : 100_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG), 100);
    }
}
