// A front of tests/attribution for Java: work goes through queues and threads of the program's own. ShapesQueues PORT BACK CLIENT
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
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedList;
import java.util.List;
import java.util.Queue;
import java.util.Timer;
import java.util.TimerTask;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.DelayQueue;
import java.util.concurrent.Delayed;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingDeque;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.LinkedTransferQueue;
import java.util.concurrent.PriorityBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;

public class ShapesQueues {
    private static final int WORKERS = 6;
    private static final String NOBODY = "10000000"; // no request has that number

    private static String back;
    private static boolean later; // the client's calls are sent by another thread than the one that makes them
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    /** A piece of work for a request. */
    static class Job implements Delayed, Comparable<Delayed> {
        final String shape, id;
        final CompletableFuture<Object> done = new CompletableFuture<>();

        Job(String shape, String id) {
            this.shape = shape;
            this.id = id;
        }

        void work() {
            call(shape, id, done);
        }

        @Override
        public long getDelay(TimeUnit unit) {
            return 0;
        }

        @Override
        public int compareTo(Delayed other) {
            return 0;
        }
    }

    /** One that can be run. */
    static class Run extends Job implements Runnable {
        Run(String shape, String id) {
            super(shape, id);
        }

        @Override
        public void run() {
            work();
        }
    }

    // -- calls

    private static void call(String shape, String id, CompletableFuture<Object> done) {
        URI url = URI.create(back + "/leaf?id=" + id + "&shape=" + shape);
        if (later) {
            HTTP.sendAsync(HttpRequest.newBuilder(url).build(), BodyHandlers.ofString())
                    .whenComplete((answer, error) -> done.complete(error == null ? "" : error));
            return;
        }
        try {
            HttpURLConnection connection = (HttpURLConnection) url.toURL().openConnection();
            try (InputStream answer = connection.getInputStream()) {
                answer.readAllBytes();
            }
            done.complete("");
        } catch (IOException error) {
            done.completeExceptionally(error);
        }
    }

    private static void call(String shape, String id) {
        CompletableFuture<Object> done = new CompletableFuture<>();
        call(shape, id, done);
        done.join();
    }

    private static void nap(int milliseconds) {
        try {
            Thread.sleep(ThreadLocalRandom.current().nextInt(milliseconds));
        } catch (InterruptedException end) {
            throw new IllegalStateException(end);
        }
    }

    // -- workers that were started at boot

    private static void start(int count, Callable<?> loop) {
        for (int i = 0; i < count; i++) {
            Thread thread = new Thread(() -> repeat(loop));
            thread.setDaemon(true);
            thread.start();
        }
    }

    private static void repeat(Callable<?> loop) {
        try {
            while (true)
                loop.call();
        } catch (Exception end) {
            throw new IllegalStateException(end);
        }
    }

    private static <J extends Job> BlockingQueue<J> served(BlockingQueue<J> queue) {
        start(WORKERS, () -> {
            queue.take().work();
            return null;
        });
        return queue;
    }

    private static final BlockingQueue<Run> LINKED = served(new LinkedBlockingQueue<>());
    private static final BlockingQueue<Run> ARRAY = served(new ArrayBlockingQueue<>(4));
    private static final BlockingQueue<Run> TRANSFER = served(new LinkedTransferQueue<>());
    private static final BlockingQueue<Run> DIRECT = served(new SynchronousQueue<>());
    private static final BlockingQueue<Run> STACK = served(new LinkedBlockingDeque<>());
    private static final BlockingQueue<Run> PRIORITY = served(new PriorityBlockingQueue<>());
    private static final BlockingQueue<Run> DELAYED = served(new DelayQueue<>());
    private static final BlockingQueue<Job> PLAIN = served(new LinkedBlockingQueue<>()); // nothing that can be run

    /** Loops that an executor was given at boot. */
    private static final BlockingQueue<Run> LOOPED = new LinkedBlockingQueue<>();

    static {
        ExecutorService loops = Executors.newFixedThreadPool(WORKERS);
        for (int i = 0; i < WORKERS; i++)
            loops.execute(() -> repeat(() -> {
                LOOPED.take().run();
                return null;
            }));
    }

    private static final Queue<Run> PARKED = new ConcurrentLinkedQueue<>();
    private static final Thread[] PARKERS = new Thread[WORKERS];

    static {
        for (int i = 0; i < WORKERS; i++) {
            PARKERS[i] = new Thread(() -> repeat(() -> {
                Run job = PARKED.poll();
                if (job == null)
                    LockSupport.parkNanos(5_000_000);
                else
                    job.run();
                return null;
            }));
            PARKERS[i].setDaemon(true);
            PARKERS[i].start();
        }
    }

