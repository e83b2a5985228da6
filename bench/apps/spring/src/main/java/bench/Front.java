// Front: Spring Boot with its own Tomcat, calling with RestClient. Usage: java -jar front.jar PORT BACKPORT.
package bench;

import jakarta.servlet.http.HttpServletRequest;
import java.util.Map;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.MediaType;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestClient;

@SpringBootApplication
@RestController
public class Front {
    private static final int MILLISECOND = 920_000; // rounds of the loop that take about 1 ms: see bench/apps.py
    private static volatile int sink;
    private static String back;

    private final RestClient client;

    public Front(RestClient.Builder builder) {
        client = builder.baseUrl(back).build();
    }

    public static void main(String[] arguments) {
        back = "http://127.0.0.1:" + arguments[1];
        SpringApplication application = new SpringApplication(Front.class);
        application.setDefaultProperties(Map.of(
                "server.address", "127.0.0.1",
                "server.port", arguments[0],
                "server.tomcat.max-keep-alive-requests", "-1",
                "spring.main.banner-mode", "off",
                "logging.level.root", "WARN"));
        application.run();
    }

    private static void spin(int rounds) {
        int value = 1;
        for (int i = 0; i < rounds; i++) value = value * 1664525 + 1013904223;
        sink = value;
    }

    private ResponseEntity<byte[]> ask(String path, HttpServletRequest request) {
        byte[] body = client.get().uri(path + "?" + request.getQueryString()).retrieve().body(byte[].class);
        return ResponseEntity.ok().contentType(MediaType.APPLICATION_JSON).body(body);
    }

    @GetMapping(value = "/hello", produces = MediaType.TEXT_PLAIN_VALUE)
    public String hello() {
        return "hello";
    }

    @GetMapping("/work")
    public ResponseEntity<byte[]> work(HttpServletRequest request) {
        return ask("/leaf", request);
    }

    @GetMapping("/cpu")
    public ResponseEntity<byte[]> cpu(HttpServletRequest request) {
        spin(MILLISECOND);
        return ask("/leaf", request);
    }

    @GetMapping("/io")
    public ResponseEntity<byte[]> io(HttpServletRequest request) {
        return ask("/wait", request);
    }

    @GetMapping("/mixed")
    public ResponseEntity<byte[]> mixed(HttpServletRequest request) {
        spin(MILLISECOND / 2);
        return ask("/wait", request);
    }
}
