import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.Stores;

/**
 * The job in Kafka Streams. DSL: one-minute windows by pin, the log's key, each holding a count a type; (domain, type)
 * by way of a repartition topic, as a new key needs. Processor API: both counts in stores of the partition, added up
 * at the end. Changelogs on, caches of 64 MB, at least once.
 *
 * <p>Arguments: broker, topic, file for the counts, state folder, application id, events, threads, and {@code memory},
 * {@code rocksdb} or {@code processor}. Timed from the first record to the last one counted.
 */
public class StreamsCount {
    private static final AtomicLong PINS = new AtomicLong();
    private static final AtomicLong DOMAINS = new AtomicLong();
    private static volatile long began;
    private static volatile long beganCpu;

    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        long events = Long.parseLong(arguments[5]);
        boolean processor = arguments[7].equals("processor");
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[3]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[4]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments[6]);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 1 << 18);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 50);
        if (!arguments[7].equals("rocksdb")) {
            settings.put(
                    StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
        }
        Topology topology = processor ? processors(topic) : dsl(topic);
        try (KafkaStreams streams = new KafkaStreams(topology, settings)) {
            streams.start();
            while (PINS.get() < events || DOMAINS.get() < events) {
                Thread.sleep(1);
                if (streams.state().hasCompletedShutdown()) {
                    throw new IllegalStateException("Kafka Streams ended by itself");
                }
            }
            long ended = System.nanoTime();
            long cpu = Answer.cpu() - beganCpu;
            long mib = Answer.peakMib();
            Thread.sleep(500); // what was seen last is in its store
            Answer answer = new Answer(arguments[2]);
            if (processor) {
                summed(streams, answer);
            } else {
                windowed(streams, answer);
            }
            answer.end(PINS.get(), began, ended, cpu, mib);
        }
    }

    private static void saw(AtomicLong counter) {
        if (began == 0) {
            beganCpu = Answer.cpu();
            began = System.nanoTime();
        }
        counter.incrementAndGet();
    }

    private static Topology dsl(String topic) {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<Bytes, Event> events = builder.stream(
                topic,
                Consumed.with(Serdes.Bytes(), EVENTS)
                        .withTimestampExtractor((message, before) -> ((Event) message.value()).time));
        events.peek((key, event) -> saw(PINS))
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMinutes(1), Duration.ofHours(1)))
                .aggregate(
                        () -> new long[Event.TYPES.size()],
                        (key, event, counts) -> {
                            long[] more = counts.clone();
                            more[event.type]++;
                            return more;
                        },
                        Materialized.<Bytes, long[], org.apache.kafka.streams.state.WindowStore<Bytes, byte[]>>as("pins")
                                .withKeySerde(Serdes.Bytes())
                                .withValueSerde(COUNTS));
        events.map((key, event) -> new org.apache.kafka.streams.KeyValue<>(event.type + event.domain, NOTHING))
                .repartition(Repartitioned.with(Serdes.String(), Serdes.ByteArray()).withName("domains"))
                .peek((key, nothing) -> saw(DOMAINS))
                .groupByKey()
                .count(Materialized.as("domains"));
        return builder.build();
    }

    private static final byte[] NOTHING = new byte[0];

    private static void windowed(KafkaStreams streams, Answer answer) throws Exception {
        var pins = streams.store(
                StoreQueryParameters.fromNameAndType("pins", QueryableStoreTypes.<Bytes, long[]>windowStore()));
        try (KeyValueIterator<Windowed<Bytes>, long[]> all = pins.all()) {
            while (all.hasNext()) {
                var one = all.next();
                String pin = new String(one.key.key().get());
                for (int type = 0; type < one.value.length; type++) {
                    if (one.value[type] > 0) {
                        answer.pin(pin, type, one.key.window().start() / Event.MINUTE, one.value[type]);
                    }
                }
            }
        }
        var domains = streams.store(
                StoreQueryParameters.fromNameAndType("domains", QueryableStoreTypes.<String, Long>keyValueStore()));
        try (KeyValueIterator<String, Long> all = domains.all()) {
            while (all.hasNext()) {
                var one = all.next();
                answer.domain(one.key.substring(1), one.key.charAt(0) - '0', one.value);
            }
        }
    }

    private static Topology processors(String topic) {
        Topology topology = new Topology();
        topology.addSource("log", Serdes.Bytes().deserializer(), EVENTS.deserializer(), topic);
        topology.addProcessor("count", Counting::new, "log");
        for (String name : new String[] {"pins", "domains"}) {
            topology.addStateStore(
                    Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(name), Serdes.String(), Serdes.Long())
                            .withCachingEnabled(),
                    "count");
        }
        return topology;
    }

    private static class Counting implements Processor<Bytes, Event, Void, Void> {
        private KeyValueStore<String, Long> pins;
        private KeyValueStore<String, Long> domains;

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            pins = context.getStateStore("pins");
            domains = context.getStateStore("domains");
        }

        @Override
        public void process(Record<Bytes, Event> record) {
            saw(PINS);
            Event event = record.value();
            add(pins, event.type + "\t" + event.pin + "\t" + event.time / Event.MINUTE);
            add(domains, event.type + event.domain);
            saw(DOMAINS);
        }

        private static void add(KeyValueStore<String, Long> store, String key) {
            Long count = store.get(key);
            store.put(key, count == null ? 1 : count + 1);
        }
    }

    private static void summed(KafkaStreams streams, Answer answer) throws Exception {
        Map<String, Long> totals = new java.util.HashMap<>();
        for (String name : new String[] {"pins", "domains"}) {
            totals.clear();
            var store = streams.store(
                    StoreQueryParameters.fromNameAndType(name, QueryableStoreTypes.<String, Long>keyValueStore()));
            try (KeyValueIterator<String, Long> all = store.all()) {
                while (all.hasNext()) {
                    var one = all.next();
                    totals.merge(one.key, one.value, Long::sum);
                }
            }
            for (var one : totals.entrySet()) {
                int type = one.getKey().charAt(0) - '0';
                if (name.equals("pins")) {
                    String[] parts = one.getKey().split("\t");
                    answer.pin(parts[1], type, Long.parseLong(parts[2]), one.getValue());
                } else {
                    answer.domain(one.getKey().substring(1), type, one.getValue());
                }
            }
        }
    }

    private static final Serde<Event> EVENTS = Serdes.serdeFrom(
            (Serializer<Event>) (topic, event) -> {
                throw new UnsupportedOperationException("events are read only");
            },
            (Deserializer<Event>) (topic, json) -> {
                try {
                    return Event.of(json);
                } catch (java.io.IOException error) {
                    throw new org.apache.kafka.common.errors.SerializationException(error);
                }
            });

    private static final Serde<long[]> COUNTS = Serdes.serdeFrom(
            (Serializer<long[]>) (topic, counts) -> {
                var bytes = java.nio.ByteBuffer.allocate(8 * Event.TYPES.size());
                bytes.asLongBuffer().put(counts);
                return bytes.array();
            },
            (Deserializer<long[]>) (topic, bytes) -> {
                if (bytes == null) {
                    return null;
                }
                long[] counts = new long[Event.TYPES.size()];
                java.nio.ByteBuffer.wrap(bytes).asLongBuffer().get(counts);
                return counts;
            });
}
