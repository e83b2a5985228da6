// The front of tests/attribution for servers whose event loops do the work, or hand it on. ShapesLoops SERVER PORT BACK CLIENT
import io.undertow.Undertow;
import io.undertow.server.HttpServerExchange;
import io.undertow.util.SameThreadExecutor;
import io.vertx.core.Vertx;
import io.vertx.core.http.HttpClient;
import io.vertx.core.http.HttpClientOptions;
import io.vertx.core.http.HttpMethod;
import io.vertx.core.http.HttpServerRequest;
import java.net.URI;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executors;

public class ShapesLoops {
    private static final Vertx VERTX = Vertx.vertx();

    private static ShapesJava.Client client(String name, int back) {
        if (!name.equals("vertx"))
            return ShapesJava.own(name);
        HttpClient client = VERTX.createHttpClient(new HttpClientOptions().setMaxPoolSize(8));
        return url -> call(client, back, URI.create(url));
    }

    private static CompletionStage<?> call(HttpClient client, int back, URI url) {
        return client.request(HttpMethod.GET, back, "127.0.0.1", url.getPath() + "?" + url.getQuery())
                .compose(request -> request.send())
                .compose(response -> response.body())
                .toCompletionStage();
    }

    // -- Undertow: in the loop's thread, or in a worker that waits

    private static void answer(HttpServerExchange exchange, ShapesJava shapes, boolean waits) {
        try {
            CompletionStage<?> work = shapes.work(parameter(exchange, "shape"), parameter(exchange, "id"));
            if (waits)
                work.toCompletableFuture().get();
            work.whenComplete((answer, error) -> {
                exchange.setStatusCode(error == null ? 200 : 500);
                exchange.getResponseSender().send("ok");
            });
        } catch (Exception error) {
            exchange.setStatusCode(500);
            exchange.endExchange();
        }
    }

    private static String parameter(HttpServerExchange exchange, String name) {
        return exchange.getQueryParameters().get(name).getFirst();
    }

    private static void undertow(int port, ShapesJava shapes, boolean waits) {
        Undertow.builder().addHttpListener(port, "127.0.0.1").setIoThreads(2).setWorkerThreads(64).setHandler(exchange -> {
            if (waits)
                exchange.dispatch(() -> answer(exchange, shapes, true));
            else
                exchange.dispatch(SameThreadExecutor.INSTANCE, () -> answer(exchange, shapes, false));
        }).build().start();
    }

    // -- Vert.x: in the loop's thread, or in one of its workers

    private static void answer(HttpServerRequest request, ShapesJava shapes) {
        try {
            shapes.work(request.getParam("shape"), request.getParam("id"))
                    .whenComplete((answer, error) -> request.response().setStatusCode(error == null ? 200 : 500).end("ok"));
        } catch (Exception error) {
            request.response().setStatusCode(500).end();
        }
    }

    private static void vertx(int port, ShapesJava shapes, boolean waits) {
        VERTX.createHttpServer().requestHandler(request -> {
            if (waits)
                VERTX.executeBlocking(() -> {
                    answer(request, shapes);
                    return null;
                });
            else
                answer(request, shapes);
        }).listen(port, "127.0.0.1");
    }

    public static void main(String[] words) {
        int port = Integer.parseInt(words[1]), back = Integer.parseInt(words[2]);
        boolean waits = words[3].equals("url");
        ShapesJava shapes = new ShapesJava(back, client(words[3], back), waits, Executors.newFixedThreadPool(16));
        if (words[0].equals("undertow"))
            undertow(port, shapes, waits);
        else
            vertx(port, shapes, waits);
    }
}
