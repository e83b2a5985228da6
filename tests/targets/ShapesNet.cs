// Front: .NET's own HTTP server and client, async all the way. Usage: ShapesNet PORT BACKPORT.
using System;
using System.Collections.Concurrent;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

static class ShapesNet
{
    static string origin, self;
    static HttpClient free, limited;
    static readonly Random random = new Random();
    static readonly BlockingCollection<Action> jobs = new BlockingCollection<Action>();
    static readonly SemaphoreSlim three = new SemaphoreSlim(3);

    static int Upto(int limit) { lock (random) return random.Next(limit); }

    static async Task Call(string path) { await free.GetStringAsync(origin + path); }

    static async Task Limited(string path)
    {
        await three.WaitAsync();
        try { await limited.GetStringAsync(origin + path); } finally { three.Release(); }
    }

    static async Task ReadFile()
    {
        using (var file = new FileStream(self, FileMode.Open, FileAccess.Read, FileShare.Read, 4096, true))
            await file.ReadAsync(new byte[4096], 0, 4096);
    }

    static async void Forget(Task call)
    {
        try { await call; } catch (HttpRequestException) { }
    }

    static Task Pool(string path)
    {
        var done = new TaskCompletionSource<bool>();
        jobs.Add(() =>
        {
            try { Call(path).GetAwaiter().GetResult(); done.SetResult(true); }
            catch (Exception error) { done.SetException(error); }
        });
        return done.Task;
    }

    static async Task Work(string shape, string path)
    {
        switch (shape)
        {
            case "once": await Call(path); break;
            case "sleep": await Task.Delay(Upto(8)); await Call(path); break;
            case "io": await ReadFile(); await Call(path); break;
            case "fan": await Task.WhenAll(Call(path), Call(path), Call(path)); break;
            case "nested": await Call(path); await Call(path); break;
            case "limited": await Limited(path); break;
            case "forget": Forget(Call(path)); break;
            case "pool": await Pool(path); break;
        }
    }

    static async Task Serve(HttpListenerContext context)
    {
        try
        {
            var query = context.Request.QueryString;
            await Work(query["shape"], "/leaf?id=" + query["id"] + "&shape=" + query["shape"]);
        }
        catch (Exception error)
        {
            context.Response.StatusCode = 500;
            Console.Error.WriteLine(error);
        }
        var body = Encoding.ASCII.GetBytes("done");
        context.Response.ContentLength64 = body.Length;
        await context.Response.OutputStream.WriteAsync(body, 0, body.Length);
        context.Response.Close();
    }

    static int Main(string[] words)
    {
        origin = "http://127.0.0.1:" + words[1];
        self = typeof(ShapesNet).Assembly.Location;
        ServicePointManager.DefaultConnectionLimit = 256;
        free = new HttpClient();
        limited = new HttpClient();
        ThreadPool.SetMinThreads(16, 16);
        for (var count = 0; count < 8; count++)
            new Thread(() => { foreach (var job in jobs.GetConsumingEnumerable()) job(); }) { IsBackground = true }.Start();
        var listener = new HttpListener();
        listener.Prefixes.Add("http://127.0.0.1:" + words[0] + "/");
        listener.Start();
        for (;;) { var context = listener.GetContext(); Task.Run(() => Serve(context)); }
    }
}
