package tillstream.peer;

import java.util.Map;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.Cache;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;
import org.rocksdb.WriteBufferManager;

/**
 * One bounded piece of memory for all stores, as "Memory Management" of the Kafka Streams documentation shows it.
 *
 * <p>Without it each of the 32 stores (four in each of eight tasks) has 50 MB of cache and up to 48 MB of write
 * buffers. Bloom filters, no compression and no write-ahead log are what Streams sets itself.
 */
public final class RocksDbTuning implements RocksDBConfigSetter {
    private static final long BLOCKS = 512L << 20;
    private static final long WRITE_BUFFERS = 256L << 20;
    private static final Cache CACHE = new LRUCache(BLOCKS);
    private static final WriteBufferManager MANAGER = new WriteBufferManager(WRITE_BUFFERS, CACHE);

    @Override
    public void setConfig(String storeName, Options options, Map<String, Object> configs) {
        BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
        table.setBlockCache(CACHE);
        table.setCacheIndexAndFilterBlocks(true);
        table.setCacheIndexAndFilterBlocksWithHighPriority(true);
        table.setPinTopLevelIndexAndFilter(true);
        options.setWriteBufferManager(MANAGER);
        options.setTableFormatConfig(table);
    }

    @Override
    public void close(String storeName, Options options) {
        // The cache and its manager are shared by all stores and live as long as the process.
    }
}
