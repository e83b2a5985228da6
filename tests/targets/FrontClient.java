// Front: the JDK's HttpServer, calling with java.net.http's client. Usage: java FrontClient PORT BACKPORT.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.concurrent.Executors;

public class FrontClient {
    public static void main(String[] arguments) throws IOException {
        String back = "http://127.0.0.1:" + arguments[1] + "/leaf?";
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 64);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/work", exchange -> answer(exchange, client, back));
        server.start();
    }

    private static void answer(HttpExchange exchange, HttpClient client, String back) throws IOException {
        try (exchange) {
            URI uri = URI.create(back + exchange.getRequestURI().getRawQuery());
            var answer = client.send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofByteArray());
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            exchange.sendResponseHeaders(answer.statusCode(), answer.body().length);
            exchange.getResponseBody().write(answer.body());
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
