// Prints stack traces of what is handed over while a request is served, to a client in the same program.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

public class JavaTraces {
    private static final ExecutorService POOL = Executors.newFixedThreadPool(4);
    private static final BlockingQueue<Object> QUEUE = new ArrayBlockingQueue<>(1);

    private static void show(String where) {
        System.out.println(where);
        for (StackTraceElement frame : new Exception().getStackTrace())
            System.out.println("  " + frame);
        StackWalker.getInstance().forEach(frame -> System.out.println("  " + frame));
    }

    private static void work() throws Exception {
        POOL.submit(() -> show("submitted")).get();
        CompletableFuture<Integer> first = new CompletableFuture<>();
        CompletableFuture<Void> then = first.thenAccept(answer -> show("completed"));
        first.complete(1);
        then.thenRunAsync(() -> show("asynchronous"), POOL).get();
        Thread thread = new Thread(() -> show("started"));
        thread.start();
        thread.join();
        Object object = new Object();
        QUEUE.put(object);
        System.out.println(QUEUE.take() == object);
        try {
            POOL.submit(() -> Integer.parseInt("x")).get();
        } catch (java.util.concurrent.ExecutionException error) {
            for (StackTraceElement frame : error.getCause().getStackTrace())
                System.out.println("  " + frame);
        }
    }

    private static void serve(HttpExchange exchange) throws IOException {
        try {
            work();
        } catch (Exception error) {
            error.printStackTrace(System.out);
        }
        exchange.sendResponseHeaders(204, -1);
        exchange.close();
    }

    public static void main(String[] words) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.setExecutor(POOL);
        server.createContext("/", JavaTraces::serve);
        server.start();
        URI uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/");
        System.out.println(((HttpURLConnection) uri.toURL().openConnection()).getResponseCode());
        server.stop(0);
        POOL.shutdown();
    }
}
