/* Where in the JDK, and in libraries, work is handed over: what the patcher changes. */
package java.util.concurrent;

final class RbinderRules {
    /* CLASS METHOD note FUNCTION N: at the beginning of METHOD, FUNCTION is told of its Nth parameter that is an object (0:
     * `this`). CLASS METHOD during N: until it returns its thread works for what that object was remembered for. CLASS
     * METHOD result FUNCTION: FUNCTION is told of the object that METHOD returns. CLASS METHOD call NAME FUNCTION: in METHOD,
     * calls of NAME become calls of FUNCTION. A '*' ends a prefix. What is told of two objects learns `this` as the second. */
    private static final String[] RULES = {
        /* A thread that ran before the rules were applied stays for ever in the former version of the loop it is in: what it
         * calls there, again and again, is changed as well as the loop. */
        "java/util/concurrent/ThreadPoolExecutor execute note capture 1",
        "java/util/concurrent/ThreadPoolExecutor runWorker call run start",
        "java/util/concurrent/ThreadPoolExecutor getTask note waits 0",
        "java/util/concurrent/ThreadPoolExecutor getTask result given",
        "java/util/concurrent/ScheduledThreadPoolExecutor delayedExecute note capture 1",
        "java/util/concurrent/ScheduledThreadPoolExecutor reExecutePeriodic note capture 1",
        "java/util/concurrent/ScheduledThreadPoolExecutor$DelayedWorkQueue offer(Ljava/lang/Runnable;)* note capture 1",
        "java/util/concurrent/ScheduledThreadPoolExecutor$DelayedWorkQueue finishPoll result fetched",
        "java/util/concurrent/ForkJoinTask fork note remember 0",
        "java/util/concurrent/ForkJoinTask doExec call exec exec",
        "java/util/concurrent/ForkJoinPool externalPush note remember 1",
        "java/util/concurrent/ForkJoinPool externalSubmit note remember 1",
        "java/util/concurrent/ForkJoinPool poolSubmit note remember 1",
        "java/util/concurrent/ForkJoinPool scheduleDelayedTask note remember 1",
        "java/util/concurrent/CompletableFuture unipush note register 1",
        "java/util/concurrent/CompletableFuture bipush note register 2",
        "java/util/concurrent/CompletableFuture orpush note register 2",
        "java/util/concurrent/CompletableFuture * call tryFire tryFire",
        "java/util/concurrent/CompletableFuture$Completion * call tryFire tryFire",
        "java/util/concurrent/CompletableFuture$CoCompletion * call tryFire tryFire",
        "java/util/Timer sched note remember 1",
        "java/util/TaskQueue getMin result next",
        "java/lang/Thread start note remember 0",
        "java/lang/VirtualThread start note remember 0",
        "sun/nio/ch/SocketChannelImpl connect note remember 0",
        "sun/nio/ch/SocketChannelImpl finishConnect note resume 0",
        "sun/nio/ch/SelectorImpl lockAndDoSelect note clear 0",
        "sun/nio/ch/SelectionKeyImpl readyOps note clear 0",
        "jdk/internal/net/http/Http1Exchange$Http1Publisher$WriteTask <init> note remember 0",
        "jdk/internal/net/http/Http1Exchange$Http1Publisher$WriteTask run during 0",

        /* Queues of the program's own, from which threads take their work, or a tool. */
        "java/util/concurrent/LinkedBlockingQueue put note puts 1",
        "java/util/concurrent/LinkedBlockingQueue offer note puts 1",
        "java/util/concurrent/LinkedBlockingQueue take note asks 0",
        "java/util/concurrent/LinkedBlockingQueue poll note asks 0",
        "java/util/concurrent/LinkedBlockingQueue dequeue result taken",
        "java/util/concurrent/LinkedBlockingQueue drainTo note drains 0",
        "java/util/concurrent/LinkedBlockingDeque putFirst note puts 1",
        "java/util/concurrent/LinkedBlockingDeque putLast note puts 1",
        "java/util/concurrent/LinkedBlockingDeque offerFirst note puts 1",
        "java/util/concurrent/LinkedBlockingDeque offerLast note puts 1",
        "java/util/concurrent/LinkedBlockingDeque takeFirst note asks 0",
        "java/util/concurrent/LinkedBlockingDeque takeLast note asks 0",
        "java/util/concurrent/LinkedBlockingDeque pollFirst note asks 0",
        "java/util/concurrent/LinkedBlockingDeque pollLast note asks 0",
        "java/util/concurrent/LinkedBlockingDeque unlinkFirst result taken",
        "java/util/concurrent/LinkedBlockingDeque unlinkLast result taken",
        "java/util/concurrent/LinkedBlockingDeque drainTo note drains 0",
        "java/util/concurrent/ArrayBlockingQueue enqueue note puts 1",
        "java/util/concurrent/ArrayBlockingQueue take note asks 0",
        "java/util/concurrent/ArrayBlockingQueue poll note asks 0",
        "java/util/concurrent/ArrayBlockingQueue dequeue result taken",
        "java/util/concurrent/ArrayBlockingQueue drainTo note drains 0",
        "java/util/concurrent/PriorityBlockingQueue offer(Ljava/lang/Object;)Z* note puts 1",
        "java/util/concurrent/PriorityBlockingQueue take note asks 0",
        "java/util/concurrent/PriorityBlockingQueue poll note asks 0",
        "java/util/concurrent/PriorityBlockingQueue dequeue result taken",
        "java/util/concurrent/PriorityBlockingQueue drainTo note drains 0",
        "java/util/concurrent/LinkedTransferQueue put note puts 1",
        "java/util/concurrent/LinkedTransferQueue offer note puts 1",
        "java/util/concurrent/LinkedTransferQueue add note puts 1",
        "java/util/concurrent/LinkedTransferQueue transfer note puts 1",
        "java/util/concurrent/LinkedTransferQueue tryTransfer note puts 1",
        "java/util/concurrent/LinkedTransferQueue take note asks 0",
        "java/util/concurrent/LinkedTransferQueue poll note asks 0",
        "java/util/concurrent/LinkedTransferQueue take result taken",
        "java/util/concurrent/LinkedTransferQueue poll result taken",
        "java/util/concurrent/LinkedTransferQueue drainTo note drains 0",
        "java/util/concurrent/SynchronousQueue put note puts 1",
        "java/util/concurrent/SynchronousQueue offer note puts 1",
        "java/util/concurrent/SynchronousQueue take note asks 0",
        "java/util/concurrent/SynchronousQueue poll note asks 0",
        "java/util/concurrent/SynchronousQueue take result taken",
        "java/util/concurrent/SynchronousQueue poll result taken",
        "java/util/concurrent/DelayQueue offer(Ljava/util/concurrent/Delayed;)Z* note puts 1",
        "java/util/concurrent/DelayQueue take note asks 0",
        "java/util/concurrent/DelayQueue poll note asks 0",
        "java/util/concurrent/DelayQueue take()Ljava/util/concurrent/Delayed;* result taken",
        "java/util/concurrent/DelayQueue poll()Ljava/util/concurrent/Delayed;* result taken",
        "java/util/concurrent/DelayQueue poll(JLjava/util/concurrent/TimeUnit;)Ljava/util/concurrent/Delayed;* result taken",
        "java/util/concurrent/DelayQueue drainTo note drains 0",
        "java/util/concurrent/ConcurrentLinkedQueue offer note adds 1",
        "java/util/concurrent/ConcurrentLinkedQueue poll result removed",
        "java/util/concurrent/ConcurrentLinkedDeque linkFirst note adds 1",
        "java/util/concurrent/ConcurrentLinkedDeque linkLast note adds 1",
        "java/util/concurrent/ConcurrentLinkedDeque pollFirst result removed",
        "java/util/concurrent/ConcurrentLinkedDeque pollLast result removed",
        "java/util/ArrayDeque addFirst note adds 1",
        "java/util/ArrayDeque addLast note adds 1",
        "java/util/ArrayDeque pollFirst result removed",
        "java/util/ArrayDeque pollLast result removed",
        "java/util/LinkedList linkFirst note adds 1",
        "java/util/LinkedList linkLast note adds 1",
        "java/util/LinkedList unlinkFirst result removed",
        "java/util/LinkedList unlinkLast result removed",
        "java/util/PriorityQueue offer note adds 1",
        "java/util/PriorityQueue poll result removed",
        "java/util/concurrent/locks/AbstractQueuedSynchronizer$ConditionObject await* note awaits 0",

        /* Servers' own pools. A connection of Jetty's is queued again and again. */
        "org/apache/tomcat/util/threads/ThreadPoolExecutor executeInternal note capture 1",
        "org/apache/tomcat/util/threads/ThreadPoolExecutor runWorker call run start",
        "org/apache/tomcat/util/threads/ThreadPoolExecutor getTask note waits 0",
        "org/apache/tomcat/util/threads/ThreadPoolExecutor getTask result given",
        "org/eclipse/jetty/util/thread/QueuedThreadPool execute note remember 1",
        "org/eclipse/jetty/util/thread/QueuedThreadPool runJob call run run",
        "org/eclipse/jetty/util/thread/ReservedThreadExecutor tryExecute note remember 1",
        "org/eclipse/jetty/util/thread/ReservedThreadExecutor$ReservedThread run call run run",
        "org/eclipse/jetty/util/thread/strategy/AdaptiveExecutionStrategy runTask call run run",
        "org/eclipse/jetty/util/thread/strategy/EatWhatYouKill runTask call run run",
        "org/jboss/threads/EnhancedQueueExecutor$Task <init> note remember 0",
        "org/jboss/threads/EnhancedQueueExecutor$Task run during 0",
        "org/jboss/threads/EnhancedQueueExecutor$ThreadBody run note clear 0",
        "org/xnio/nio/WorkerThread execute note capture 1",
        "org/xnio/nio/WorkerThread queueTask note capture 1",
        "org/xnio/nio/WorkerThread safeRun call run run",
        "io/vertx/core/impl/TaskQueue execute note capture 1",
        "io/vertx/core/impl/TaskQueue run call run run",

        /* Clients that queue requests, and send each from whatever thread has a connection for it. */
        "org/eclipse/jetty/client/transport/HttpExchange <init> note remember 0",
        "org/eclipse/jetty/client/transport/HttpSender send during 1",
        "org/eclipse/jetty/client/HttpExchange <init> note remember 0",
        "org/eclipse/jetty/client/HttpSender send during 1",
        /* Jetty: where one was answered before its sender came back from sending it, that sends the next, but not in send(). */
        "org/eclipse/jetty/client/transport/internal/HttpSenderOverHTTP sendHeaders during 1",
        "org/eclipse/jetty/client/http/HttpSenderOverHTTP sendHeaders during 1",
        "okhttp3/internal/connection/RealCall$AsyncCall <init> note remember 0",
        "okhttp3/internal/connection/RealCall$AsyncCall run during 0",
        "okhttp3/RealCall$AsyncCall <init> note remember 0",
        "okhttp3/RealCall$AsyncCall execute during 0",
        "org/apache/http/concurrent/BasicFuture <init> note remember 0",
        "org/apache/http/concurrent/BasicFuture completed during 0",
        "org/apache/http/impl/nio/client/DefaultClientExchangeHandlerImpl <init> note remember 0",
        "org/apache/http/impl/nio/client/DefaultClientExchangeHandlerImpl generateRequest note resume 0",
        "org/apache/http/impl/nio/client/MinimalClientExchangeHandlerImpl <init> note remember 0",
        "org/apache/http/impl/nio/client/MinimalClientExchangeHandlerImpl generateRequest note resume 0",
        "org/apache/http/impl/nio/DefaultNHttpClientConnection submitRequest note remember 0",
        "org/apache/http/impl/nio/DefaultNHttpClientConnection produceOutput during 0",
        "org/apache/hc/core5/concurrent/BasicFuture <init> note remember 0",
        "org/apache/hc/core5/concurrent/BasicFuture completed during 0",
        "org/apache/hc/core5/http/nio/command/RequestExecutionCommand <init> note remember 0",
        "org/apache/hc/core5/http/impl/nio/ClientHttp1StreamDuplexer execute during 1",
        "org/apache/hc/core5/http/impl/nio/ClientHttp1StreamDuplexer execute note remember 0",
        "org/apache/hc/core5/http/impl/nio/AbstractHttp1StreamDuplexer onOutput during 0",

        /* Netty's loops: a channel's event is for nobody until something is read. Reactor's client, whose pool may let it wait. */
        "io/netty/util/concurrent/SingleThreadEventExecutor addTask note capture 1",
        "io/netty/util/concurrent/AbstractScheduledEventExecutor schedule(Lio/netty/util/concurrent/ScheduledFutureTask;* note remember 1",
        "io/netty/util/concurrent/AbstractEventExecutor runTask call run run",
        "io/netty/util/concurrent/AbstractEventExecutor safeExecute call run run",
        "io/netty/channel/AbstractChannel$AbstractUnsafe write note writes 0",
        "io/netty/channel/AbstractChannel$AbstractUnsafe flush0 note flushes 0",
        "io/netty/channel/AbstractChannel$AbstractUnsafe flush0 during 0",
        "io/netty/channel/nio/NioEventLoop processSelectedKey note clear 1",
        "io/netty/channel/nio/NioIoHandler processSelectedKey note clear 1",
        "io/netty/channel/epoll/AbstractEpollChannel$AbstractEpollUnsafe connect note remember 0",
        "io/netty/channel/epoll/AbstractEpollChannel$AbstractEpollUnsafe epollOutReady note clear 0",
        "io/netty/channel/epoll/AbstractEpollChannel$AbstractEpollUnsafe finishConnect note resume 0",
        "io/netty/channel/epoll/AbstractEpollStreamChannel$EpollStreamUnsafe epollInReady note clear 0",
        "reactor/netty/http/client/HttpClientConnect$HttpIOHandlerObserver <init> note remember 0",
        "reactor/netty/http/client/HttpClientConnect$HttpIOHandlerObserver onStateChange during 0",

        /* Vert.x' futures: what waits for one is done for whom it waits, wherever that is fulfilled. */
        "io/vertx/core/impl/future/FutureImpl addListener note remember 1",
        "io/vertx/core/impl/future/SucceededFuture addListener note remember 1",
        "io/vertx/core/impl/future/FailedFuture addListener note remember 1",
        "io/vertx/core/impl/future/FutureBase emitSuccess during 2",
        "io/vertx/core/impl/future/FutureBase emitFailure during 2",
    };

    private RbinderRules() {}

    /** The rules of a class, each in its words. */
    static String[][] of(String name) {
        int count = 0;
        String[][] found = new String[RULES.length][];
        for (String rule : RULES)
            if (rule.startsWith(name) && rule.charAt(name.length()) == ' ')
                found[count++] = rule.split(" ");
        return java.util.Arrays.copyOf(found, count);
    }

    /** The classes' names, each ended by a line's end. */
    static String classes() {
        StringBuilder names = new StringBuilder();
        for (String rule : RULES) {
            String name = rule.substring(0, rule.indexOf(' ') ) + '\n';
            if (names.indexOf(name) < 0)
                names.append(name);
        }
        return names.toString();
    }
}