    /** A list and a monitor. */
    private static final LinkedList<Run> LIST = new LinkedList<>();

    static {
        start(WORKERS, () -> {
            Run job;
            synchronized (LIST) {
                while (LIST.isEmpty())
                    LIST.wait();
                job = LIST.removeFirst();
            }
            job.run();
            return null;
        });
    }

    // -- pools of tools

    private static final BlockingQueue<int[]> TOOLS = new ArrayBlockingQueue<>(8);
    private static final AtomicInteger MADE = new AtomicInteger(), LENT = new AtomicInteger();

    private static int[] borrow() throws InterruptedException {
        LENT.incrementAndGet();
        int[] tool = TOOLS.poll();
        if (tool == null && MADE.getAndIncrement() < 8)
            return new int[1];
        return tool != null ? tool : TOOLS.take();
    }

    /** Looks after the tools on its own account, one for each that was lent. */
    private static Object check() throws InterruptedException {
        int[] tool = TOOLS.poll(1, TimeUnit.SECONDS);
        if (tool == null)
            return null;
        if (LENT.getAndUpdate(count -> Math.max(count - 1, 0)) > 0)
            call("lent", NOBODY);
        TOOLS.put(tool);
        nap(20);
        return null;
    }

    // -- batches

    private static final BlockingQueue<Job> DRAINED = new LinkedBlockingQueue<>();
    private static final BlockingQueue<Run> GATHERED = new LinkedBlockingQueue<>();
    private static final BlockingQueue<Run> CARRIED = new LinkedBlockingQueue<>();

    private static Object drain() throws InterruptedException {
        List<Job> batch = new ArrayList<>();
        batch.add(DRAINED.take());
        DRAINED.drainTo(batch);
        for (Job job : batch)
            job.work();
        return null;
    }

    private static Object gather() throws InterruptedException {
        List<Run> batch = new ArrayList<>();
        batch.add(GATHERED.take());
        for (Run next; batch.size() < 5 && (next = GATHERED.poll(2, TimeUnit.MILLISECONDS)) != null; )
            batch.add(next);
        for (Run job : batch)
            job.run();
        return null;
    }

    /** Takes in one piece of work more before it does the one before. */
    private static Run held;

    private static Object carry() throws InterruptedException {
        Run job = held != null ? CARRIED.poll(5, TimeUnit.MILLISECONDS) : CARRIED.take();
        if (held != null)
            held.run();
        held = job;
        return null;
    }

    // -- executors of the program's own

    private static final ExecutorService POOL = Executors.newFixedThreadPool(WORKERS);

    /** One after the other, as the documentation of Executor has it. */
    private static final Queue<Runnable> SERIAL = new ArrayDeque<>();
    private static Runnable active;

    private static synchronized void serially(Runnable work) {
        SERIAL.add(() -> {
            try {
                work.run();
            } finally {
                next();
            }
        });
        if (active == null)
            next();
    }

    private static synchronized void next() {
        active = SERIAL.poll();
        if (active != null)
            POOL.execute(active);
    }

    /** Whoever comes first does what the others have put in as well. */
    private static <J extends Job> void mailbox(J job, Queue<J> box, AtomicBoolean busy) {
        box.add(job);
        if (busy.compareAndSet(false, true))
            POOL.execute(() -> {
                do {
                    for (J each; (each = box.poll()) != null; )
                        each.work();
                    busy.set(false);
                } while (!box.isEmpty() && busy.compareAndSet(false, true));
            });
    }

    private static final Queue<Run> RUNS = new ConcurrentLinkedQueue<>();
    private static final Queue<Job> BOX = new LinkedBlockingQueue<>();
    private static final AtomicBoolean RUNS_BUSY = new AtomicBoolean(), BOX_BUSY = new AtomicBoolean();

    /** A pool that grows while it is used, and waits by a monitor. */
    private static final Queue<Runnable> GROWN = new ArrayDeque<>();
    private static int threads, idle;

    private static void grow(Runnable job) {
        synchronized (GROWN) {
            GROWN.add(job);
            if (idle > 0 || threads >= WORKERS) {
                GROWN.notify();
                return;
            }
            threads++;
        }
        start(1, () -> {
            Runnable next;
            synchronized (GROWN) {
                idle++;
                while (GROWN.isEmpty())
                    GROWN.wait();
                idle--;
                next = GROWN.poll();
            }
            next.run();
            return null;
        });
    }

