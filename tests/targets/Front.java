// Front: the JDK's HttpServer with a fixed pool, calling with HttpURLConnection. Usage: java Front PORT BACKPORT.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.concurrent.Executors;

public class Front {
    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(arguments[0]);
        String back = "http://127.0.0.1:" + arguments[1] + "/leaf?";
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 64);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/work", exchange -> answer(exchange, back));
        server.start();
    }

    private static void answer(HttpExchange exchange, String back) throws IOException {
        try (exchange) {
            URI uri = URI.create(back + exchange.getRequestURI().getRawQuery());
            HttpURLConnection call = (HttpURLConnection) uri.toURL().openConnection();
            byte[] body;
            try (InputStream input = call.getInputStream()) {
                body = input.readAllBytes();
            }
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            exchange.sendResponseHeaders(call.getResponseCode(), body.length);
            exchange.getResponseBody().write(body);
        }
    }
}
