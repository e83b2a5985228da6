// Front: the JDK's HttpServer with a fixed pool, calling with HttpURLConnection. Usage: java Front PORT BACKPORT.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.Executors;

public class Front {
    private record Path(String call, int rounds) {}

    private static final int MILLISECOND = 920_000; // rounds of the loop that take about 1 ms: see bench/apps.py
    private static final int THREADS = 16, BACKLOG = 256;
    private static final Map<String, Path> PATHS = Map.of(
            "/work", new Path("/leaf", 0),
            "/cpu", new Path("/leaf", MILLISECOND),
            "/io", new Path("/wait", 0),
            "/mixed", new Path("/wait", MILLISECOND / 2));
    private static volatile int sink;

    public static void main(String[] arguments) throws IOException {
        if (arguments.length == 1) { // calibration
            for (int i = 0; i < 100; i++) spin(Integer.parseInt(arguments[0]) / 100);
            return;
        }
        String back = "http://127.0.0.1:" + arguments[1];
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), BACKLOG);
        server.setExecutor(Executors.newFixedThreadPool(THREADS));
        server.createContext("/hello", Front::hello);
        PATHS.forEach((name, path) -> server.createContext(name, exchange -> ask(exchange, back, path)));
        server.start();
    }

    private static void spin(int rounds) {
        int value = 1;
        for (int i = 0; i < rounds; i++) value = value * 1664525 + 1013904223;
        sink = value;
    }

    private static void hello(HttpExchange exchange) throws IOException {
        answer(exchange, 200, "text/plain", "hello".getBytes(StandardCharsets.UTF_8));
    }

    private static void ask(HttpExchange exchange, String back, Path path) throws IOException {
        spin(path.rounds);
        URI uri = URI.create(back + path.call + "?" + exchange.getRequestURI().getRawQuery());
        HttpURLConnection call = (HttpURLConnection) uri.toURL().openConnection();
        byte[] body;
        try (InputStream input = call.getInputStream()) {
            body = input.readAllBytes();
        }
        answer(exchange, call.getResponseCode(), "application/json", body);
    }

    private static void answer(HttpExchange exchange, int status, String type, byte[] body) throws IOException {
        try (exchange) {
            exchange.getResponseHeaders().set("Content-Type", type);
            exchange.sendResponseHeaders(status, body.length);
            exchange.getResponseBody().write(body);
        }
    }
}