    /** Work that is put in again, by who took it and something else since. */
    private static final BlockingQueue<Run> AGAIN = new LinkedBlockingQueue<>();

    private static Object again() throws InterruptedException {
        Run first = AGAIN.take(), second = AGAIN.poll();
        if (second != null)
            AGAIN.put(first);
        else
            second = first;
        second.run();
        return null;
    }

    static {
        start(1, ShapesQueues::check);
        start(2, ShapesQueues::drain);
        start(2, ShapesQueues::gather);
        start(1, ShapesQueues::carry);
        start(2, ShapesQueues::again);
    }

    private static final Timer TIMER = new Timer(true);
    private static final ScheduledExecutorService CLOCK = Executors.newScheduledThreadPool(2);

    private static Thread virtual(Runnable work) throws ReflectiveOperationException {
        return (Thread) Thread.class.getMethod("startVirtualThread", Runnable.class).invoke(null, work);
    }

    // -- what is asked

    private static Object serve(String shape, String id) throws Exception {
        Run job = new Run(shape, id);
        switch (shape) {
            case "linked":
                LINKED.put(job);
                break;
            case "array":
                ARRAY.put(job);
                break;
            case "transfer":
                TRANSFER.put(job);
                break;
            case "direct":
                DIRECT.put(job);
                break;
            case "stack":
                STACK.put(job);
                break;
            case "priority":
                PRIORITY.put(job);
                break;
            case "delayed":
                DELAYED.put(job);
                break;
            case "plain":
                Job plain = new Job(shape, id);
                PLAIN.put(plain);
                return plain.done.get();
            case "looped":
                LOOPED.put(job);
                break;
            case "parked":
                PARKED.add(job);
                LockSupport.unpark(PARKERS[ThreadLocalRandom.current().nextInt(WORKERS)]);
                break;
            case "list":
                synchronized (LIST) {
                    LIST.add(job);
                    LIST.notify();
                }
                break;
            case "thread":
                new Thread(job).start();
                break;
            case "virtual":
                virtual(job);
                break;
            case "timer":
                TIMER.schedule(new TimerTask() {
                    @Override
                    public void run() {
                        job.run();
                    }
                }, ThreadLocalRandom.current().nextInt(8));
                break;
            case "scheduled":
                CLOCK.schedule(job, ThreadLocalRandom.current().nextInt(8), TimeUnit.MILLISECONDS);
                break;
            case "completed":
                CompletableFuture<Object> first = new CompletableFuture<>();
                first.thenRun(job);
                CLOCK.schedule(() -> first.complete(""), 1, TimeUnit.MILLISECONDS);
                break;
            case "stream":
                IntStream.range(0, 4).parallel().filter(i -> i == 0).forEach(i -> job.run());
                break;
            case "lent":
                int[] tool = borrow();
                try {
                    nap(3);
                    job.run();
                } finally {
                    TOOLS.put(tool);
                }
                nap(3);
                break;
            case "drained":
                Job drained = new Job(shape, id);
                DRAINED.put(drained);
                return drained.done.get();
            case "gathered":
                GATHERED.put(job);
                break;
            case "carried":
                CARRIED.put(job);
                break;
            case "serial":
                serially(job);
                break;
            case "runs":
                mailbox(job, RUNS, RUNS_BUSY);
                break;
            case "box":
                Job boxed = new Job(shape, id);
                mailbox(boxed, BOX, BOX_BUSY);
                return boxed.done.get();
            case "grown":
                grow(job);
                job.done.get();
                nap(10);
                break;
            case "again":
                AGAIN.put(job);
                break;
            case "late":
                LINKED.put(new Run(shape, id) {
                    @Override
                    public void run() {
                        nap(10);
                        work();
                    }
                });
                return "";
            default:
                job.run();
        }
        return job.done.get();
    }

    private static void answer(HttpExchange exchange) {
        String[] query = exchange.getRequestURI().getQuery().split("[&=]");
        try {
            Object outcome = serve(query[3], query[1]);
            exchange.sendResponseHeaders(outcome.equals("") ? 200 : 500, 2);
            exchange.getResponseBody().write("ok".getBytes());
        } catch (Exception gone) {
            // the client is, or the call failed: then there is no answer
        } finally {
            exchange.close();
        }
    }

    public static void main(String[] words) throws Exception {
        back = "http://127.0.0.1:" + words[1];
        later = words[2].equals("async");
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0])), 1024);
        server.setExecutor(Executors.newFixedThreadPool(64));
        server.createContext("/work", ShapesQueues::answer);
        server.start();
    }
}
