package tillstream.peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.UUID;

/** Ids and hashes that are functions of what they name. */
final class Ids {
    private static final byte[] NAMESPACE_URL = bytes(UUID.fromString("6ba7b811-9dad-11d1-80b4-00c04fd430c8"));

    private Ids() {}

    static String uuid5(String name) {
        MessageDigest sha1 = digest("SHA-1");
        sha1.update(NAMESPACE_URL);
        ByteBuffer hash = ByteBuffer.wrap(sha1.digest(name.getBytes(StandardCharsets.UTF_8)));
        long high = hash.getLong() & ~0xf000L | 0x5000L;
        long low = hash.getLong() & 0x3fffffffffffffffL | 0x8000000000000000L;
        return new UUID(high, low).toString();
    }

    static byte[] sha256(byte[] data) {
        return digest("SHA-256").digest(data);
    }

    static String hex(byte[] data) {
        return HexFormat.of().formatHex(data);
    }

    private static MessageDigest digest(String algorithm) {
        try {
            return MessageDigest.getInstance(algorithm);
        } catch (NoSuchAlgorithmException missing) {
            throw new IllegalStateException(missing);
        }
    }

    private static byte[] bytes(UUID id) {
        return ByteBuffer.allocate(16)
                .putLong(id.getMostSignificantBits())
                .putLong(id.getLeastSignificantBits())
                .array();
    }
}
