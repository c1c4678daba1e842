import java.util.Base64;
import org.apache.kafka.tools.api.Decoder;

/** Lets DumpLogSegments print keys and values as base64, so that any bytes survive its line-by-line output. */
public final class Base64Decoder implements Decoder<String> {
    @Override
    public String fromBytes(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }
}
