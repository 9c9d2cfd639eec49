package tillstream.peer;

import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** One answer to every command: a new one, or the one that was given before under its id. */
final class CommandProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<String, byte[]> answers;
    private Rules rules;

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        answers = context.getStateStore(StoreNames.ANSWERS);
        rules = new Rules(context);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        // The topic has the broker's append time, which is the one clock of the answers.
        Command command = Command.read(record.value(), Times.fromMillis(record.timestamp()));
        Answer answer = answer(command);
        Header trace = record.headers().lastHeader("traceparent");
        context.forward(new Record<>(
                command.till().getBytes(StandardCharsets.UTF_8),
                answer.value(),
                record.timestamp(),
                answer.headers(command.commandId(), trace)));
    }

    private Answer answer(Command command) {
        String claim = command.storeId() + "/" + command.commandId();
        byte[] kept = answers.get(claim);
        if (kept == null) {
            return decide(claim, command);
        }
        if (Answer.isFor(kept, command.bodyHash())) {
            return Answer.kept(kept);
        }
        String otherBody = claim + "/" + Ids.hex(command.bodyHash());
        kept = answers.get(otherBody);
        if (kept != null) {
            return Answer.kept(kept);
        }
        Refused reused = new Refused("command_id_reused");
        return keep(otherBody, command, Answers.rejected(command, reused, Ids.uuid5("till:" + otherBody)));
    }

    private Answer decide(String claim, Command command) {
        try {
            return keep(claim, command, rules.decide(command));
        } catch (Refused refused) {
            return refused.claims()
                    ? keep(claim, command, Answers.rejected(command, refused, Answers.eventId(command)))
                    : Answers.rejected(command, refused, Answers.eventId(context.recordMetadata().orElseThrow()));
        }
    }

    private Answer keep(String claim, Command command, Answer answer) {
        answers.put(claim, answer.toKeep(command.bodyHash()));
        return answer;
    }
}
