package tillstream.peer;

import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** One process: commands in, answers out, until it is told to stop. */
public final class Main {
    private static final Duration STOP_LIMIT = Duration.ofSeconds(20);

    private Main() {}

    public static void main(String[] arguments) throws InterruptedException {
        Map<String, String> environment = System.getenv();
        String name = arguments[0];
        int threads = Integer.parseInt(arguments[1]);
        Topology topology = topology(environment.get("TILL_TOPIC_PREFIX"), name);
        KafkaStreams streams = new KafkaStreams(topology, Tuning.properties(environment, name, threads));
        CountDownLatch failed = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            failed.countDown();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(STOP_LIMIT)));
        streams.start();
        failed.await();
        System.exit(1);
    }

    static Topology topology(String prefix, String name) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.addGlobalStore(
                Stores.keyValueStoreBuilder(
                                Stores.inMemoryKeyValueStore(StoreNames.PROFILES), Serdes.String(), Serdes.String())
                        .withLoggingDisabled(),
                prefix + name + ".profiles",
                Consumed.with(Serdes.String(), Serdes.String()),
                Profiles::new);
        Consumed<byte[], byte[]> asBytes = Consumed.with(Serdes.ByteArray(), Serdes.ByteArray());
        builder.stream(prefix + "commands.v1", asBytes)
                .process(new Answering())
                .to(prefix + name, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        return builder.build();
    }

    /** The processor with the stores that belong to it. */
    private static final class Answering implements ProcessorSupplier<byte[], byte[], byte[], byte[]> {
        @Override
        public CommandProcessor get() {
            return new CommandProcessor();
        }

        @Override
        public Set<StoreBuilder<?>> stores() {
            // Answers and orders are written once: a cache would only be one more place to pass through.
            return Set.of(
                    store(StoreNames.ANSWERS, Serdes.ByteArray()).withCachingDisabled(),
                    store(StoreNames.ORDERS, Order.SERDE).withCachingDisabled(),
                    store(StoreNames.SESSIONS, Session.SERDE).withCachingEnabled(),
                    store(StoreNames.TILLS, Till.SERDE).withCachingEnabled());
        }

        private static <V> StoreBuilder<KeyValueStore<String, V>> store(String name, Serde<V> serde) {
            return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), Serdes.String(), serde)
                    .withLoggingEnabled(Map.of());
        }
    }
}
