// What an ordinary program does with client-v2, against the embedded server:
// java -cp 'libs/*' EmbeddedClient.java HOST PORT DATABASE
import com.clickhouse.client.api.Client;
import com.clickhouse.client.api.ServerException;
import com.clickhouse.client.api.command.CommandSettings;
import com.clickhouse.client.api.insert.InsertSettings;
import com.clickhouse.client.api.query.QuerySettings;
import com.clickhouse.data.ClickHouseFormat;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.math.BigDecimal;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

public class EmbeddedClient {
    /** A row as a program of its own has it. */
    public static class Tick {
        private final long id;
        private final String name;
        private final BigDecimal price;

        Tick(int number) {
            id = number;
            name = "name " + number;
            price = BigDecimal.valueOf(number).divide(BigDecimal.valueOf(8));
        }

        public long getId() {
            return id;
        }

        public String getName() {
            return name;
        }

        public BigDecimal getPrice() {
            return price;
        }
    }

    static Client.Builder builder(String[] arguments) {
        return new Client.Builder()
            .addEndpoint("http://" + arguments[0] + ":" + arguments[1])
            .setUsername("default")
            .setPassword("")
            .setDefaultDatabase(arguments[2]);
    }

    static void equal(Object found, Object wanted) {
        if (!wanted.equals(found)) {
            throw new AssertionError(found + " instead of " + wanted);
        }
    }

    public static void main(String[] arguments) throws Exception {
        try (Client client = builder(arguments).build()) {
            equal(client.ping(), true);
            client.execute("CREATE TABLE t (id UInt64, name String, price Decimal(18, 8))"
                + " ENGINE = MergeTree ORDER BY id").get().close();
            parameters(client);
            streams(client);
            session(client);
        }
        for (boolean frames : new boolean[] {false, true}) {
            for (boolean compressed : new boolean[] {false, true}) {
                Client.Builder builder = builder(arguments)
                    .compressServerResponse(compressed)
                    .compressClientRequest(compressed)
                    .useHttpCompression(frames);
                try (Client client = builder.build()) {
                    rows(client);
                    errors(client);
                }
            }
        }
        System.out.println("all good");
    }

    /** Objects in, records out, in the client's own binary formats. */
    static void rows(Client client) throws Exception {
        client.execute("TRUNCATE TABLE t").get().close();
        client.register(Tick.class, client.getTableSchema("t"));
        List<Tick> ticks = IntStream.range(0, 10_000).mapToObj(Tick::new).collect(Collectors.toList());
        try (var inserted = client.insert("t", ticks).get()) {
            equal(inserted.getWrittenRows(), 10_000L);
        }
        var found = client.queryAll("SELECT id, name, price FROM t ORDER BY id");
        equal(found.size(), 10_000);
        equal(found.get(17).getString("name"), "name 17");
        equal(found.get(17).getBigDecimal("price").compareTo(new BigDecimal("2.125")), 0);
    }

    static void errors(Client client) throws Exception {
        for (var wrong : Map.of("SELECT * FROM nope", 60, "SELEC 1", 62).entrySet()) {
            try (var answer = client.query(wrong.getKey()).get()) {
                throw new AssertionError(wrong.getKey() + " was answered");
            } catch (Exception error) {
                Throwable cause = error;
                while (cause != null && !(cause instanceof ServerException)) {
                    cause = cause.getCause();
                }
                if (cause == null) {
                    throw error;
                }
                equal(((ServerException) cause).getCode(), wrong.getValue());
            }
        }
    }

    static void parameters(Client client) throws Exception {
        var settings = new QuerySettings().setQueryId("of-mine").serverSetting("max_threads", "3");
        var found = client.queryAll(
            "SELECT {n:UInt8} + 1 AS m, {s:String} AS s, toUInt64(getSetting('max_threads')) AS threads",
            Map.of("n", 41, "s", "it's"), settings);
        equal(found.get(0).getInteger("m"), 42);
        equal(found.get(0).getString("s"), "it's");
        equal(found.get(0).getLong("threads"), 3L);
        try (var answer = client.query("SELECT 1", settings).get()) {
            equal(answer.getQueryId(), "of-mine");
        }
    }

    static void streams(Client client) throws Exception {
        var text = IntStream.range(0, 10_000).mapToObj(id -> id + ",streamed,1.5\n").collect(Collectors.joining());
        try (var inserted = client.insert("t", new ByteArrayInputStream(text.getBytes()), ClickHouseFormat.CSV).get()) {
            equal(inserted.getWrittenRows(), 10_000L);
        }
        var settings = new QuerySettings().setFormat(ClickHouseFormat.TSV);
        try (var answer = client.query("SELECT number FROM numbers(500000)", settings).get();
                var lines = new BufferedReader(new InputStreamReader(answer.getInputStream()))) {
            equal(lines.lines().count(), 500_000L);
        }
    }

    /** A session keeps its temporary table. */
    static void session(Client client) throws Exception {
        String id = "session-" + ProcessHandle.current().pid();
        client.execute("CREATE TEMPORARY TABLE mine (a UInt8)", new CommandSettings().setSessionId(id)).get().close();
        var insert = new InsertSettings().setSessionId(id);
        client.insert("mine", new ByteArrayInputStream("1\n2\n".getBytes()), ClickHouseFormat.CSV, insert).get().close();
        var sum = client.queryAll("SELECT sum(a) AS s FROM mine", new QuerySettings().setSessionId(id));
        equal(sum.get(0).getLong("s"), 3L);
    }
}
