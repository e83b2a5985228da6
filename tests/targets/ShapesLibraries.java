// The front of tests/attribution for servers and clients that Maven has. ShapesLibraries SERVER PORT BACK CLIENT
import jakarta.servlet.AsyncContext;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.file.Files;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;
import okhttp3.Call;
import okhttp3.Callback;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.hc.client5.http.async.methods.SimpleHttpResponse;
import org.apache.hc.client5.http.async.methods.SimpleRequestBuilder;
import org.apache.hc.client5.http.classic.methods.HttpGet;
import org.apache.hc.client5.http.impl.async.CloseableHttpAsyncClient;
import org.apache.hc.client5.http.impl.async.HttpAsyncClients;
import org.apache.hc.client5.http.impl.classic.CloseableHttpClient;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.core5.concurrent.FutureCallback;
import org.apache.hc.core5.http.io.entity.EntityUtils;
import org.eclipse.jetty.client.BufferingResponseListener;
import org.eclipse.jetty.client.HttpClient;
import org.eclipse.jetty.client.Result;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;

public class ShapesLibraries {
    private static ShapesJava.Client client(String name) throws Exception {
        switch (name) {
            case "okhttp":
                OkHttpClient ok = new OkHttpClient();
                return url -> {
                    try (Response answer = ok.newCall(new Request.Builder().url(url).build()).execute()) {
                        return CompletableFuture.completedFuture(answer.body().string());
                    }
                };
            case "okhttp-async":
                OkHttpClient queued = new OkHttpClient();
                return url -> okLater(queued, url);
            case "apache4":
                org.apache.http.impl.client.CloseableHttpClient four = org.apache.http.impl.client.HttpClients.createDefault();
                return url -> {
                    try (org.apache.http.client.methods.CloseableHttpResponse answer =
                            four.execute(new org.apache.http.client.methods.HttpGet(url))) {
                        return CompletableFuture.completedFuture(org.apache.http.util.EntityUtils.toString(answer.getEntity()));
                    }
                };
            case "apache4-async":
                org.apache.http.impl.nio.client.CloseableHttpAsyncClient later =
                        org.apache.http.impl.nio.client.HttpAsyncClients.createDefault();
                later.start();
                return url -> fourLater(later, url);
            case "apache5":
                CloseableHttpClient five = HttpClients.createDefault();
                return url -> CompletableFuture.completedFuture(
                        five.execute(new HttpGet(url), answer -> EntityUtils.toString(answer.getEntity())));
            case "apache5-async":
                CloseableHttpAsyncClient fives = HttpAsyncClients.createDefault();
                fives.start();
                return url -> fiveLater(fives, url);
            case "jetty":
                HttpClient jetty = new HttpClient();
                jetty.setMaxConnectionsPerDestination(8);
                jetty.start();
                return url -> jettyLater(jetty, url);
            default:
                return ShapesJava.own(name);
        }
    }

    private static CompletableFuture<String> okLater(OkHttpClient client, String url) {
        CompletableFuture<String> done = new CompletableFuture<>();
        client.newCall(new Request.Builder().url(url).build()).enqueue(new Callback() {
            @Override
            public void onFailure(Call call, IOException error) {
                done.completeExceptionally(error);
            }

            @Override
            public void onResponse(Call call, Response answer) throws IOException {
                done.complete(answer.body().string());
            }
        });
        return done;
    }

    private static CompletableFuture<Object> fourLater(org.apache.http.impl.nio.client.CloseableHttpAsyncClient client, String url) {
        CompletableFuture<Object> done = new CompletableFuture<>();
        client.execute(
                new org.apache.http.client.methods.HttpGet(url),
                new org.apache.http.concurrent.FutureCallback<org.apache.http.HttpResponse>() {
                    @Override
                    public void completed(org.apache.http.HttpResponse answer) {
                        done.complete(answer);
                    }

                    @Override
                    public void failed(Exception error) {
                        done.completeExceptionally(error);
                    }

                    @Override
                    public void cancelled() {
                        done.cancel(false);
                    }
                });
        return done;
    }

    private static CompletableFuture<Object> fiveLater(CloseableHttpAsyncClient client, String url) {
        CompletableFuture<Object> done = new CompletableFuture<>();
        client.execute(SimpleRequestBuilder.get(url).build(), new FutureCallback<SimpleHttpResponse>() {
            @Override
            public void completed(SimpleHttpResponse answer) {
                done.complete(answer);
            }

            @Override
            public void failed(Exception error) {
                done.completeExceptionally(error);
            }

            @Override
            public void cancelled() {
                done.cancel(false);
            }
        });
        return done;
    }

    private static CompletableFuture<String> jettyLater(HttpClient client, String url) {
        CompletableFuture<String> done = new CompletableFuture<>();
        client.newRequest(url).send(new BufferingResponseListener() {
            @Override
            public void onComplete(Result result) {
                if (result.isFailed())
                    done.completeExceptionally(result.getFailure());
                else
                    done.complete(getContentAsString());
            }
        });
        return done;
    }

    /** Waits for what is done for its request, or lets its thread go meanwhile. */
    private static class Work extends HttpServlet {
        private final ShapesJava shapes;
        private final boolean waits;

        Work(ShapesJava shapes, boolean waits) {
            this.shapes = shapes;
            this.waits = waits;
        }

        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            String shape = request.getParameter("shape"), id = request.getParameter("id");
            try {
                if (waits) {
                    shapes.work(shape, id).toCompletableFuture().get();
                    response.getWriter().print("ok");
                } else {
                    AsyncContext context = request.startAsync();
                    context.setTimeout(0);
                    context.start(() -> later(context, shape, id));
                }
            } catch (Exception error) {
                response.sendError(500);
            }
        }

        private void later(AsyncContext context, String shape, String id) {
            try {
                shapes.work(shape, id).whenComplete((answer, error) -> {
                    ((HttpServletResponse) context.getResponse()).setStatus(error == null ? 200 : 500);
                    context.complete();
                });
            } catch (Exception error) {
                ((HttpServletResponse) context.getResponse()).setStatus(500);
                context.complete();
            }
        }
    }

    private static void tomcat(int port, HttpServlet work) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        tomcat.setPort(port);
        tomcat.getConnector().setProperty("maxThreads", "64");
        Context context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "work", work).setAsyncSupported(true);
        context.addServletMappingDecoded("/work", "work");
        tomcat.start();
        tomcat.getServer().await();
    }

    private static void jetty(int port, HttpServlet work) throws Exception {
        Server server = new Server(port);
        ServletContextHandler context = new ServletContextHandler("/");
        ServletHolder holder = new ServletHolder(work);
        holder.setAsyncSupported(true);
        context.addServlet(holder, "/work");
        server.setHandler(context);
        server.start();
        server.join();
    }

    public static void main(String[] words) throws Exception {
        int port = Integer.parseInt(words[1]);
        ExecutorService helpers = Executors.newFixedThreadPool(16);
        boolean waits = !words[3].endsWith("async") && !words[3].equals("jetty");
        ShapesJava shapes = new ShapesJava(Integer.parseInt(words[2]), client(words[3]), waits, helpers);
        HttpServlet work = new Work(shapes, !words[0].endsWith("-async"));
        if (words[0].startsWith("tomcat"))
            tomcat(port, work);
        else
            jetty(port, work);
    }
}
