// Prints what Spring for Kafka makes of a message, as it comes; `python -m tests.support.recorded.record spring` keeps it.
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.MockProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.core.ProducerFactory;
import org.springframework.kafka.support.DefaultKafkaHeaderMapper;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.kafka.support.converter.MessagingMessageConverter;
import org.springframework.kafka.support.serializer.JsonSerializer;
import org.springframework.messaging.support.MessageBuilder;

public class Spring {
    public static void main(String[] arguments) throws Exception {
        String[] payloads = {"text", "map", "map, header mapper that encodes strings"};
        for (String name : payloads) {
            Object payload = name.startsWith("map") ? Map.of("kind", "move_cash") : "{\"kind\":\"move_cash\"}";
            JsonSerializer<Object> json = new JsonSerializer<>();
            MockProducer<String, Object> mock = new MockProducer<>(true, null, new StringSerializer(), json);
            ProducerFactory<String, Object> factory = () -> mock;
            KafkaTemplate<String, Object> template = new KafkaTemplate<>(factory);
            if (name.contains("encodes")) {
                DefaultKafkaHeaderMapper mapper = new DefaultKafkaHeaderMapper();
                mapper.setEncodeStrings(true);
                MessagingMessageConverter converter = new MessagingMessageConverter();
                converter.setHeaderMapper(mapper);
                template.setMessageConverter(converter);
            }
            template.send(
                    MessageBuilder.withPayload(payload)
                            .setHeader(KafkaHeaders.TOPIC, "till.commands.v1")
                            .setHeader(KafkaHeaders.KEY, "s1/p1")
                            .setHeader("authorization", "Bearer TOKEN")
                            .build());
            var record = mock.history().get(0);
            byte[] value = json.serialize(record.topic(), record.headers(), record.value());
            Base64.Encoder base64 = Base64.getEncoder();
            System.out.print(name + "\tvalue\t" + base64.encodeToString(value) + "\n");
            for (Header header : record.headers()) {
                System.out.print(name + "\t" + header.key() + "\t" + base64.encodeToString(header.value()) + "\n");
            }
        }
    }
}
