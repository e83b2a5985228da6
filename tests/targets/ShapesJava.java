// The front of tests/attribution for Java: its own server and clients. ShapesJava PORT BACK CLIENT THREADS
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

public class ShapesJava {
    /** Makes a call; one that waits for the answer itself gives it when it is there. */
    interface Client {
        CompletionStage<?> call(String url) throws Exception;
    }

    private static final int WORKERS = 8, LIMIT = 3, LATE = 8;

    private final String back;
    private final Client client;
    private final boolean waits;
    private final ExecutorService helpers;
    private final Semaphore permits = new Semaphore(LIMIT);
    private final Queue<CompletableFuture<Void>> waiting = new ArrayDeque<>();
    private int free = LIMIT;
    private final BlockingQueue<Runnable> jobs = new LinkedBlockingQueue<>();
    private final AtomicInteger strays = new AtomicInteger();
    private static final String NOBODY = "10000000"; // no request has that number

    /** `waits`: the client's calls return when they are answered. */
    ShapesJava(int back, Client client, boolean waits, ExecutorService helpers) {
        this.back = "http://127.0.0.1:" + back;
        this.client = client;
        this.waits = waits;
        this.helpers = helpers;
        for (int i = 0; i < WORKERS; i++)
            start(this::workFor);
        start(this::stray);
    }

    private static void start(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        thread.start();
    }

    /** Makes calls on its own account. */
    private void stray() {
        try {
            while (true) {
                Thread.sleep(1);
                if (strays.getAndUpdate(count -> Math.max(count - 1, 0)) > 0)
                    call("stray", NOBODY);
            }
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    private void workFor() {
        try {
            while (true)
                jobs.take().run();
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    private CompletionStage<?> call(String shape, String id) {
        try {
            return client.call(back + "/leaf?id=" + id + "&shape=" + shape);
        } catch (Exception error) {
            return CompletableFuture.failedFuture(error);
        }
    }

    CompletionStage<?> work(String shape, String id) throws Exception {
        switch (shape) {
            case "forget":
                helpers.execute(() -> call(shape, id));
                return CompletableFuture.completedFuture("");
            case "stray":
                strays.incrementAndGet();
                return CompletableFuture.completedFuture("");
            case "pool":
                CompletableFuture<Object> done = new CompletableFuture<>();
                jobs.put(() -> call(shape, id).whenComplete((answer, error) -> finish(done, answer, error)));
                return done;
            default:
                return waits ? waiting(shape, id) : chained(shape, id);
        }
    }

    private static void finish(CompletableFuture<Object> done, Object answer, Throwable error) {
        if (error == null)
            done.complete(answer);
        else
            done.completeExceptionally(error);
    }

    private static int late() {
        return ThreadLocalRandom.current().nextInt(LATE);
    }

    private static byte[] read() {
        try {
            return Files.readAllBytes(Path.of("/proc/self/stat"));
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private CompletionStage<?> waiting(String shape, String id) throws Exception {
        switch (shape) {
            case "sleep":
                Thread.sleep(late());
                return call(shape, id);
            case "io":
                helpers.submit(ShapesJava::read).get();
                return call(shape, id);
            case "fan":
                List<java.util.concurrent.Future<?>> all = new ArrayList<>();
                for (int i = 0; i < 3; i++)
                    all.add(helpers.submit(() -> call(shape, id).toCompletableFuture().get()));
                for (java.util.concurrent.Future<?> one : all)
                    one.get();
                return CompletableFuture.completedFuture("");
            case "nested":
                call(shape, id).toCompletableFuture().get();
                return call(shape, id);
            case "limited":
                permits.acquire();
                try {
                    return helpers.submit(() -> call(shape, id)).get();
                } finally {
                    permits.release();
                }
            default:
                return call(shape, id);
        }
    }

    private CompletionStage<?> chained(String shape, String id) {
        switch (shape) {
            case "sleep":
                return CompletableFuture.runAsync(() -> {}, CompletableFuture.delayedExecutor(late(), TimeUnit.MILLISECONDS))
                        .thenCompose(nothing -> call(shape, id));
            case "io":
                return CompletableFuture.supplyAsync(ShapesJava::read).thenCompose(bytes -> call(shape, id));
            case "fan":
                return CompletableFuture.allOf(
                        call(shape, id).toCompletableFuture(),
                        call(shape, id).toCompletableFuture(),
                        call(shape, id).toCompletableFuture());
            case "nested":
                return call(shape, id).thenCompose(answer -> call(shape, id));
            case "limited":
                return permit().thenCompose(nothing -> call(shape, id)).whenComplete((answer, error) -> release());
            default:
                return call(shape, id);
        }
    }

    private synchronized CompletableFuture<Void> permit() {
        CompletableFuture<Void> permit = new CompletableFuture<>();
        if (free-- > 0)
            permit.complete(null);
        else
            waiting.add(permit);
        return permit;
    }

    private void release() {
        CompletableFuture<Void> next;
        synchronized (this) {
            free++;
            next = waiting.poll();
        }
        if (next != null)
            next.complete(null);
    }

    // -- the JDK's own

    private static CompletionStage<String> old(String url) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
        try (InputStream answer = connection.getInputStream()) {
            return CompletableFuture.completedFuture(new String(answer.readAllBytes()));
        }
    }

    static Client own(String name) {
        HttpClient http = HttpClient.newHttpClient();
        switch (name) {
            case "http":
                return url -> CompletableFuture.completedFuture(http.send(request(url), BodyHandlers.ofString()).body());
            case "async":
                return url -> http.sendAsync(request(url), BodyHandlers.ofString());
            default:
                return ShapesJava::old;
        }
    }

    private static HttpRequest request(String url) {
        return HttpRequest.newBuilder(URI.create(url)).build();
    }

    static ExecutorService threads(String kind) throws ReflectiveOperationException {
        if (kind.equals("virtual")) // since Java 21
            return (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        return Executors.newFixedThreadPool(Integer.parseInt(kind));
    }

    private void answer(HttpExchange exchange) {
        String[] query = exchange.getRequestURI().getQuery().split("[&=]");
        try {
            work(query[3], query[1]).whenComplete((answer, error) -> {
                try {
                    exchange.sendResponseHeaders(error == null ? 200 : 500, 2);
                    exchange.getResponseBody().write("ok".getBytes());
                } catch (IOException gone) {
                    // the client is
                } finally {
                    exchange.close();
                }
            });
        } catch (Exception error) {
            exchange.close();
        }
    }

    public static void main(String[] words) throws Exception {
        ExecutorService helpers = threads(words[3].equals("virtual") ? "virtual" : "16");
        boolean waits = !words[2].equals("async");
        ShapesJava shapes = new ShapesJava(Integer.parseInt(words[1]), own(words[2]), waits, helpers);
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0])), 1024);
        server.setExecutor(threads(words[3]));
        server.createContext("/work", shapes::answer);
        server.start();
    }
}
