package tillstream.peer;

import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Which tills are set up, and in which currency: master data that every task reads. */
final class Profiles implements Processor<String, String, Void, Void> {
    private KeyValueStore<String, String> currencies;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
        currencies = context.getStateStore(StoreNames.PROFILES);
    }

    @Override
    public void process(Record<String, String> record) {
        currencies.put(record.key(), record.value());
    }
}
