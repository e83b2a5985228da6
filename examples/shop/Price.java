// The shop's third service: answers GET /price?item=NAME with a price in cents. It knows nothing of tracing.
//
// Usage: java Price.java [PORT]; HOST (the address to listen on) comes from the environment.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.Executors;

public class Price {
    private static final Map<String, Integer> CENTS = Map.of("tea", 450, "coffee", 690, "cups", 1200);

    public static void main(String[] arguments) throws IOException {
        System.setProperty("sun.net.httpserver.nodelay", "true");
        int port = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 8082;
        String host = System.getenv().getOrDefault("HOST", "127.0.0.1");
        HttpServer server = HttpServer.create(new InetSocketAddress(host, port), 64);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/price", Price::answer);
        server.start();
    }

    private static void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            String item = String.valueOf(exchange.getRequestURI().getQuery()).replaceFirst("^item=", "");
            Integer cents = CENTS.get(item);
            byte[] body = ("{\"cents\": " + cents + "}\n").getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            exchange.sendResponseHeaders(cents == null ? 404 : 200, body.length);
            exchange.getResponseBody().write(body);
        }
    }
}
