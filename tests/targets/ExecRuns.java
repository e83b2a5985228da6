// Runs a command in each of Java's ways. Usage: java ExecRuns COMMAND

import java.util.Map;

public class ExecRuns {
    private static void run(ProcessBuilder builder) throws Exception {
        Process process = builder.redirectErrorStream(true).start();
        System.out.print(new String(process.getInputStream().readAllBytes()));
        System.out.println(process.waitFor());
    }

    public static void main(String[] arguments) throws Exception {
        String[] words = arguments[0].split(" ");
        run(new ProcessBuilder(words));
        ProcessBuilder alone = new ProcessBuilder(words);
        alone.environment().clear();
        alone.environment().put("ONLY", "this");
        run(alone);
        Process process = Runtime.getRuntime().exec(arguments[0]);
        System.out.print(new String(process.getInputStream().readAllBytes()));
        System.out.println(System.getenv().keySet().stream().filter(n -> n.matches(".*(RBINDER|PRELOAD).*")).toList());
    }
}
