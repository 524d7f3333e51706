import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.StringWriter;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;

/** The answer of one run, as {@code bench/peers/answer.py} has it. */
public class Answer {
    private final BufferedWriter counts;

    public Answer(String path) throws IOException {
        counts = Files.newBufferedWriter(Path.of(path));
    }

    public void pin(Object pin, int type, long minute, long count) throws IOException {
        counts.write(pin + "\t" + Event.TYPES.get(type) + "\t" + minute + "\t" + count + "\n");
    }

    public void domain(String domain, int type, long count) throws IOException {
        counts.write(domain + "\t" + Event.TYPES.get(type) + "\t" + count + "\n");
    }

    /** Times in nanoseconds of {@code System.nanoTime}. */
    public void end(long events, long began, long ended, long cpu, long mib) throws IOException {
        counts.close();
        StringWriter text = new StringWriter();
        try (JsonGenerator json = new JsonFactory().createGenerator(text)) {
            json.writeStartObject();
            json.writeNumberField("events", events);
            json.writeNumberField("first", 0);
            json.writeNumberField("began", began / 1e9);
            json.writeNumberField("ended", ended / 1e9);
            json.writeNumberField("cpu", cpu / 1e9);
            json.writeNumberField("rss_mib", mib);
            json.writeEndObject();
        }
        System.out.println(text);
    }

    /** Processor time of all threads so far, nanoseconds. */
    public static long cpu() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    /** The most memory this process held, MiB; 0 where the system does not say. */
    public static long peakMib() throws IOException {
        Path status = Path.of("/proc/self/status");
        if (!Files.exists(status)) {
            return 0;
        }
        for (String line : Files.readAllLines(status)) {
            if (line.startsWith("VmHWM")) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) / 1024;
            }
        }
        return 0;
    }
}
