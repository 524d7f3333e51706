import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/**
 * The job in Flink's DataStream API: tumbling windows of event time by (pin, type), counts by (domain, type) that are
 * given out at the end of the input. Heap state, objects reused, one JVM with its cluster in it.
 *
 * <p>Arguments: broker, topic, file for the counts, folder for checkpoints, parallelism, seconds between checkpoints
 * (0: none), jobs to run; the last one is timed: alone from the JVM's start, else from its submission, to its last result.
 */
public class FlinkCount {
    /** Results of this JVM, which is the whole cluster. */
    private static final Queue<String[]> FOUND = new ConcurrentLinkedQueue<>();
    private static volatile long lastResult;

    public static void main(String[] arguments) throws Exception {
        int jobs = Integer.parseInt(arguments[6]);
        long started = System.nanoTime() - ManagementFactory.getRuntimeMXBean().getUptime() * 1_000_000;
        long cpu = 0;
        for (int job = 1; job <= jobs; job++) {
            FOUND.clear();
            if (job > 1) {
                started = System.nanoTime();
                cpu = Answer.cpu();
            }
            run(arguments);
        }
        cpu = Answer.cpu() - cpu;
        long mib = Answer.peakMib();
        Answer answer = new Answer(arguments[2]);
        long events = 0;
        for (String[] row : FOUND) {
            long count = Long.parseLong(row[row.length - 1]);
            int type = Integer.parseInt(row[1]);
            if (row.length == 4) {
                answer.pin(row[0], type, Long.parseLong(row[2]), count);
            } else {
                answer.domain(row[0], type, count);
                events += count;
            }
        }
        answer.end(events, started, lastResult, cpu, mib);
        System.exit(0);
    }

    private static void run(String[] arguments) throws Exception {
        Configuration settings = new Configuration();
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("taskmanager.network.memory.fraction", "0.2");
        int seconds = Integer.parseInt(arguments[5]);
        if (seconds > 0) {
            settings.setString("execution.checkpointing.interval", seconds + " s");
            settings.setString("execution.checkpointing.dir", "file://" + arguments[3]);
        }
        int parallelism = Integer.parseInt(arguments[4]);
        StreamExecutionEnvironment flink = StreamExecutionEnvironment.createLocalEnvironment(parallelism, settings);
        KafkaSource<Event> source = KafkaSource.<Event>builder()
                .setBootstrapServers(arguments[0])
                .setTopics(arguments[1])
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setBounded(OffsetsInitializer.latest())
                .setValueOnlyDeserializer(new Decoder())
                .build();
        WatermarkStrategy<Event> times = WatermarkStrategy.<Event>forBoundedOutOfOrderness(Duration.ofSeconds(10))
                .withTimestampAssigner((event, logged) -> event.time);
        DataStream<Event> events = flink.fromSource(source, times, "log");
        events.map(event -> Tuple2.of(event.pin, event.type)).returns(Types.TUPLE(Types.LONG, Types.INT))
                .keyBy(pin -> pin, Types.TUPLE(Types.LONG, Types.INT))
                .window(TumblingEventTimeWindows.of(Duration.ofMinutes(1)))
                .aggregate(new Count<>(), new PinResult(), Types.LONG, Types.LONG, Types.LONG)
                .sinkTo(new DiscardingSink<>());
        events.map(event -> Tuple2.of(event.domain, event.type)).returns(Types.TUPLE(Types.STRING, Types.INT))
                .keyBy(domain -> domain, Types.TUPLE(Types.STRING, Types.INT))
                .process(new DomainCount())
                .sinkTo(new DiscardingSink<>());
        flink.execute();
    }

    private static void found(Object... row) {
        String[] texts = new String[row.length];
        for (int at = 0; at < row.length; at++) {
            texts[at] = row[at].toString();
        }
        FOUND.add(texts);
        lastResult = System.nanoTime();
    }

    public static class Decoder extends AbstractDeserializationSchema<Event> {
        public Decoder() {
            super(Event.class);
        }

        @Override
        public Event deserialize(byte[] json) throws java.io.IOException {
            return Event.of(json);
        }
    }

    public static class Count<E> implements AggregateFunction<E, Long, Long> {
        @Override
        public Long createAccumulator() {
            return 0L;
        }

        @Override
        public Long add(E event, Long count) {
            return count + 1;
        }

        @Override
        public Long getResult(Long count) {
            return count;
        }

        @Override
        public Long merge(Long one, Long other) {
            return one + other;
        }
    }

    public static class PinResult extends ProcessWindowFunction<Long, Long, Tuple2<Long, Integer>, TimeWindow> {
        @Override
        public void process(Tuple2<Long, Integer> key, Context context, Iterable<Long> counts, Collector<Long> out) {
            found(key.f0, key.f1, context.window().getStart() / Event.MINUTE, counts.iterator().next());
        }
    }

    /** Counts in keyed state, given out when the last watermark says that the input has ended. */
    public static class DomainCount extends KeyedProcessFunction<Tuple2<String, Integer>, Tuple2<String, Integer>, Long> {
        private transient ValueState<Long> count;

        @Override
        public void open(OpenContext context) {
            count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Types.LONG));
        }

        @Override
        public void processElement(Tuple2<String, Integer> domain, Context context, Collector<Long> out)
                throws Exception {
            Long before = count.value();
            if (before == null) {
                context.timerService().registerEventTimeTimer(Long.MAX_VALUE);
            }
            count.update(before == null ? 1 : before + 1);
        }

        @Override
        public void onTimer(long time, OnTimerContext context, Collector<Long> out) throws Exception {
            found(context.getCurrentKey().f0, context.getCurrentKey().f1, count.value());
        }
    }
}
