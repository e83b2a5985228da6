// The front of tests/attribution for Spring: MVC or WebFlux. ShapesSpring (servlet|reactive) PORT BACK
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnWebApplication;
import org.springframework.boot.autoconfigure.condition.ConditionalOnWebApplication.Type;
import org.springframework.http.client.reactive.ReactorClientHttpConnector;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestClient;
import org.springframework.web.reactive.function.client.WebClient;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;
import reactor.netty.http.client.HttpClient;
import reactor.netty.resources.ConnectionProvider;

@SpringBootConfiguration
@EnableAutoConfiguration
public class ShapesSpring {
    private static int back;

    @RestController
    @ConditionalOnWebApplication(type = Type.SERVLET)
    static class Waiting {
        private final RestClient client = RestClient.create();
        private final ExecutorService helpers = Executors.newFixedThreadPool(16);
        private final ShapesJava shapes = new ShapesJava(back, this::call, true, helpers);

        private CompletableFuture<String> call(String url) {
            return CompletableFuture.completedFuture(client.get().uri(url).retrieve().body(String.class));
        }

        @GetMapping("/work")
        CompletableFuture<String> work(@RequestParam("id") String id, @RequestParam("shape") String shape) throws Exception {
            return shapes.work(shape, id).toCompletableFuture().thenApply(answer -> "ok");
        }
    }

    @RestController
    @ConditionalOnWebApplication(type = Type.REACTIVE)
    static class Reactive {
        private final WebClient client = WebClient.create("http://127.0.0.1:" + back);
        private final WebClient small = WebClient.builder()
                .baseUrl("http://127.0.0.1:" + back)
                .clientConnector(new ReactorClientHttpConnector(HttpClient.create(
                        ConnectionProvider.builder("small").maxConnections(3).pendingAcquireMaxCount(-1).build())))
                .build();
        private final ShapesJava shapes = new ShapesJava(
                back,
                url -> client.get().uri(url).retrieve().bodyToMono(String.class).toFuture(),
                false,
                Executors.newFixedThreadPool(16));

        private static Mono<String> call(WebClient client, String shape, String id) {
            return client.get().uri("/leaf?id=" + id + "&shape=" + shape).retrieve().bodyToMono(String.class);
        }

        private static Mono<Long> late() {
            return Mono.delay(Duration.ofMillis(ThreadLocalRandom.current().nextInt(8)));
        }

        @GetMapping("/work")
        Mono<String> work(@RequestParam("id") String id, @RequestParam("shape") String shape) throws Exception {
            switch (shape) {
                case "sleep":
                    return late().then(call(client, shape, id));
                case "io":
                    return Mono.fromCallable(() -> 1).subscribeOn(Schedulers.boundedElastic()).then(call(client, shape, id));
                case "fan":
                    return Flux.range(0, 3).flatMap(i -> call(client, shape, id)).then(Mono.just("ok"));
                case "nested":
                    return call(client, shape, id).flatMap(answer -> call(client, shape, id));
                case "limited":
                    return call(small, shape, id);
                case "once":
                    return call(client, shape, id);
                default:
                    return Mono.fromCompletionStage(shapes.work(shape, id)).thenReturn("ok");
            }
        }
    }

    public static void main(String[] words) {
        back = Integer.parseInt(words[2]);
        SpringApplication application = new SpringApplication(ShapesSpring.class);
        application.setDefaultProperties(Map.of(
                "server.port", words[1],
                "spring.main.web-application-type", words[0],
                "spring.main.banner-mode", "off",
                "logging.level.root", "error"));
        application.run();
    }
}
